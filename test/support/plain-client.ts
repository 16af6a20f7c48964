/**
 * A client that costs next to nothing: one connection, one request at a time, answers framed by Content-Length alone,
 * which is how the gateway frames what it has recorded. For tens of thousands of requests a minute.
 */
import { once } from "node:events";
import net from "node:net";
import type { Teardown } from "./teardown.ts";

export interface PlainAnswer {
  readonly status: number;
  /** Latin1, with the empty line. */
  readonly head: string;
  readonly body: string;
}

export class PlainClient {
  readonly #port: number;
  #socket: net.Socket | undefined;
  #text = "";
  #resolve: ((answer: PlainAnswer | undefined) => void) | undefined;

  constructor(t: Teardown, port: number) {
    this.#port = port;
    t.teardown(() => this.#socket?.destroy());
  }

  /** Connects beforehand. Resolves when the connection stands. */
  async open(): Promise<void> {
    await once(this.#connected(), "connect");
  }

  /** Bytes of a whole request. Resolves with its answer, or with nothing where the connection broke. */
  ask(bytes: string): Promise<PlainAnswer | undefined> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#connected().write(bytes, "latin1");
    });
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #connected(): net.Socket {
    if (this.#socket?.writable === true) return this.#socket;
    const socket = net.connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    this.#socket = socket;
    this.#text = "";
    socket.on("data", (chunk: Buffer) => this.#onData(chunk.toString("latin1")));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      if (this.#socket === socket) this.#answer(undefined);
    });
    return socket;
  }

  #onData(text: string): void {
    this.#text += text;
    const end = this.#text.indexOf("\r\n\r\n") + 4;
    if (end < 4) return;
    const head = this.#text.slice(0, end);
    const length = Number(/^content-length: (\d+)\r$/imu.exec(head)?.[1] ?? 0);
    if (this.#text.length < end + length) return;
    const body = this.#text.slice(end, end + length);
    if (this.#resolve === undefined || this.#text.length > end + length) {
      throw new Error(`an answer that nobody has asked for:\n${this.#text}`);
    }
    this.#text = "";
    // After so many requests a connection has served long enough.
    if (/^connection: close\r$/imu.test(head)) this.close();
    this.#answer({ status: Number(head.slice(9, 12)), head, body });
  }

  #answer(answer: PlainAnswer | undefined): void {
    const resolve = this.#resolve;
    this.#resolve = undefined;
    resolve?.(answer);
  }
}
