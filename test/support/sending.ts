/** The upstream client under test, with short spellings for what it sends and what came of it. */
import { createUpstream } from "../../src/http/upstream.ts";
import type { UpstreamOptions, UpstreamPool } from "../../src/http/upstream.ts";
import type { ForwardOutcome, OutboundRequest } from "../../src/core/ports.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import type { Teardown } from "./upstream.ts";

export interface Sending {
  readonly pool: UpstreamPool;
  readonly send: (
    request?: Partial<Omit<OutboundRequest, "body">> & { readonly body?: string | Uint8Array },
    limits?: { readonly deadlineMs?: number; readonly responseBytes?: number },
  ) => Promise<ForwardOutcome>;
}

/** Closed at teardown. Deadline 10 s and answers up to 1000 bytes, unless said otherwise. */
export function sendTo(
  t: Teardown,
  url: string,
  options: Partial<Omit<UpstreamOptions, "url">> = {},
): Sending {
  const pool = createUpstream({ url, connectTimeoutMs: 2000, connections: 8, ...options });
  t.teardown(() => pool.close());
  return {
    pool,
    send: ({ body = "", ...request } = {}, { deadlineMs = 10_000, responseBytes = 1000 } = {}) =>
      pool.send(
        {
          method: "POST",
          target: "/v1/charges?x=1",
          headers: [],
          body: Buffer.from(body),
          ...request,
        },
        { deadlineMs, responseBytes },
      ),
  };
}

/** `not-sent 502 ECONNREFUSED`, `unknown timeout`, `answered 201`, `streaming 200`. */
export function word(outcome: ForwardOutcome): string {
  switch (outcome.kind) {
    case "not-sent":
      return `not-sent ${outcome.status} ${outcome.cause}`;
    case "unknown":
      return `unknown ${outcome.reason}`;
    case "answered":
      return `answered ${outcome.answer.status}`;
    case "streaming":
      return `streaming ${outcome.status}`;
  }
}

/** The whole answer of an outcome that must have one. */
export function answerOf(outcome: ForwardOutcome): {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: Buffer;
} {
  if (outcome.kind !== "answered") throw new Error(`not answered: ${word(outcome)}`);
  return { ...outcome.answer, body: Buffer.from(outcome.answer.body) };
}

/** The stream of an outcome that must have one. */
export function streamOf(
  outcome: ForwardOutcome,
): Extract<ForwardOutcome, { readonly kind: "streaming" }> {
  if (outcome.kind !== "streaming") throw new Error(`not streaming: ${word(outcome)}`);
  return outcome;
}
