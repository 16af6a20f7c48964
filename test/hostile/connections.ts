/**
 * Client connections from loopback addresses of their own, so that whatever reaches the upstream says by its
 * X-Forwarded-For which of them it came over. Sends bytes and collects bytes; where nothing moves any more it says
 * that it has nothing to add (half-close), and notices where the gateway does not take the hint.
 */
import net from "node:net";

export interface Exchange {
  /** latin1. */
  readonly received: string;
  /** The client said its last word before the end: then the gateway owes no answer. */
  readonly halfClosed: boolean;
  /** The gateway held the connection open although the client had said its last word. */
  readonly hung: boolean;
}

interface Open {
  readonly socket: net.Socket;
  touchedMs: number;
  answersLeft: number;
  /** For the gateway's end; its own word is said, or need not be said. */
  waits: boolean;
  halfClosed: boolean;
  hung: boolean;
}

export interface ConnectionsOptions {
  /** No byte for this long: the client says that nothing more will come. */
  readonly quietMs: number;
  /** After that the gateway has this long to end the connection. */
  readonly hangMs: number;
}

/** Everything that was to come has come: a little more may follow, and must not be missed. */
const SETTLED_MS = 40;
const SWEEP_MS = 20;

export class Connections {
  readonly #port: number;
  readonly #options: ConnectionsOptions;
  readonly #open = new Set<Open>();
  readonly #timer: NodeJS.Timeout;
  #clockMs = 0;

  constructor(port: number, options: ConnectionsOptions) {
    this.#port = port;
    this.#options = options;
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
  }

  /**
   * Sends the pieces, one packet each, and resolves with everything that came back when the connection is over.
   * The client's last word follows once `answers` have come, or when nothing moves; `undefined`: it is never said,
   * because the gateway has all it needs to end the connection.
   */
  exchange(
    localAddress: string,
    pieces: readonly string[],
    answers: number | undefined,
  ): Promise<Exchange> {
    return new Promise((resolve) => {
      const socket = net.connect({
        port: this.#port,
        host: "127.0.0.1",
        localAddress,
        noDelay: true,
        allowHalfOpen: true,
      });
      const open: Open = {
        socket,
        touchedMs: this.#clockMs,
        answersLeft: answers ?? 0,
        waits: answers === undefined,
        halfClosed: false,
        hung: false,
      };
      const received: Buffer[] = [];
      this.#open.add(open);
      socket.on("connect", () => send(socket, pieces));
      socket.on("data", (chunk) => {
        open.touchedMs = this.#clockMs;
        received.push(chunk);
        open.answersLeft -= finalHeads(chunk);
      });
      // The gateway's last word: ours is said, too.
      socket.on("end", () => socket.end());
      // Told by `close`: a reset is one way to end a connection.
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        this.#open.delete(open);
        resolve({
          received: Buffer.concat(received).toString("latin1"),
          halfClosed: open.halfClosed,
          hung: open.hung,
        });
      });
    });
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { socket } of this.#open) socket.destroy();
  }

  #sweep(): void {
    // A machine that is busy with something else makes nobody late: a turn counts for no more than it should take.
    this.#clockMs += SWEEP_MS;
    const nowMs = this.#clockMs;
    for (const open of this.#open) {
      const quietMs = nowMs - open.touchedMs;
      const enoughMs = open.answersLeft > 0 ? this.#options.quietMs : SETTLED_MS;
      if (!open.waits && quietMs > enoughMs) {
        open.waits = true;
        open.halfClosed = true;
        open.touchedMs = nowMs;
        open.socket.end();
      } else if (open.waits && quietMs > this.#options.hangMs) {
        open.hung = true;
        open.socket.destroy();
      }
    }
  }
}

function send(socket: net.Socket, pieces: readonly string[]): void {
  const [piece = "", ...rest] = pieces;
  socket.write(Buffer.from(piece, "latin1"), () => {
    if (rest.length > 0 && socket.writable) send(socket, rest);
  });
}

/** How many answers begin in it, 1xx not counted. One that is cut by the chunk's edge is missed, which costs time only. */
function finalHeads(chunk: Buffer): number {
  return chunk.toString("latin1").match(/HTTP\/1\.1 [2-5]/g)?.length ?? 0;
}

/** One of eight million addresses, 127.1.0.0 to 127.127.255.255. */
export function loopbackAddress(n: number): string {
  const at = n % (127 * 65_536);
  return `127.${1 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;
}

/** Of 65,536 that the settings of the tests trust, 127.200.0.0 to 127.200.255.255. */
export function trustedAddress(n: number): string {
  return `127.200.${(n >> 8) & 255}.${n & 255}`;
}

/** Of 65,536 others, 127.199.0.0 to 127.199.255.255. */
export function canaryAddress(n: number): string {
  return `127.199.${(n >> 8) & 255}.${n & 255}`;
}
