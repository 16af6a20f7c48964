/**
 * The guarded call to the upstream, by undici: one request, one captured answer, and the truth about whether anything
 * was sent. Nothing here retries, follows a redirect or decodes a body. Pass-through traffic is the tunnel's.
 */
import type { Readable } from "node:stream";
import type { ForwardOutcome, OutboundRequest, Upstream } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import {
  announcesTooMuch,
  IDLE_MARGIN_MS,
  IDLE_MS,
  idleMsOf,
  isFramed,
  rawPairs,
} from "./answer-fields.ts";
import { AnswerGate } from "./answer-gate.ts";
import { bodyStream, newAnswerStream } from "./answer-stream.ts";
import { Connections, type Lane } from "./connections.ts";
import { endToEnd, flat } from "./headers.ts";
import { causeOf } from "./report.ts";
import { buildConnector, Client, type Connect, type Controller, type Handler } from "./undici.ts";

export interface UpstreamOptions {
  /** An origin. */
  readonly url: string;
  readonly connectTimeoutMs: number;
  /** At most this many connections at once. */
  readonly connections: number;
}

export type UpstreamPool = Upstream & { close(): Promise<void>; retire(): void };

export function createUpstream(options: UpstreamOptions): UpstreamPool {
  // One for all connections: it remembers TLS sessions, and a new connection then costs less.
  const connect = buildConnector({ timeout: options.connectTimeoutMs });
  const lanes: Connections<UpstreamLane> = new Connections(
    options.connections,
    () => new UpstreamLane(options.url, connect, (lane) => lanes.remove(lane)),
  );
  let closed = false;
  return {
    send: (request, limits) =>
      closed
        ? Promise.resolve({ kind: "not-sent", status: 502, cause: "closed" })
        : new Promise((resolve) => new Call(lanes, request, limits, resolve).start()),
    retire: () => lanes.retire(),
    async close() {
      closed = true;
      await lanes.close();
    },
  };
}

/** One connection, and undici's client that opens it, and opens it again where it was closed before it was used. */
class UpstreamLane implements Lane {
  readonly client: InstanceType<typeof Client>;
  /** Of the connection that stands. */
  gate: AnswerGate | undefined;
  #idleUntilMs = Infinity;

  constructor(url: string, connect: Connect, onClosed: (lane: UpstreamLane) => void) {
    this.client = new Client(url, {
      pipelining: 1,
      connect: connector(connect, (gate) => {
        this.gate = gate;
      }),
      keepAliveTimeout: IDLE_MS,
      keepAliveTimeoutThreshold: IDLE_MARGIN_MS,
      // One deadline for the whole call, ours: undici's two would each start anew.
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
    });
    this.client.on("disconnect", () => onClosed(this));
  }

  get over(): boolean {
    return (this.gate?.over ?? true) || performance.now() > this.#idleUntilMs;
  }

  /** An answer is through: undici's timer closes what is idle for longer than that, and may run late. */
  usableUntil(ms: number): void {
    this.#idleUntilMs = ms;
  }

  close(): Promise<void> {
    return this.client.destroy();
  }
}

/**
 * undici takes a connection reset for the regular end of an answer that is delimited by the connection's end; RFC 9112
 * §8 does not, and a cut answer must never be recorded. It also fails what is queued behind an idle connection that is
 * reset. Both turn on the error's code, so a reset is given the one that undici uses for a connection that just ended:
 * then the running request fails, and a queued one, not sent yet, gets a new connection.
 */
function connector(connect: Connect, onOpen: (gate: AnswerGate) => void): Connect {
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error !== null) return callback(error, null);
      // Before undici has listeners of its own on the socket, so that this one is called first.
      socket.on("error", (broken: Error & { code?: unknown }) => {
        if (broken.code === "ECONNRESET") broken.code = "UND_ERR_SOCKET";
      });
      onOpen(new AnswerGate(socket));
      callback(null, socket);
    });
}

type Limits = Parameters<Upstream["send"]>[1];

/** One call, from the pool's queue to the end of its answer. Settles its promise once. */
class Call implements Handler {
  readonly #lanes: Connections<UpstreamLane>;
  readonly #request: OutboundRequest;
  readonly #limits: Limits;
  readonly #resolve: (outcome: ForwardOutcome) => void;
  #lane: UpstreamLane | undefined;
  #leaveQueue: (() => void) | undefined;
  #controller: Controller | undefined;
  #settled = false;
  #idleMs = IDLE_MS;
  #sentMs = 0;
  #deadline: NodeJS.Timeout | undefined;
  #deadlineMs = Infinity;
  #status = 0;
  #headers: readonly HeaderPair[] = [];
  #chunks: Buffer[] = [];
  #received = 0;
  #isFramed = true;
  #stream: Readable | undefined;

  constructor(
    lanes: Connections<UpstreamLane>,
    request: OutboundRequest,
    limits: Limits,
    resolve: (outcome: ForwardOutcome) => void,
  ) {
    this.#lanes = lanes;
    this.#request = request;
    this.#limits = limits;
    this.#resolve = resolve;
  }

