/**
 * The flow's view of one turn: the request as it was checked, and the client that is answered or handed to the tunnel.
 * Holds no socket rules; the listener does.
 */
import type { Client, InboundRequest } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import { readBody, watchBody } from "./body.ts";
import { inviteBody, sendProblem, sendReply, type Turn } from "./reply.ts";
import type { ReadOn } from "./read-on.ts";
import type { Tunnel } from "./tunnel.ts";

export interface CheckedHead {
  readonly target: string;
  /** As received. */
  readonly headers: readonly HeaderPair[];
  /** For the upstream. */
  readonly forwardHeaders: readonly HeaderPair[];
}

/** `gone` aborts when the connection ends before the answer is handed over; never because of a slow client. */
export function newRequest(turn: Turn, head: CheckedHead, bodyTimeoutMs: number): InboundRequest {
  const { req, res } = turn;
  let gone: AbortSignal | undefined;
  return {
    method: req.method ?? "",
    target: head.target,
    headers: head.headers,
    forwardHeaders: head.forwardHeaders,
    /** Made for those who wait: each costs 15 us, and few do. */
    get gone() {
      gone ??= goneOf(turn);
      return gone;
    },
    readBody: (limitBytes) => {
      const announced = Number(req.headers["content-length"] ?? 0);
      // A client that asked first is told of the limit before it sends anything (RFC 9110 §10.1.1).
      if (announced <= limitBytes) inviteBody(turn);
      return readBody(req, limitBytes, bodyTimeoutMs);
    },
    watchBody: (limitBytes) => watchBody(req, res, limitBytes, bodyTimeoutMs),
  };
}

function goneOf(turn: Turn): AbortSignal {
  const { res } = turn;
  const gone = new AbortController();
  turn.onGivenUp = () => gone.abort();
  res.once("close", () => {
    if (!res.writableFinished) gone.abort();
  });
  if (turn.givenUp || res.destroyed) gone.abort();
  return gone.signal;
}

export interface ClientHooks {
  readonly tunnel: Tunnel;
  /** From here on the turn is a delivery that a stop need not wait for without end. */
  onStream(): void;
  readonly readOn: ReadOn;
  /** A reply whose head must not stand on the wire was replaced by a problem. */
  onUnsendable(error: unknown): void;
}

/** Answers once: what is sent after the first answer has begun goes nowhere, and streams are read to their end. */
export function newClient(turn: Turn, request: InboundRequest, hooks: ClientHooks): Client {
  return {
    async send(reply) {
      // What is to be told is settled; how fast the client takes it is its own business.
      hooks.onStream();
      try {
        await sendReply(turn, reply, hooks.readOn);
      } catch (error) {
        // Header names and values are checked by Node on the way out; a record that was tampered with ends here
        // instead of splitting the answer.
        hooks.onUnsendable(error);
        await sendProblem(turn, { code: "internal-error", status: 500 });
      }
    },
    pass(read, told, fields) {
      hooks.onStream();
      const { target, forwardHeaders } = request;
      const headers = fields ?? forwardHeaders;
      return hooks.tunnel.pass(turn, { target, headers, read, told });
    },
  };
}
