/**
 * What becomes of an upstream's answer: recorded, released, or unknown; and which of its header fields are kept.
 */
import { HOP_BY_HOP } from "./fields.ts";
import type { Policy } from "./policy.ts";
import type { HeaderPair, RecordedResponse } from "./record.ts";
import { TRACE_NOTE } from "./trace.ts";

export type Verdict = "record" | "release" | "unknown";

export function verdictOn(status: number, policy: Pick<Policy, "respond">): Verdict {
  if (policy.respond.release.includes(status)) return "release";
  if (policy.respond.unknown.includes(status)) return "unknown";
  return "record";
}

/**
 * Framing belongs to a connection and `Date` to a moment (RFC 9110 §6.6.1); a replay has its own. Hop-by-hop fields
 * are gone before an answer comes here. The gateway's own fields are never taken from an upstream.
 */
const NEVER_TOLD: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "content-length",
  "idempotency-key",
  "idempotency-status",
  "idempotency-record",
  "idempotency-expires",
  "idempotent-replayed",
  TRACE_NOTE,
]);

export function isNeverTold(lowerCaseName: string): boolean {
  return NEVER_TOLD.has(lowerCaseName);
}

/** An upstream's fields as the first caller gets them: all but framing and the gateway's own. */
export function headersToTell(headers: readonly HeaderPair[]): readonly HeaderPair[] {
  return headers.filter(([name]) => !isNeverTold(name.toLowerCase()));
}

export function headersToRecord(
  headers: readonly HeaderPair[],
  dropHeaders: readonly string[],
): readonly HeaderPair[] {
  return headersToTell(headers).filter(([name]) => {
    const field = name.toLowerCase();
    return field !== "date" && !dropHeaders.includes(field);
  });
}

/** What is kept of an answer; of a route that keeps none, how it ended and nothing else. */
export function toRecord(
  { status, headers, body }: RecordedResponse,
  { respond, replay }: Pick<Policy, "respond" | "replay">,
): RecordedResponse {
  return respond.keepsAnswer
    ? { status, headers: headersToRecord(headers, replay.dropHeaders), body }
    : { status, headers: [], body: undefined };
}

/**
 * Seconds after which a duplicate of an in-flight request should try again: what that route's upstream usually takes,
 * less what has passed; at least 1, and never past the lease, where the answer changes anyway.
 */
export function retryAfterS(usualMs: number, elapsedMs: number, leaseLeftMs: number): number {
  const left = Math.min(Math.max(usualMs - elapsedMs, 0), Math.max(leaseLeftMs, 0));
  return Math.max(1, Math.ceil(left / 1000));
}

/** RFC 9110 §15.3. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}
