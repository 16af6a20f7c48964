/**
 * The inbound port: connections, their limits and time-outs, what is refused before anything else looks at it, and the
 * graceful stop. Everything else about a request is the handler's. No error leaves this file, and nothing a client
 * sends ends the process.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Client, InboundRequest, Observer } from "../core/ports.ts";
import type { Problem } from "../core/problem.ts";
import type { HeaderPair } from "../core/record.ts";
import { newClient, newRequest } from "./client.ts";
import { forwardFields, peerFinder, type Peer } from "./headers.ts";
import { assertStrictParser, blocksOf, methodBehind, parserProblem } from "./parser.ts";
import { ReadOn } from "./read-on.ts";
import { outcomeOf, reportOf } from "./report.ts";
import { cut, giveUp, isOver, refuseSocket, sendProblem, type Turn } from "./reply.ts";
import { headOf, type Screen } from "./screen.ts";
import { connectionsOf, listenOn, newServer, stopListening, takeArrivals, tcp } from "./server.ts";
import type { ServerLimits } from "./server.ts";
import type { Tunnel } from "./tunnel.ts";
import { Turns } from "./turns.ts";
import { Work } from "./work.ts";

export interface ListenerOptions extends ServerLimits {
  readonly host: string;
  /** 0 asks for any free port. */
  readonly port: number;
  /** CIDR blocks (or single addresses) whose forwarding fields are believed. */
  readonly trustedProxies: readonly string[];
  /** For the whole body of a guarded request. */
  readonly bodyTimeoutMs: number;
  /** The value of NODE_OPTIONS: a parser made lenient there refuses to start. */
  readonly nodeOptions?: string;
  /** Asked once for each request: they may be others for the next one. */
  readonly terms: () => { readonly screen: Screen; readonly tunnel: Tunnel };
}

export interface Listener {
  /** Rejects where the port cannot be had, or where the parser has been made lenient. */
  start(): Promise<{ readonly host: string; readonly port: number }>;
  /**
   * No new connections; running handlers finish, however long they take; streams and upgraded connections are
   * destroyed once `graceMs` are over.
   */
  stop(graceMs: number): Promise<void>;
  readonly draining: boolean;
}

export type Handler = (request: InboundRequest, client: Client) => Promise<void>;

export function createListener(
  options: ListenerOptions,
  handler: Handler,
  observer: Observer,
): Listener {
  return new HttpListener(options, handler, observer);
}

/**
 * A connection is fresh, has turns, is doomed (closing over a refusal) or upgraded. A turn is screened, then handled;
 * handlers run on when their connection is gone, because what they have begun at the upstream is theirs to finish.
 */
class HttpListener implements Listener {
  readonly #options: ListenerOptions;
  readonly #handler: Handler;
  readonly #observer: Observer;
  readonly #peerOf: (socket: Socket) => Peer;
  readonly #server: Server;
  readonly #work = new Work((error) => this.#onBroken(error));
  readonly #turns = new Turns();
  readonly #upgraded = new Set<Socket>();
  readonly #sockets: ReadonlySet<Socket>;
  /** Connections that are being closed over a refusal: nothing further on them is looked at. */
  readonly #doomed = new WeakSet<Socket>();
  readonly #readOn = new ReadOn();
  draining = false;

  constructor(options: ListenerOptions, handler: Handler, observer: Observer) {
    this.#options = options;
    this.#handler = handler;
    this.#observer = observer;
    this.#peerOf = peerFinder(blocksOf(options.trustedProxies));
    this.#server = this.#newServer();
    this.#sockets = connectionsOf(this.#server);
  }

