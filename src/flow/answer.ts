/**
 * The last step: replies as values. Every guarded reply says how it came about, in the same header fields, whether it
 * is the upstream's answer, a replay or a refusal.
 */
import { fieldOf } from "../core/fields.ts";
import type { Outcome, ProblemCode } from "../core/outcome.ts";
import type { Policy, ReplayPolicy } from "../core/policy.ts";
import type { Reply } from "../core/ports.ts";
import { originalOf, renderProblem, type Original } from "../core/problem.ts";
import { shouldRetry, statusOf } from "../core/profile.ts";
import { headersToTell, isSuccess } from "../core/recordable.ts";
import type { CompletedRecord, HeaderPair } from "../core/record.ts";
import { withoutTraceNote } from "../core/trace.ts";

/** Whom and what a reply is about. `id` is absent where no key could be read. */
export interface About {
  readonly policy: Policy;
  readonly id?: string;
  readonly keyField?: string | undefined;
  /** Where the resource is that the request makes or changes, for answers without a `Location` of their own. */
  readonly address?: string | undefined;
  /** Whether a retry of an unknown outcome goes to the upstream again. */
  readonly resends?: boolean;
  /** Whether the upstream is asked what became of an unknown outcome. */
  readonly probes?: boolean;
}

/** A reply with the word for it. */
export interface Answer {
  readonly outcome: Outcome;
  readonly reply: Reply;
}

export interface ProblemExtras {
  /** Overrides the profile's status, where the situation has one of its own. */
  readonly status?: number;
  readonly detail?: string;
  readonly original?: Original;
  readonly retryAfterS?: number;
  readonly expiresAtMs?: number;
  /** The value of `WWW-Authenticate` (RFC 9110 §11.6.1). */
  readonly challenge?: string;
}

/** Why a request is refused before anything is claimed. */
export type Refusal = Pick<ProblemExtras, "detail" | "retryAfterS" | "challenge"> & {
  readonly code: ProblemCode;
  /** For the log, see `ExchangeReport`. */
  readonly cause?: string;
};

const RESENT =
  "The request was sent to the upstream and its answer was lost, so it may have been executed. Sent again with the same key, it goes to the upstream again.";

const ASKED =
  "The request was sent to the upstream and its answer was lost, so it may have been executed. The upstream is asked what became of it. Send the same request again with the same key after the time in Retry-After.";

export function problemAnswer(code: ProblemCode, about: About, extras: ProblemExtras = {}): Answer {
  const { policy, id } = about;
  const detail = extras.detail ?? (code === "outcome-unknown" ? unknownDetail(about) : undefined);
  const rendered = renderProblem({
    code,
    status: extras.status ?? statusOf(code, policy),
    ...(detail !== undefined && { detail }),
    ...(id !== undefined && { recordId: id }),
    ...(extras.original !== undefined && { original: extras.original }),
    docsUrl: policy.docsUrl,
  });
  const headers = [...rendered.headers, ...ownHeaders(code, about, extras.expiresAtMs)];
  if (extras.retryAfterS !== undefined) headers.push(["Retry-After", String(extras.retryAfterS)]);
  if (extras.challenge !== undefined) headers.push(["WWW-Authenticate", extras.challenge]);
  headers.push(...retryHeaders(code, about));
  return { outcome: code, reply: { status: rendered.status, headers, body: rendered.body } };
}

/** The upstream's answer to the caller that caused it. */
export function upstreamAnswer(
  outcome: Outcome,
  answer: Reply,
  about: About,
  expiresAtMs?: number,
): Answer {
  const advice = retryHeaders(outcome, about);
  // Where the gateway has advice of its own, an upstream's would contradict it: the retry will not reach it.
  const told = headersToTell(answer.headers).filter(
    ([name]) => !advice.some(([own]) => own === name.toLowerCase()),
  );
  const headers = [...told, ...ownHeaders(outcome, about, expiresAtMs), ...advice];
  return { outcome, reply: { ...answer, headers } };
}

function unknownDetail({ resends, probes }: About): string | undefined {
  if (probes === true) return ASKED;
  return resends === true ? RESENT : undefined;
}

function retryHeaders(outcome: Outcome, { probes }: About): HeaderPair[] {
  const asked = probes === true && outcome === "outcome-unknown";
  const retry = asked || shouldRetry(outcome);
  if (retry === undefined) return [];
  return [
    ["x-should-retry", String(retry)],
    ["stripe-should-retry", String(retry)],
  ];
}

/** What a completed record answers to a repeat of its request. */
export function replayAnswer(record: CompletedRecord, about: About): Answer {
  const { replay } = about.policy;
  const { response, expiresAtMs } = record;
  const location = locationOf(record, about);
  const redirect = REDIRECTS[replay.as];
  if (redirect !== undefined && location !== undefined) {
    const headers: HeaderPair[] = [["Location", location]];
    const reply = { status: redirect, headers, body: new Uint8Array() };
    return replayed(reply, about, expiresAtMs);
  }
  if (replay.as === "conflict" && (replay.conflict.body === "problem" || !response?.body)) {
    return refuseRepeat("conflict", record, about);
  }
  if (response?.body === undefined) return refuseRepeat("not-replayable", record, about);
  const { body } = response;
  const headers = withoutTraceNote(response.headers);
  const told = replay.status.get(response.status) ?? response.status;
  const status = replay.as === "conflict" ? replay.conflict.status : told;
  return replayed({ status, headers, body }, about, expiresAtMs);
}

/** Where the operation's result is; an upstream that does not say so leaves it to the route's resource. */
function locationOf({ response }: CompletedRecord, { address }: About): string | undefined {
  const told = response && fieldOf(response.headers, "location");
  if (told !== undefined || response === undefined) return told;
  return isSuccess(response.status) ? address : undefined;
}

/** Where a repeat is sent to what was made. */
export const REDIRECTS: Partial<Readonly<Record<ReplayPolicy["as"], number>>> = {
  "see-other": 303,
  found: 302,
};

function replayed(reply: Reply, about: About, expiresAtMs: number): Answer {
  const headers: HeaderPair[] = [
    ...reply.headers,
    ...ownHeaders("replayed", about, expiresAtMs),
    ["Idempotent-Replayed", "true"],
  ];
  return { outcome: "replayed", reply: { ...reply, headers } };
}

function refuseRepeat(
  code: "conflict" | "not-replayable",
  record: CompletedRecord,
  about: About,
): Answer {
  const { policy } = about;
  const location = code === "conflict" ? locationOf(record, about) : undefined;
  const { outcome, reply } = problemAnswer(code, about, {
    ...(code === "conflict" && { status: policy.status.conflict ?? policy.replay.conflict.status }),
    original: { ...originalOf(record), ...(location !== undefined && { location }) },
    expiresAtMs: record.expiresAtMs,
  });
  if (location === undefined) return { outcome, reply };
  // As a field that clients know how to follow, beside the member of `original`.
  const headers: HeaderPair[] = [...reply.headers, ["Location", location]];
  return { outcome, reply: { ...reply, headers } };
}

function ownHeaders(outcome: Outcome, about: About, expiresAtMs?: number): HeaderPair[] {
  const headers: HeaderPair[] = [];
  if (about.keyField !== undefined) headers.push(["Idempotency-Key", about.keyField]);
  headers.push(["Idempotency-Status", outcome]);
  if (about.id !== undefined) headers.push(["Idempotency-Record", about.id]);
  if (expiresAtMs !== undefined) {
    // IMF-fixdate, RFC 9110 §5.6.7.
    headers.push(["Idempotency-Expires", new Date(expiresAtMs).toUTCString()]);
  }
  return headers;
}