  start(): void {
    this.#deadlineMs = performance.now() + this.#limits.deadlineMs;
    this.#deadline = setTimeout(() => this.#expire(), this.#limits.deadlineMs);
    this.#leaveQueue = this.#lanes.take({
      use: (lane) => this.#dispatch(lane),
      giveUp: () => this.#settle({ kind: "not-sent", status: 502, cause: "closed" }),
    });
  }

  #dispatch(lane: UpstreamLane): void {
    this.#lane = lane;
    const { method, target, headers, body } = this.#request;
    const { buffer, byteOffset, byteLength } = body;
    try {
      lane.client.dispatch(
        {
          method,
          path: target,
          headers: flat(headers),
          body: byteLength > 0 ? Buffer.from(buffer, byteOffset, byteLength) : null,
        },
        this,
      );
    } catch (error) {
      // undici refuses a malformed request before it takes a connection.
      this.#settle({ kind: "not-sent", status: 502, cause: causeOf(error) });
      this.#giveBack();
    }
  }

  /** In a turn of its own: undici is not done with a call whose end it tells. */
  #giveBack(): void {
    const lane = this.#lane;
    this.#lane = undefined;
    // From when the request was sent: the upstream's own time cannot have begun before, however late its answer was read.
    lane?.usableUntil(this.#sentMs + this.#idleMs);
    if (lane !== undefined) setImmediate(() => this.#lanes.giveBack(lane));
  }

  /** undici calls this on a connection, right before the first byte is written: what fails earlier was not sent. */
  onRequestStart(controller: Controller): void {
    // DANGER: after a pause of the process a connection that has become free may be seen before the timer that is
    // over. The lease may be over too by then, and another gateway may have sent this request.
    this.#sentMs = performance.now();
    if (this.#sentMs >= this.#deadlineMs) this.#expire();
    if (this.#settled) {
      // The caller was told "not sent" while this waited for a connection; aborting here keeps that true.
      controller.abort(new Error("deadline over"));
      return;
    }
    this.#controller = controller;
    this.#lane?.gate?.ask(this.#request.method);
  }

  onResponseStart(controller: Controller, status: number): void {
    if (status < 200) return;
    const headers = rawPairs(controller.rawHeaders);
    this.#status = status;
    this.#idleMs = idleMsOf(headers);
    this.#headers = endToEnd(headers);
    // RFC 9112 §6.3: these end with their head. undici would take a Content-Length for a promise and the answer for cut.
    if (status === 204 || status === 304) {
      this.#settleAnswered();
      if (isFramed(headers)) controller.abort(new Error("no body"));
      return;
    }
    if (this.#request.method === "HEAD") return;
    this.#isFramed = isFramed(headers);
    if (announcesTooMuch(headers, this.#limits.responseBytes)) this.#startStream();
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#stream !== undefined) {
      if (!this.#stream.push(chunk)) {
        this.#lane?.gate?.pause();
        controller.pause();
      }
      return;
    }
    this.#chunks.push(chunk);
    this.#received += chunk.byteLength;
    if (this.#received > this.#limits.responseBytes) this.#startStream();
  }

  onResponseEnd(): void {
    this.#giveBack();
    // RFC 9112 §8: of an answer that only the close delimits nobody can tell whether it is whole. An upstream that is
    // killed closes, too, and Node tells some resets as an end. It is passed on, and not kept.
    if (!this.#isFramed && this.#stream === undefined) this.#startStream();
    if (this.#stream !== undefined) {
      this.#stream.push(null);
      return;
    }
    this.#settleAnswered();
  }

  onResponseError(_controller: Controller | undefined, error: Error): void {
    this.#giveBack();
    if (this.#stream !== undefined) {
      this.#stream.destroy(error);
      return;
    }
    const cause = causeOf(error);
    if (this.#controller === undefined) {
      const status = cause === "UND_ERR_CONNECT_TIMEOUT" || cause === "ETIMEDOUT" ? 504 : 502;
      return this.#settle({ kind: "not-sent", status, cause });
    }
    const reason = this.#status === 0 ? "reset" : "truncated";
    this.#settle({ kind: "unknown", reason, cause });
  }

  #expire(): void {
    if (this.#controller === undefined) {
      this.#leaveQueue?.();
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

  /**
   * Settles with what is there, and lets the rest come as the reader takes it. The deadline ends here: the record is
   * already "executed, not replayable", so a long answer may take its time and an event stream may be silent.
   */
  #startStream(): void {
    const stream = newAnswerStream(
      () => this.#lane?.gate?.resume(() => this.#controller?.resume()),
      (error) => this.#controller?.abort(error),
    );
    this.#stream = stream;
    for (const chunk of this.#chunks) stream.push(chunk);
    this.#chunks = [];
    this.#settle({
      kind: "streaming",
      status: this.#status,
      headers: this.#headers,
      stream: bodyStream(stream),
    });
  }
}
