/**
 * One WebSocket passage: the handshake through http-proxy, then two sockets piped into each other, of which neither
 * outlives the other and neither can end the process. Knows nothing of frames.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Passed } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import { endToEnd, pairsOf, renderHead } from "./headers.ts";
import { HeadClock, unreachable, type Onward, type PassageLimits } from "./passage.ts";
import { refuseSocket } from "./reply.ts";

/**
 * From the handshake to the end of the longer-lived socket. Once 101 (or another answer) is told, failures only close;
 * before that they become a problem on the client's socket.
 */
export class UpgradePassage {
  readonly #socket: Socket;
  readonly #onward: Onward;
  readonly #limits: PassageLimits;
  readonly #clock: HeadClock;
  #call: ClientRequest | undefined;
  #upstream: Socket | undefined;
  #status = 0;
  #outcome: Passed["outcome"] = "client-gone";

  constructor(socket: Socket, onward: Onward, limits: PassageLimits) {
    this.#socket = socket;
    this.#onward = onward;
    this.#limits = limits;
    this.#clock = new HeadClock(limits, () => this.#fail(504));
  }

  /** `send` makes http-proxy send the handshake. Settles when the client's connection is over. */
  start(send: () => void): Promise<Passed> {
    const socket = this.#socket;
    if (socket.destroyed) return Promise.resolve({ status: 0, outcome: "client-gone" });
    return new Promise((resolve) => {
      socket.once("close", () => {
        this.#clock.stop();
        // Before the answer this takes the handshake back; after it, what was still to be written goes out first.
        this.#call?.destroy();
        this.#upstream?.destroySoon();
        resolve({ status: this.#status, outcome: this.#outcome });
      });
      this.#onward.on("call", (call: ClientRequest) => this.#onCall(call));
      this.#onward.on("failure", () => this.#fail(502));
      // http-proxy writes the 101 as a string: values are bytes, not UTF-8.
      socket.setDefaultEncoding("latin1");
      this.#clock.start();
      try {
        send();
      } catch (error) {
        socket.destroy();
        throw error;
      }
      // In place of http-proxy's own listener, which sends the de-chunked body under `Transfer-Encoding: chunked`.
      this.#call?.removeAllListeners("response");
      this.#call?.once("response", (answer) => this.#onRefusal(answer));
      // After http-proxy has set it to none; the listener cuts readers that take nothing.
      socket.setTimeout(this.#limits.idleTimeoutMs);
    });
  }

  /** http-proxy hands the call over before it listens to it itself, so what is set here is what it sees. */
  #onCall(call: ClientRequest): void {
    this.#call = call;
    this.#clock.watch(call);
    call.once("upgrade", (answer, upstream) => this.#onUpgrade(answer, upstream));
    call.once("close", () => this.#fail(502));
  }

  #onUpgrade(answer: IncomingMessage, upstream: Socket): void {
    this.#clock.stop();
    this.#upstream = upstream;
    this.#told(101);
    const fields: HeaderPair[] = [
      ["Connection", "Upgrade"],
      ["Upgrade", "websocket"],
      ...endToEnd(pairsOf(answer.rawHeaders)),
    ];
    // What http-proxy writes to the client: case and repeats kept, hop-by-hop fields replaced by ours.
    Object.assign(answer, { headers: grouped(fields) });
    // http-proxy passes clean ends on and nothing else: resets travel here, as resets.
    upstream.once("error", () => this.#socket.resetAndDestroy());
    this.#socket.once("error", () => upstream.resetAndDestroy());
    upstream.once("close", () => this.#socket.destroySoon());
    // One side has said its last word: the other gets a while for its own.
    upstream.once("end", () => this.#closeSoon());
    this.#socket.once("end", () => this.#closeSoon());
    if (this.#socket.destroyed) upstream.destroy();
    // After http-proxy has set it to none.
    setImmediate(() =>
      upstream.setTimeout(this.#limits.idleTimeoutMs, () => {
        if (upstream.writableLength > 0) upstream.destroy();
      }),
    );
  }

  /** A peer that keeps its half open after the other's end would hold both sockets for ever. */
  #closeSoon(): void {
    const timer = setTimeout(() => {
      this.#socket.destroy();
      this.#upstream?.destroy();
    }, this.#limits.idleTimeoutMs);
    this.#socket.once("close", () => clearTimeout(timer));
  }

  /** The upstream answers instead of upgrading: its answer, delimited by the close of the connection. */
  #onRefusal(answer: IncomingMessage): void {
    const socket = this.#socket;
    const status = answer.statusCode ?? 0;
    // The parser lets a status below 100 through.
    if (status < 200) return this.#fail(502);
    this.#clock.stop();
    this.#told(status);
    socket.write(
      renderHead(status, [...endToEnd(pairsOf(answer.rawHeaders)), ["Connection", "close"]]),
    );
    let whole = false;
    answer.once("end", () => {
      whole = true;
    });
    answer.once("error", () => undefined);
    answer.once("close", () => void (whole || socket.resetAndDestroy()));
    socket.once("close", () => answer.destroy());
    this.#closeSoon();
    answer.pipe(socket);
  }

  #told(status: number): void {
    this.#status = status;
    this.#outcome = "passed";
  }

  #fail(status: 502 | 504): void {
    if (this.#outcome !== "client-gone") return;
    this.#clock.stop();
    this.#call?.destroy();
    if (this.#socket.destroyed) return;
    this.#status = status;
    this.#outcome = "upstream-unreachable";
    const refusal = unreachable(status, "GET", this.#clock.connected);
    refuseSocket(this.#socket, refusal.problem, refusal.extra, "GET");
  }
}

/** By name, values in order: the form that http-proxy writes line by line. `__proto__` is a name like any other. */
function grouped(headers: readonly HeaderPair[]): Record<string, string[]> {
  const byName = new Map<string, string[]>();
  for (const [name, value] of headers) byName.set(name, [...(byName.get(name) ?? []), value]);
  return Object.fromEntries(byName);
}
