/** The turns that are not over, by connection. Knows when each is over, and nothing of what happens in it. */
import type { Socket } from "node:net";
import { isSafe } from "../core/route.ts";
import { isOver, type Turn } from "./reply.ts";

/**
 * Node takes pipelined requests side by side and answers in order, so a connection may have several. A turn is over
 * when its answer is handed over or its connection is gone, which is not when its handler ends: that may be later.
 */
export class Turns {
  readonly #bySocket = new WeakMap<Socket, Set<Turn>>();
  readonly #open = new Set<Turn>();

  add(turn: Turn): void {
    const turns = this.#of(turn.req.socket).add(turn);
    this.#open.add(turn);
    turn.res.once("close", () => {
      turns.delete(turn);
      this.#open.delete(turn);
    });
  }

  /**
   * Calls `begin` when the turn that was added last on its connection may begin, or `drop` where the connection ends
   * before: nothing of it has happened then. RFC 9112 §9.3.2: side by side only where all are safe.
   */
  inOrder(turn: Turn, begin: () => void, drop: () => void): void {
    const { socket } = turn.req;
    const turns = this.#of(socket);
    const open = turns.size > 1 ? [...turns] : [];
    if (open.every(({ req }) => isSafe(req.method ?? ""))) {
      begin();
      return;
    }
    // An answer that closes the connection has ended the socket by then.
    open.at(-2)?.res.once("close", () => (socket.writable && !isOver(turn) ? begin() : drop()));
  }

  get open(): readonly Turn[] {
    return [...this.#open];
  }

  /** In order. `undefined`: this connection has never had one. */
  on(socket: Socket): readonly Turn[] | undefined {
    const turns = this.#bySocket.get(socket);
    return turns === undefined ? undefined : [...turns];
  }

  #of(socket: Socket): Set<Turn> {
    const known = this.#bySocket.get(socket);
    if (known !== undefined) return known;
    const turns = new Set<Turn>();
    this.#bySocket.set(socket, turns);
    // Node tells only the answer whose turn it is on the connection; pipelined ones behind it would wait for ever.
    socket.once("close", () => {
      for (const { res } of turns) res.destroy().emit("close");
    });
    return turns;
  }
}
