/**
 * The upstream of the tests: a real node:http server on a free loopback port that remembers every call, answers what
 * it is told, and holds its answers behind gates, so that a test orders interleavings without sleeping.
 * `startRawUpstream` answers bytes instead, for what no well-behaved server would say.
 */
import http from "node:http";
import net from "node:net";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

/** What these servers need of a tap test. */
export interface Teardown {
  teardown(fn: () => unknown): unknown;
}

/** One request, whole. */
export interface Call {
  readonly method: string;
  /** The request target exactly as it came. */
  readonly url: string;
  /** Flat name, value, name, value, as it came. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** Every value of a field, by case-insensitive name. */
  all(name: string): string[];
}

export interface Answer {
  /** Default 200. */
  readonly status?: number;
  /** Flat name, value list. Default `Content-Type: text/plain`. Without Content-Length the body's is added. */
  readonly headers?: readonly string[];
  /** Default `ok`. */
  readonly body?: string | Uint8Array;
}

export type Responder = (
  call: Call,
  req: http.IncomingMessage,
  res: http.ServerResponse,
) => void | Promise<void>;

/** While held, calls arrive and are counted, and no answer is given. */
export interface Gate {
  release(): void;
}

/** A request whose head is here; its body may still be on the way. */
export interface Arriving {
  readonly req: http.IncomingMessage;
  readonly res: http.ServerResponse;
  /** Resolves when the exchange is over, answered or cut off. */
  readonly closed: Promise<void>;
}

export interface TestUpstream {
  /** `http://127.0.0.1:PORT`, no slash at the end. */
  readonly url: string;
  readonly port: number;
  readonly server: http.Server;
  /** The calls that arrived whole, in order. */
  readonly calls: readonly Call[];
  /** Requests whose head has arrived, whole or not, upgrades included: "how often the upstream was called". */
  count(): number;
  /** The n-th whole call (from 1), now or when it arrives. */
  arrived(n: number): Promise<Call>;
  /** The n-th request (from 1) as soon as its head is there. */
  arriving(n: number): Promise<Arriving>;
  /** What is answered from now on, unless `respond` says otherwise. */
  answer(answer: Answer): void;
  /** Calls from now on are answered by this; undefined goes back to `answer`. */
  respond(responder: Responder | undefined): void;
  /** Calls that arrive from now on wait until the gate is released. */
  hold(): Gate;
  /** Closes the port and every connection at once. Also done at teardown. */
  close(): Promise<void>;
}

export interface UpstreamOptions {
  /** Default: any free port. */
  readonly port?: number;
  /** Default: loopback. */
  readonly host?: string;
  readonly answer?: Answer;
  readonly respond?: Responder;
  readonly onUpgrade?: (req: http.IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Called as soon as the head is there, instead of waiting for the body; such requests appear in no `calls`. */
  readonly onHead?: (req: http.IncomingMessage, res: http.ServerResponse) => void;
}

/** A list that can be awaited by position. */
class Arrivals<Item> {
  readonly items: Item[] = [];
  readonly #waiting = new Map<number, ((item: Item) => void)[]>();

