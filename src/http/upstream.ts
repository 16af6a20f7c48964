/**
 * The guarded call to the upstream, by undici: one request, one captured answer, and the truth about whether anything
 * was sent. Nothing here retries, follows a redirect or decodes a body. Pass-through traffic is the tunnel's.
 */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { Readable } from "node:stream";
import { buildConnector, Pool, type Dispatcher } from "undici";
import type { ForwardOutcome, OutboundRequest, Upstream } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import { endToEnd } from "./headers.ts";

export interface UpstreamOptions {
  /** An origin. */
  readonly url: string;
  readonly connectTimeoutMs: number;
  /** At most this many connections at once. */
  readonly connections: number;
}

export type UpstreamPool = Upstream & { close(): Promise<void> };

/**
 * How long an idle connection is kept where the upstream does not announce its own time-out. Short, because a request
 * that meets the upstream's close half-way is an unknown outcome, and a new connection costs far less than that.
 */
const IDLE_MS = 500;

/** An announced time-out (`Keep-Alive: timeout=…`) is used up to this long before it ends. */
const IDLE_MARGIN_MS = 1000;

export function createUpstream(options: UpstreamOptions): UpstreamPool {
  const pool = new Pool(options.url, {
    connections: options.connections,
    pipelining: 1,
    connect: connector(options.connectTimeoutMs),
    keepAliveTimeout: IDLE_MS,
    keepAliveTimeoutThreshold: IDLE_MARGIN_MS,
    // One deadline for the whole call, ours: undici's two would each start anew.
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
  });
  const secure = options.url.startsWith("https:");
  return {
    send: (request, limits) =>
      new Promise((resolve) => new Call({ pool, secure }, request, limits, resolve).start()),
    close: () => pool.destroy(),
  };
}

/**
 * undici takes a connection reset for the regular end of an answer that is delimited by the connection's end; RFC 9112
 * §8 does not, and a cut answer must never be recorded. It also fails what is queued behind an idle connection that is
 * reset. Both turn on the error's code, so a reset is given the one that undici uses for a connection that just ended:
 * then the running request fails, and a queued one, not sent yet, gets a new connection.
 */
function connector(timeoutMs: number): buildConnector.connector {
  const connect = buildConnector({ timeout: timeoutMs });
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error !== null) return callback(error, null);
      // Before undici has listeners of its own on the socket, so that this one is called first.
      socket.on("error", (broken: Error & { code?: unknown }) => {
        if (broken.code === "ECONNRESET") broken.code = "UND_ERR_SOCKET";
      });
      callback(null, socket);
    });
}

type Limits = Parameters<Upstream["send"]>[1];

/** One call, from the pool's queue to the end of its answer. Settles its promise once. */
class Call implements Dispatcher.DispatchHandler {
  readonly #pool: Pool;
  readonly #secure: boolean;
  readonly #request: OutboundRequest;
  readonly #limits: Limits;
  readonly #resolve: (outcome: ForwardOutcome) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #settled = false;
  #deadline: NodeJS.Timeout | undefined;
  #deadlineMs = Infinity;
  #status = 0;
  #headers: readonly HeaderPair[] = [];
  #chunks: Buffer[] = [];
  #received = 0;
  #stream: Readable | undefined;

  constructor(
    { pool, secure }: { readonly pool: Pool; readonly secure: boolean },
    request: OutboundRequest,
    limits: Limits,
    resolve: (outcome: ForwardOutcome) => void,
  ) {
    this.#pool = pool;
    this.#secure = secure;
    this.#request = request;
    this.#limits = limits;
    this.#resolve = resolve;
  }

