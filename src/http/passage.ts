/**
 * One passed request: the client's upload to the upstream and the upstream's answer back, each at the other's pace,
 * with the timers, the failures and the clean ends that http-proxy leaves out. Opens nothing itself; `tunnel.ts` does.
 */
import { IncomingMessage } from "node:http";
import type { ClientRequest, InformationEvent } from "node:http";
import { Socket } from "node:net";
import type { PassThrough } from "node:stream";
import type { Passed } from "../core/ports.ts";
import type { Problem } from "../core/problem.ts";
import type { HeaderPair } from "../core/record.ts";
import { isSafe } from "../core/route.ts";
import { endToEnd, flat, pairsOf, renderHead, tokensOf, without } from "./headers.ts";
import { cut, inviteBody, isOver, lingerThenEnd, sendProblem, type Turn } from "./reply.ts";

export interface PassageLimits {
  readonly connectTimeoutMs: number;
  /** Without a response head and without progress of the upload for this long: 504. */
  readonly timeoutMs: number;
  /** A reader of an upgraded connection that takes nothing of what is pending for this long is cut. */
  readonly idleTimeoutMs: number;
}

/**
 * Never connected and so never dead: with a dead one http-proxy would report resets elsewhere. One for all, because
 * nothing is done with it, and a socket of its own would cost each request 15 us.
 */
const NOWHERE = new Socket();

/**
 * What http-proxy takes for the client's request. Of its own it has the method alone (target and fields are pinned,
 * the body comes apart); its events come back through it; and on `aborted` http-proxy aborts the call, at any time,
 * also while that waits for a connection.
 */
export class Onward extends IncomingMessage {
  constructor(method: string) {
    super(NOWHERE);
    this.method = method;
    this.url = "/";
  }

  abort(): void {
    this.emit("aborted");
  }
}

/** The wait for the upstream: first for a connection, then for the head. http-proxy's own time-outs mean other things. */
export class HeadClock {
  readonly #limits: PassageLimits;
  readonly #onOver: (what: "connect" | "head") => void;
  #head: NodeJS.Timeout | undefined;
  #connect: NodeJS.Timeout | undefined;
  /** Until a connection stands, not a byte has left. */
  connected = false;

  constructor(limits: PassageLimits, onOver: (what: "connect" | "head") => void) {
    this.#limits = limits;
    this.#onOver = onOver;
  }

  /** Starts waiting for the head, or starts again because there was progress. */
  start(): void {
    if (this.#head === undefined) {
      this.#head = setTimeout(() => this.#onOver("head"), this.#limits.timeoutMs);
    } else this.#head.refresh();
  }