  async start(): Promise<{ readonly host: string; readonly port: number }> {
    assertStrictParser(this.#options.nodeOptions ?? "");
    return listenOn(this.#server, this.#options, (error) => this.#onBroken(error));
  }

  /** In this order: what has come, nothing new, what must finish, what may finish, and what has had its time. */
  async stop(graceMs: number): Promise<void> {
    this.draining = true;
    this.#readOn.stop();
    for (const turn of this.#turns.open) turn.res.shouldKeepAlive = false;
    if (this.#server.listening) await takeArrivals(this.#server);
    let timer: NodeJS.Timeout | undefined;
    const graceOver = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        // A duplicate may wait for another gateway's answer longer than anything here takes.
        for (const turn of this.#turns.open) giveUp(turn);
        resolve();
      }, graceMs);
    });
    const closed = this.#server.listening ? stopListening(this.#server) : Promise.resolve();
    for (const socket of this.#sockets) if (this.#isIdle(socket)) socket.destroy();
    // Not bounded by the grace: a guarded call has a deadline of its own, and its answer has to be recorded.
    await this.#work.settled();
    await Promise.race([this.#work.ended(), graceOver]);
    // Answers that are given but still close politely over an unread body.
    const closing = this.#turns.open.map(({ res }) => new Promise((r) => res.once("close", r)));
    await Promise.race([Promise.all(closing), graceOver]);
    clearTimeout(timer);
    for (const socket of this.#upgraded) socket.destroy();
    this.#server.closeAllConnections();
    await Promise.all([closed, this.#work.ended()]);
  }

  #isIdle(socket: Socket): boolean {
    return (this.#turns.on(socket) ?? []).length === 0 && !this.#upgraded.has(socket);
  }

  #newServer(): Server {
    const server = newServer(this.#options);
    server.on("timeout", (socket: Socket) => this.#onIdle(socket));
    server.on("request", (req, res) => this.#onRequest(req, res, false));
    server.on("checkContinue", (req, res) => this.#onRequest(req, res, true));
    server.on("checkExpectation", (req, res) => this.#onExpectation(req, res));
    server.on("clientError", (error, socket) => this.#onClientError(error, tcp(socket)));
    server.on("upgrade", (req, stream, head) => this.#onUpgrade(req, stream, head));
    server.on("connect", (req, stream, head) => this.#onUpgrade(req, stream, head));
    return server;
  }

  /** No byte moved for a while. Waiting is fine; not taking what is pending is not. */
  #onIdle(socket: Socket): void {
    const turns = this.#turns.on(socket);
    const betweenRequests = turns?.length === 0 && !this.#upgraded.has(socket);
    if (socket.writableLength > 0 || betweenRequests) socket.destroy();
  }

  /** Whatever is answered, and by whom: from here on the turn is counted until its answer or its client is gone. */
  #newTurn(req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean): Turn {
    const turn: Turn = { req, res, awaitsContinue, givenUp: false };
    this.#turns.add(turn);
    // Writing after the client has gone is found out by `close`; without a listener it would end the process.
    res.on("error", () => res.destroy());
    if (this.draining) res.shouldKeepAlive = false;
    return turn;
  }

  /** Screened before anything else sees it; then the handler's, whose promise is kept whatever the client does. */
  #onRequest(req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean): void {
    // Pipelined behind a refused request: what it says depends on where that one ended.
    if (this.#doomed.has(req.socket)) return;
    const startedMs = performance.now();
    const turn = this.#newTurn(req, res, awaitsContinue);
    const head = headOf(req);
    const { screen, tunnel } = this.#options.terms();
    const screened = screen(head);
    if (screened.kind === "refused") {
      this.#refuse(turn, screened, startedMs);
      return;
    }
    const { headers } = head;
    const peer = this.#peerOf(req.socket);
    const checked = {
      target: screened.target,
      headers,
      forwardHeaders: forwardFields(headers, peer),
    };
    const begin = (): void => {
      const request = newRequest(turn, checked, this.#options.bodyTimeoutMs);
      this.#work.add((becomeStream) => {
        const client = newClient(turn, request, {
          tunnel,
          onStream: becomeStream,
          readOn: this.#readOn,
          onUnsendable: (error) => this.#report(req, "internal-error", 500, startedMs, error),
        });
        return this.#run(turn, () => this.#handler(request, client), startedMs, becomeStream);
      });
    };
    this.#turns.inOrder(turn, begin, () => this.#report(req, "client-gone", 0, startedMs));
  }

  /** The last line of defence: a handler that fails, or forgets to answer, leaves no client waiting. */
  async #run(
    turn: Turn,
    handle: () => Promise<void>,
    startedMs: number,
    becomeStream: () => void,
  ): Promise<void> {
    try {
      await handle();
      if (isOver(turn)) return;
      throw new Error("the handler gave no answer");
    } catch (error) {
      becomeStream();
      this.#report(turn.req, "internal-error", 500, startedMs, error);
      if (isOver(turn)) {
        if (!turn.res.writableEnded) cut(turn.res);
      } else await sendProblem(turn, { code: "internal-error", status: 500 });
    }
  }

  /** RFC 9110 §10.1.1. Node's own 417 has no body that says why. */
  #onExpectation(req: IncomingMessage, res: ServerResponse): void {
    if (this.#doomed.has(req.socket)) return;
    const detail = "Expect nothing but 100-continue.";
    const problem: Problem = { code: "request-invalid", status: 417, detail };
    this.#refuse(this.#newTurn(req, res, false), problem, performance.now());
  }

  /** The connection ends with it: where the refused request ends is not certain enough to read on. */
  #refuse(turn: Turn, problem: Problem, startedMs: number): void {
    this.#doomed.add(turn.req.socket);
    turn.res.shouldKeepAlive = false;
    this.#report(turn.req, outcomeOf(problem), problem.status, startedMs);
    // A key that is sent twice is refused here and not by a route; it is told in the same fields.
    const word: readonly HeaderPair[] =
      problem.code === "key-invalid" ? [["Idempotency-Status", problem.code]] : [];
    // A stream from the beginning: it may wait behind an answer without end on the same connection, and a stop must not.
    this.#work.add((becomeStream) => {
      becomeStream();
      return sendProblem(turn, problem, word);
    });
  }

  /** What the parser refuses, and what its time-outs end. Never quotes the bytes. */
  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const problem = parserProblem(error.code);
    if (problem === undefined || !socket.writable) {
      socket.destroy();
      return;
    }
    // Its last answer is on its way; what else comes on it is nobody's.
    if (this.#doomed.has(socket)) return;
    this.#doomed.add(socket);
    const turns = this.#turns.on(socket) ?? [];
    const last = turns.at(-1);
    if (last?.req.complete === true) {
      // Behind a whole request that is still being worked on: an answer now would be taken for that one's.
      last.res.shouldKeepAlive = false;
      return;
    }
    if (turns.length > 1 || last?.res.headersSent === true) {
      socket.destroy();
      return;
    }
    this.#report(last?.req, "request-invalid", problem.status, performance.now());
    refuseSocket(socket, problem, [], last?.req.method ?? methodBehind(error, socket));
  }

  /** Also CONNECT, which `screen` refuses. Node has let go of the socket: what is told is written to it here. */
  #onUpgrade(req: IncomingMessage, stream: Duplex, head: Buffer): void {
    const startedMs = performance.now();
    // DANGER: since Node 26 `stream` is no socket but a wrapper where the request announces a body that is not all
    // here. Such an upgrade is refused, on the socket itself; the wrapper repeats the socket's errors.
    const { socket } = req;
    // A reset on an upgraded socket must not end the process; `close` follows and is what counts.
    for (const end of new Set([stream, socket])) end.on("error", () => end.destroy());
    if (this.#doomed.has(socket) || (this.#turns.on(socket)?.length ?? 0) > 0) {
      socket.destroy();
      return;
    }
    this.#doomed.add(socket);
    this.#upgraded.add(socket);
    socket.once("close", () => this.#upgraded.delete(socket));
    const requestHead = headOf(req);
    const { screen, tunnel } = this.#options.terms();
    const screened = screen(requestHead);
    if (screened.kind === "refused") {
      this.#report(req, outcomeOf(screened), screened.status, startedMs);
      refuseSocket(socket, screened, [], req.method);
      return;
    }
    const peer = this.#peerOf(socket);
    const headers = forwardFields(requestHead.headers, peer);
    this.#work.add(async (becomeStream) => {
      // A stream from the beginning: a handshake that was not finished has changed nothing.
      becomeStream();
      const outbound = { headers, target: screened.target };
      const { status, outcome } = await tunnel.upgrade(req, socket, head, outbound);
      this.#report(req, outcome, status, startedMs);
    });
  }

  /** Failures that belong to no turn. */
  #onBroken(error: unknown): void {
    this.#report(undefined, "internal-error", 0, performance.now(), error);
  }

  #report(...facts: Parameters<typeof reportOf>): void {
    this.#observer.finished(reportOf(...facts));
  }
}
