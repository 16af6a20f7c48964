/**
 * A client that sends exact bytes and reads HTTP/1.1 answers one by one off the same socket, with their framing
 * judged by RFC 9112 §6.3. For everything that a well-behaved HTTP client would not send or would hide.
 */
import net from "node:net";
import type { Teardown } from "./upstream.ts";

export interface RawResponse {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** De-chunked. Header text and values are latin1. */
  readonly body: Buffer;
  /** False when the connection ended before the framing said so. */
  readonly complete: boolean;
  /** Statuses of the 1xx answers before this one. */
  readonly interim: readonly number[];
  /** The first value of a field, by case-insensitive name. */
  header(name: string): string | undefined;
  all(name: string): string[];
  json(): Record<string, unknown>;
}

export interface RawClient {
  readonly socket: net.Socket;
  send(bytes: string | Uint8Array): void;
  /** The next answer. Rejects when the connection closes without one. `method` is needed after HEAD. */
  read(options?: { readonly method?: string }): Promise<RawResponse>;
  /** Resolves with everything received (latin1) once it contains `text`. */
  until(text: string): Promise<string>;
  /** All bytes received that no `read` has taken. */
  rest(): Buffer;
  /** Half-close. */
  end(): void;
  /** Closes with a TCP reset. */
  reset(): void;
  /** Resolves when the connection is gone, however it ended. */
  readonly closed: Promise<void>;
}

interface Head {
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly end: number;
}

class RawSocket implements RawClient {
  readonly socket: net.Socket;
  readonly closed: Promise<void>;
  #bytes = Buffer.alloc(0);
  #ended = false;
  #broken = false;
  #wakers: (() => void)[] = [];

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on("error", () => {
      // A reset shows as `closed`, and as an incomplete answer, also where only the close delimits it.
      this.#broken = true;
    });
    socket.on("end", () => this.#finish());
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.#finish();
        resolve();
      });
    });
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  async read(options: { readonly method?: string } = {}): Promise<RawResponse> {
    const interim: number[] = [];
    for (;;) {
      const head = await this.#head();
      this.#bytes = this.#bytes.subarray(head.end);
      if (head.status < 200 && head.status !== 101) {
        interim.push(head.status);
        continue;
      }
      const bodiless = options.method === "HEAD" || [101, 204, 304].includes(head.status);
      const { body, complete } = bodiless
        ? { body: Buffer.alloc(0), complete: true }
        : await this.#body(head);
      return newResponse(head, body, complete, interim);
    }
  }

  async until(text: string): Promise<string> {
    while (!this.#bytes.includes(text, 0, "latin1")) {
      if (this.#ended) throw new Error(`closed before ${JSON.stringify(text)} came`);
      await this.#more();
    }
    return this.#bytes.toString("latin1");
  }

  rest(): Buffer {
    return this.#bytes;
  }

  end(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  async #head(): Promise<Head> {
    for (;;) {
      const end = this.#bytes.indexOf("\r\n\r\n");
      if (end >= 0) return parseHead(this.#bytes.subarray(0, end).toString("latin1"), end + 4);
      if (this.#ended) throw new Error("the connection closed without an answer");
      await this.#more();
    }
  }

  async #body(head: Head): Promise<{ body: Buffer; complete: boolean }> {
    const value = (name: string) => head.headers.find(([n]) => n.toLowerCase() === name)?.[1];
    if (value("transfer-encoding")?.toLowerCase() === "chunked") return this.#chunks();
    const length = value("content-length");
    if (length !== undefined) {
      const body = await this.#take(Number(length));
      return { body, complete: body.length === Number(length) };
    }
    const body = await this.#take(Number.MAX_SAFE_INTEGER);
    return { body, complete: !this.#broken };
  }

  async #chunks(): Promise<{ body: Buffer; complete: boolean }> {
    const chunks: Buffer[] = [];
    for (;;) {
      const line = await this.#line();
      if (line === undefined) return { body: Buffer.concat(chunks), complete: false };
      const size = Number.parseInt(line, 16);
      if (size === 0) {
        // Trailers, up to the empty line.
        let trailer = await this.#line();
        while (trailer !== undefined && trailer !== "") trailer = await this.#line();
        return { body: Buffer.concat(chunks), complete: trailer === "" };
      }
      const chunk = await this.#take(size);
      chunks.push(chunk);
      const crlf = await this.#take(2);
      if (crlf.length < 2) return { body: Buffer.concat(chunks), complete: false };
    }
  }

  async #line(): Promise<string | undefined> {
    for (;;) {
      const at = this.#bytes.indexOf("\r\n");
      if (at >= 0) {
        const line = this.#bytes.subarray(0, at).toString("latin1");
        this.#bytes = this.#bytes.subarray(at + 2);
        return line;
      }
      if (this.#ended) return undefined;
      await this.#more();
    }
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#bytes.length < length && !this.#ended) await this.#more();
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(taken.length);
    return taken;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#wakers.push(resolve));
  }

  #finish(): void {
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }
}

function parseHead(text: string, end: number): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(first);
  if (status === null) throw new Error(`not a status line: ${JSON.stringify(first)}`);
  const headers = lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  return { status: Number(status[1]), reason: status[2] ?? "", headers, end };
}

function newResponse(
  head: Head,
  body: Buffer,
  complete: boolean,
  interim: readonly number[],
): RawResponse {
  const all = (name: string) =>
    head.headers.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, v]) => v);
  return {
    status: head.status,
    reason: head.reason,
    headers: head.headers,
    body,
    complete,
    interim,
    all,
    header: (name) => all(name)[0],
    json: () => JSON.parse(body.toString("utf8")) as Record<string, unknown>,
  };
}

/** Connects to a loopback port. The socket is destroyed at teardown. */
export function connectRaw(t: Teardown, port: number): Promise<RawClient> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    t.teardown(() => socket.destroy());
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(new RawSocket(socket));
    });
  });
}

/** One request over a fresh connection: sends the bytes, reads one answer, closes. */
export async function exchangeRaw(
  t: Teardown,
  port: number,
  bytes: string | Uint8Array,
  options: { readonly method?: string } = {},
): Promise<RawResponse> {
  const client = await connectRaw(t, port);
  client.send(bytes);
  const response = await client.read(options);
  client.socket.destroy();
  return response;
}