  /** Waits for the call's connection, unless it got one that stands already. */
  watch(call: ClientRequest): void {
    if (call.socket === null) call.once("socket", (socket) => this.#watchSocket(socket));
    else this.#watchSocket(call.socket);
  }

  #watchSocket(socket: Socket): void {
    this.connected = !socket.connecting;
    if (this.connected) return;
    this.#connect = setTimeout(() => this.#onOver("connect"), this.#limits.connectTimeoutMs);
    socket.once("encrypted" in socket ? "secureConnect" : "connect", () => {
      this.connected = true;
      clearTimeout(this.#connect);
    });
  }

  stop(): void {
    clearTimeout(this.#head);
    clearTimeout(this.#connect);
  }
}

/** A problem and the fields that go with it. */
export interface Refusal {
  readonly problem: Problem;
  readonly extra: readonly HeaderPair[];
}

/**
 * No answer from the upstream. Only where sending again can do no harm is it asked for: nothing was sent, or the
 * method is safe.
 */
export function unreachable(status: 502 | 504, method: string, connected: boolean): Refusal {
  const harmless = isSafe(method) || !connected;
  const detail = !connected
    ? "Nothing was sent to the upstream. Send the request again."
    : harmless
      ? "The upstream gave no answer. Send the request again."
      : "The upstream gave no answer, and nobody knows whether it executed the request. Find out before you send it again.";
  return {
    problem: { code: "upstream-unreachable", status, detail },
    extra: harmless ? [["Retry-After", "1"]] : [],
  };
}

/** Settles its promise once, when the answer is told or the client is gone. */
export class Passage {
  readonly #turn: Turn;
  readonly #onward: Onward;
  /** Undefined where the client sends no body: then http-proxy has the request itself to read to its end. */
  readonly #upload: PassThrough | undefined;
  readonly #clock: HeadClock;
  #resolve: ((passed: Passed) => void) | undefined;
  #told: readonly HeaderPair[] = [];
  #answer: IncomingMessage | undefined;
  /** Told, failed or given up: what the upstream still says is nobody's any more. */
  #over = false;
  #status = 0;
  #outcome: Passed["outcome"] = "passed";

  constructor(turn: Turn, onward: Onward, upload: PassThrough | undefined, limits: PassageLimits) {
    this.#turn = turn;
    this.#onward = onward;
    this.#upload = upload;
    this.#clock = new HeadClock(limits, (what) => this.#onTimeout(what));
  }

  /** `send` makes http-proxy open the request and pipe the upload into it. */
  start(
    read: Uint8Array | undefined,
    told: readonly HeaderPair[],
    send: () => void,
  ): Promise<Passed> {
    const { req, res } = this.#turn;
    if (isOver(this.#turn)) return Promise.resolve({ status: 0, outcome: "client-gone" });
    this.#told = told;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#onward.on("call", (call: ClientRequest) => this.#onCall(call));
      this.#onward.on("answer", (answer: IncomingMessage) => this.#onAnswer(answer));
      this.#onward.on("failure", () => this.#fail(502));
      res.once("close", () => this.#onClientClosed());
      inviteBody(this.#turn);
      if (read !== undefined && read.length > 0) this.#upload?.write(read);
      this.#clock.start();
      send();
      if (this.#upload === undefined) return;
      req.pipe(this.#upload);
      // Progress is what the upstream's pace lets through: a stalled upstream stops the pipe, and so the client.
      req.on("data", () => this.#answer ?? this.#clock.start());
    });
  }

  /** The request is open and has a connection, or one that is being made. */
  #onCall(call: ClientRequest): void {
    this.#clock.watch(call);
    // An answer that Node cannot use (101 without having asked) ends in `close` alone.
    call.once("close", () => this.#fail(502));
    call.on("information", (interim: InformationEvent) => this.#onInterim(interim));
  }

  /** RFC 9110 §15.2: passed on, except the 100, which is this hop's own, and to clients that know none. */
  #onInterim({ statusCode, rawHeaders }: InformationEvent): void {
    const { req, res } = this.#turn;
    if (this.#over || isOver(this.#turn) || statusCode === 100 || req.httpVersion === "1.0") return;
    const toldNames = this.#told.map(([name]) => name.toLowerCase());
    const headers = without(endToEnd(pairsOf(rawHeaders)), "content-length", ...toldNames);
    // Node writes 103 with its own idea of `Link` alone. The socket is there once the answers before are out.
    res.socket?.write(renderHead(statusCode, headers));
  }

  /** The final head. */
  #onAnswer(answer: IncomingMessage): void {
    const { req, res } = this.#turn;
    this.#clock.stop();
    if (this.#over || isOver(this.#turn)) {
      answer.destroy();
      return;
    }
    const received = pairsOf(answer.rawHeaders);
    // Node takes off the chunking alone; a body in another coding would lose the field that says so.
    const codings = tokensOf(received, "transfer-encoding");
    const status = answer.statusCode ?? 502;
    if (codings.some((coding) => coding !== "chunked")) return this.#fail(502);
    const toldNames = this.#told.map(([name]) => name.toLowerCase());
    const headers = [...without(endToEnd(received), ...toldNames), ...this.#told];
    // The connection cannot be used again while a body that nobody may ever read stands on it.
    if (!req.complete) res.shouldKeepAlive = false;
    // RFC 9110 §8.6: no Content-Length with 204.
    const fields = flat(status === 204 ? without(headers, "content-length") : headers);
    try {
      res.writeHead(status, answer.statusMessage ?? "", fields);
    } catch {
      // The parser lets through what may not be written again: status 099, control characters in the reason.
      this.#fail(502);
      return;
    }
    this.#answer = answer;
    this.#status = status;
    let whole = false;
    answer.once("end", () => {
      whole = true;
      this.#onWhole();
    });
    // Told by `close`, which follows.
    answer.once("error", () => undefined);
    // An upstream that dies mid-body must not look like one that finished, and must not leave the client waiting.
    answer.once("close", () => void (whole || res.writableEnded || cut(res)));
    answer.pipe(res, { end: false });
    // The head goes out even if the first byte of the body is long in coming (server-sent events).
    setImmediate(() => void (res.writableEnded || res.destroyed || res.flushHeaders()));
  }

  /** Trailers are dropped: they are no part of what `Connection` and the routes were judged by. */
  #onWhole(): void {
    const { req, res } = this.#turn;
    this.#over = true;
    res.once("finish", () => this.#settle("passed"));
    if (req.complete) {
      res.end();
      return;
    }
    // Answered before the upload was through. Nobody needs the rest.
    req.unpipe();
    this.#onward.abort();
    void lingerThenEnd(this.#turn);
  }

  /** Nobody is left to tell: the upstream's side is closed too, so that it can stop working for nobody. */
  #onClientClosed(): void {
    // Told in full; `close` may come before the promise that says so.
    if (this.#turn.res.writableFinished) return this.#settle(this.#outcome);
    this.#over = true;
    this.#release();
    this.#settle("client-gone");
  }

  #onTimeout(what: "connect" | "head"): void {
    const { req } = this.#turn;
    const { connected } = this.#clock;
    // Nothing of the upload is held back by the upstream, and there is more to come: the client is the one that stalls.
    const upload = this.#upload;
    const starving = upload?.readableLength === 0 && !upload.writableNeedDrain;
    if (what === "head" && connected && !req.complete && starving) {
      // The upstream waits for the body, and so do we.
      const problem: Problem = { code: "body-incomplete", status: 408, detail: "Send the body." };
      return this.#refuse({ problem, extra: [] }, "client-gone");
    }
    this.#fail(504);
  }

  #fail(status: 502 | 504): void {
    // Once there is a head, how the answer itself ends is what counts.
    if (this.#over || this.#answer !== undefined) return;
    const method = this.#turn.req.method ?? "";
    this.#refuse(unreachable(status, method, this.#clock.connected), "upstream-unreachable");
  }

  /** The gateway's own answer, in place of the one that did not come. */
  #refuse(refusal: Refusal, outcome: Passed["outcome"]): void {
    this.#over = true;
    this.#release();
    this.#status = refusal.problem.status;
    this.#outcome = outcome;
    void sendProblem(this.#turn, refusal.problem, [...refusal.extra, ...this.#told]).then(() =>
      this.#settle(outcome),
    );
  }

  /** Lets go of the upstream: it sees its connection close, as it would have seen the client's. */
  #release(): void {
    this.#clock.stop();
    this.#turn.req.unpipe();
    this.#onward.abort();
    this.#answer?.destroy();
  }

  #settle(outcome: Passed["outcome"]): void {
    this.#clock.stop();
    this.#resolve?.({ status: this.#status, outcome });
  }
}