  push(item: Item): void {
    this.items.push(item);
    for (const wake of this.#waiting.get(this.items.length) ?? []) wake(item);
    this.#waiting.delete(this.items.length);
  }

  nth(n: number): Promise<Item> {
    const item = this.items[n - 1];
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => {
      this.#waiting.set(n, [...(this.#waiting.get(n) ?? []), resolve]);
    });
  }
}

export async function startUpstream(
  t: Teardown,
  options: UpstreamOptions = {},
): Promise<TestUpstream> {
  const calls = new Arrivals<Call>();
  const heads = new Arrivals<Arriving>();
  let upgrades = 0;
  let answer = options.answer ?? {};
  let responder = options.respond;
  let gates: Promise<void>[] = [];

  const server = http.createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    const closed = new Promise<void>((resolve) => res.once("close", resolve));
    heads.push({ req, res, closed });
    if (options.onHead !== undefined) return options.onHead(req, res);
    const chunks: Buffer[] = [];
    req.on("error", () => {
      // Cut off: `closed` tells the test.
    });
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => void onWhole(req, res, Buffer.concat(chunks)));
  });
  if (options.onUpgrade !== undefined) {
    const onUpgrade = options.onUpgrade;
    server.on("upgrade", (req, socket, head) => {
      upgrades += 1;
      onUpgrade(req, socket, head);
    });
  }

  async function onWhole(req: http.IncomingMessage, res: http.ServerResponse, body: Buffer) {
    const call = newCall(req, body);
    const waitFor = gates;
    const respond = responder;
    calls.push(call);
    await Promise.all(waitFor);
    if (respond !== undefined) await respond(call, req, res);
    else writeAnswer(res, answer);
  }

  const host = options.host ?? LOOPBACK;
  const port = await listenOn(server, options.port ?? 0, host);
  const close = () => closeServer(server, () => server.closeAllConnections());
  t.teardown(close);
  return {
    url: `http://${host}:${port}`,
    port,
    server,
    calls: calls.items,
    count: () => heads.items.length + upgrades,
    arrived: (n) => calls.nth(n),
    arriving: (n) => heads.nth(n),
    answer: (next) => {
      answer = next;
    },
    respond: (next) => {
      responder = next;
    },
    hold: () => {
      let release = (): void => undefined;
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      gates = [...gates, gate];
      return {
        release: () => {
          gates = gates.filter((other) => other !== gate);
          release();
        },
      };
    },
    close,
  };
}

/** Answers at once, as `TestUpstream.answer` would. */
export function writeAnswer(res: http.ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.body ?? "ok");
  const headers = [...(answer.headers ?? ["Content-Type", "text/plain"])];
  const named = new Set(headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
  const status = answer.status ?? 200;
  const bodiless = status === 204 || status === 304;
  if (!bodiless && !named.has("content-length") && !named.has("transfer-encoding")) {
    headers.push("Content-Length", String(body.length));
  }
  res.writeHead(status, headers);
  res.end(bodiless ? undefined : body);
}

function newCall(req: http.IncomingMessage, body: Buffer): Call {
  const { rawHeaders } = req;
  return {
    method: req.method ?? "",
    url: req.url ?? "",
    rawHeaders,
    body,
    all: (name) =>
      rawHeaders.filter(
        (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === name.toLowerCase(),
      ),
  };
}

/** One connection of a raw upstream. */
export interface RawConnection {
  readonly socket: net.Socket;
  /** Everything received so far, latin1. */
  received(): string;
}

export interface RawUpstream {
  readonly url: string;
  readonly port: number;
  readonly connections: readonly RawConnection[];
  /** How many request heads (up to an empty line, not counting chunked endings) have arrived. */
  count(): number;
  /** The connection on which the n-th head (from 1) arrived. */
  arrived(n: number): Promise<RawConnection>;
  close(): Promise<void>;
}

/**
 * A net server that calls `script` for each request head. A string or Buffer is written as it stands; a function does
 * what it wants with the socket (write in pieces, end, `resetAndDestroy`). `head` is latin1, up to the empty line.
 */
export async function startRawUpstream(
  t: Teardown,
  script: string | Buffer | ((socket: net.Socket, head: string) => void),
): Promise<RawUpstream> {
  const connections: RawConnection[] = [];
  const heads = new Arrivals<RawConnection>();
  const server = net.createServer((socket) => {
    let text = "";
    let scanned = 0;
    const connection = { socket, received: () => text };
    connections.push(connection);
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (;;) {
        const head = /[A-Z]+ \S+ HTTP\/1\.[01]\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(text.slice(scanned));
        if (head === null) return;
        scanned += head.index + head[0].length;
        heads.push(connection);
        if (typeof script === "function") script(socket, head[0]);
        else socket.write(script);
      }
    });
  });
  const port = await listenOn(server, 0);
  const close = () =>
    closeServer(server, () => {
      for (const { socket } of connections) socket.destroy();
    });
  t.teardown(close);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    connections,
    count: () => heads.items.length,
    arrived: (n) => heads.nth(n),
    close,
  };
}

const LOOPBACK = "127.0.0.1";

function listenOn(server: net.Server, port: number, host = LOOPBACK): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
}

function closeServer(server: net.Server, cut: () => void): Promise<void> {
  if (!server.listening) return Promise.resolve();
  return new Promise((resolve) => {
    server.close(() => resolve());
    cut();
  });
}