  start(): void {
    const { method, target, headers, body } = this.#request;
    this.#deadlineMs = performance.now() + this.#limits.deadlineMs;
    this.#deadline = setTimeout(() => this.#expire(), this.#limits.deadlineMs);
    try {
      this.#pool.dispatch(
        {
          method,
          path: target,
          headers: headers.flat(),
          body:
            body.byteLength > 0 ? Buffer.from(body.buffer, body.byteOffset, body.byteLength) : null,
        },
        this,
      );
    } catch (error) {
      // undici refuses a malformed request before it takes a connection.
      this.#settle({ kind: "not-sent", status: 502, cause: codeOf(error) });
    }
  }

  /** undici calls this on a connection, right before the first byte is written: what fails earlier was not sent. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    // DANGER: after a pause of the process a connection that has become free may be seen before the timer that is
    // over. The lease may be over too by then, and another gateway may have sent this request.
    if (performance.now() >= this.#deadlineMs) this.#expire();
    if (this.#settled) {
      // The caller was told "not sent" while this waited for a connection; aborting here keeps that true.
      controller.abort(new Error("deadline over"));
      return;
    }
    this.#controller = controller;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return;
    const headers = rawPairs(controller.rawHeaders);
    if (!headers.every(isWritable)) {
      controller.abort(new Error("malformed header"));
      return this.#settle({ kind: "unknown", reason: "reset", cause: "malformed-header" });
    }
    this.#status = status;
    this.#headers = endToEnd(headers);
    // RFC 9112 §6.3: these end with their head. undici would take a Content-Length for a promise and the answer for cut.
    if (status === 204 || status === 304) return this.#settleAnswered();
    if (this.#request.method === "HEAD") return;
    // RFC 9112 §9.8: over TLS an answer that only the close delimits is whole only if close_notify came, which Node does
    // not tell. It is passed on as it comes and not kept.
    const mayBeCut = this.#secure && !isFramed(headers);
    if (mayBeCut || this.#announcesTooMuch(headers)) this.#startStream();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream !== undefined) {
      if (!this.#stream.push(chunk)) controller.pause();
      return;
    }
    this.#chunks.push(chunk);
    this.#received += chunk.byteLength;
    if (this.#received > this.#limits.responseBytes) this.#startStream();
  }

  onResponseEnd(): void {
    if (this.#stream !== undefined) {
      this.#stream.push(null);
      return;
    }
    this.#settleAnswered();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#stream !== undefined) {
      this.#stream.destroy(error);
      return;
    }
    const cause = codeOf(error);
    if (this.#controller === undefined) {
      const status = cause === "UND_ERR_CONNECT_TIMEOUT" || cause === "ETIMEDOUT" ? 504 : 502;
      return this.#settle({ kind: "not-sent", status, cause });
    }
    const reason = this.#status === 0 ? "reset" : "truncated";
    this.#settle({ kind: "unknown", reason, cause });
  }

  #expire(): void {
    if (this.#controller === undefined) {
      return this.#settle({ kind: "not-sent", status: 504, cause: "no-connection-in-time" });
    }
    this.#settle({ kind: "unknown", reason: "timeout", cause: "deadline-over" });
    this.#controller.abort(new Error("deadline over"));
  }

  #settleAnswered(): void {
    const { length } = this.#chunks;
    const body = length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
    this.#settle({
      kind: "answered",
      answer: { status: this.#status, headers: this.#headers, body },
    });
  }

  #settle(outcome: ForwardOutcome): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#deadline);
    this.#resolve(outcome);
  }

  /** Over the limit, or without end by its nature: these are told as they come and not kept. */
  #announcesTooMuch(headers: readonly HeaderPair[]): boolean {
    return headers.some(([name, value]) => {
      const field = name.toLowerCase();
      if (field === "content-length") return Number(value) > this.#limits.responseBytes;
      return field === "content-type" && /^text\/event-stream\b/i.test(value);
    });
  }

  /**
   * Settles with what is there, and lets the rest come as the reader takes it. The deadline ends here: the record is
   * already "executed, not replayable", so a long answer may take its time and an event stream may be silent.
   */
  #startStream(): void {
    const stream = new Readable({
      read: () => this.#controller?.resume(),
      destroy: (error, done) => {
        if (!stream.readableEnded) this.#controller?.abort(error ?? new Error("let go"));
        done(error);
      },
    });
    // Without a listener an upstream that breaks after the reader has left would end the process. The reader, where
    // there is one, sees the error through its iterator.
    stream.on("error", () => undefined);
    this.#stream = stream;
    for (const chunk of this.#chunks) stream.push(chunk);
    this.#chunks = [];
    this.#settle({
      kind: "streaming",
      status: this.#status,
      headers: this.#headers,
      stream: {
        [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator](),
        cancel: () => void stream.destroy(),
      },
    });
  }
}

/** Whether an answer says where it ends. */
function isFramed(headers: readonly HeaderPair[]): boolean {
  return headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
}

/** undici hands raw header bytes; one byte is one char (latin1), so that a replay gives the same bytes back. */
function rawPairs(raw: Dispatcher.DispatchController["rawHeaders"]): readonly HeaderPair[] {
  const flat: readonly (Buffer | string)[] = Array.isArray(raw) ? raw : [];
  const pairs: HeaderPair[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([text(flat[i]), text(flat[i + 1])]);
  return pairs;
}

function text(raw: Buffer | string | undefined): string {
  return typeof raw === "string" ? raw : (raw?.toString("latin1") ?? "");
}

function isWritable([name, value]: HeaderPair): boolean {
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

/** An error's code, for the log: never its message, which may quote what was sent. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "UNKNOWN";
  const { code } = error as Error & { code?: unknown };
  return typeof code === "string" ? code : error.name;
}
