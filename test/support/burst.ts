/**
 * Many clients that send at the same moment: connections that stand beforehand, and requests that leave in one turn of
 * the event loop. Knows nothing of what the answers mean, and of HTTP only what it takes to be cheap: tens of thousands of
 * requests a minute, each answer framed by its Content-Length, which is how the gateway frames what it has whole.
 */
import { once } from "node:events";
import net from "node:net";
import { answerOf, type Answer } from "./client.ts";

interface Teardown {
  teardown(fn: () => unknown): unknown;
}

export interface Shot {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** ASCII. */
  readonly body: string;
}

export interface Burst {
  readonly size: number;
  /** The n-th request goes down the n-th connection; all of them leave now. At most `size`, and not before the last are over. */
  fire(shots: readonly Shot[]): readonly Promise<Answer>[];
}

/** Opens `size` connections, dealt out to the gateways in turn, and waits until all of them stand. */
export async function openBurst(
  t: Teardown,
  gateways: readonly string[],
  size: number,
): Promise<Burst> {
  const lanes = Array.from({ length: size }, (_, n) => new Lane(gateways[n % gateways.length]!));
  t.teardown(() => lanes.forEach((lane) => lane.close()));
  await Promise.all(lanes.map((lane) => lane.open()));
  return { size, fire: (shots) => shots.map((shot, n) => lanes[n]!.ask(shot)) };
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** One request at a time, down one connection for as long as the gateway keeps it. */
class Lane {
  readonly #url: URL;
  #socket: net.Socket | undefined;
  /** Of the answer, as far as it has come; latin1. */
  #text = "";
  #waiting: Waiting | undefined;

  constructor(url: string) {
    this.#url = new URL(url);
  }

  async open(): Promise<void> {
    await once(this.#connected(), "connect");
  }

  ask({ method, path, headers, body }: Shot): Promise<Answer> {
    const fields = Object.entries({ ...headers, "Content-Length": String(body.length) });
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const head = `${method} ${path} HTTP/1.1\r\nHost: ${this.#url.host}\r\n${lines}\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#connected().write(head + body, "latin1");
    });
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #connected(): net.Socket {
    if (this.#socket?.writable === true) return this.#socket;
    const { hostname, port } = this.#url;
    const socket = net.connect({ port: Number(port), host: hostname, noDelay: true });
    this.#socket = socket;
    this.#text = "";
    let cause: Error | undefined;
    socket.on("error", (error) => (cause = error));
    socket.on("data", (chunk: Buffer) => this.#onData(chunk.toString("latin1")));
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#waiting?.reject(new Error("the connection was closed before the answer", { cause }));
    });
    return socket;
  }

  #onData(text: string): void {
    this.#text += text;
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const [line = "", ...fields] = this.#text.slice(0, end).split("\r\n");
    const rawHeaders = fields.flatMap((field) => {
      const at = field.indexOf(":");
      return [field.slice(0, at), field.slice(at + 1).trim()];
    });
    const of = (name: string): string | undefined => valueOf(rawHeaders, name);
    const bytes = Number(of("content-length"));
    if (Number.isNaN(bytes)) {
      this.#waiting?.reject(new Error(`an answer without a length:\n${this.#text}`));
      return;
    }
    const over = end + 4 + bytes;
    if (this.#text.length < over) return;
    const waiting = this.#waiting;
    if (waiting === undefined || this.#text.length > over) {
      throw new Error(`an answer that nobody has asked for:\n${this.#text}`);
    }
    const body = Buffer.from(this.#text.slice(end + 4), "latin1");
    this.#text = "";
    this.#waiting = undefined;
    // After so many requests a connection has served long enough.
    if (of("connection") === "close") this.close();
    waiting.resolve(answerOf({ statusCode: Number(line.split(" ")[1]), rawHeaders }, body));
  }
}

function valueOf(rawHeaders: readonly string[], name: string): string | undefined {
  const at = rawHeaders.findIndex((field, n) => n % 2 === 0 && field.toLowerCase() === name);
  return at < 0 ? undefined : rawHeaders[at + 1];
}

/** Resolves when `n` of them have settled. */
export function settled(n: number, promises: readonly Promise<unknown>[]): Promise<void> {
  return new Promise((resolve) => {
    let left = n;
    const one = (): void => {
      left -= 1;
      if (left === 0) resolve();
    };
    for (const promise of promises) promise.then(one, one);
  });
}
