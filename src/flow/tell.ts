/**
 * From what happened to what is told: one table for the caller that executed, one for the callers that met a record.
 * Nothing is decided here about records or resources, and nothing is written.
 */
import type { ForwardOutcome } from "../core/ports.ts";
import { originalOf } from "../core/problem.ts";
import { retryAfterS } from "../core/recordable.ts";
import type { HeaderPair, RecordSummary, StoredRecord, UnknownRecord } from "../core/record.ts";
import {
  problemAnswer,
  REDIRECTS,
  replayAnswer,
  upstreamAnswer,
  type About,
  type Answer,
} from "./answer.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";
import type { Guarded, GuardRefusal } from "./guard.ts";
import type { Settled } from "./settle.ts";

type TellDeps = Pick<FlowDeps, "latency" | "limits">;

type Told = Exclude<Guarded, { kind: "refused" }>;

/** The caller that executed is told what the record now says; see design table "Alive, but in trouble". */
export function answerSettled(told: Told, settled: Settled, about: About, deps: TellDeps): Answer {
  const { forwarded } = told;
  switch (settled.kind) {
    case "recorded":
      return answerTold(told, "executed", about, settled.expiresAtMs);
    case "not-recorded":
      return answerForwarded(forwarded, "not-recorded", about);
    case "released":
      return answerForwarded(forwarded, "released", about);
    case "unknown":
      return answerForwarded(forwarded, "outcome-unknown", about);
    case "lost":
      // Somebody else owns the record now: whatever it says is what every caller gets. Only where it was forgotten, or
      // is another request's by now, is there nothing that this answer could contradict.
      return settled.record === undefined
        ? answerForwarded(forwarded, "not-recorded", about)
        : dropping(forwarded, answerRecord(settled.record, about, deps));
    case "lost-unreadable":
      return dropping(forwarded, problemAnswer("outcome-unknown", about, { status: 502 }));
  }
}

/** A request without a key, whose resource alone was guarded. */
export function answerKeyless(told: Told, about: About): Answer {
  return answerTold(told, "passed", about);
}

/** What the upstream said, or what the gateway knew in its place. */
function answerTold(
  { kind, forwarded }: Told,
  sent: "executed" | "passed",
  about: About,
  expiresAtMs?: number,
): Answer {
  switch (kind) {
    case "sent":
      return answerForwarded(forwarded, sent, about, expiresAtMs);
    case "already-there":
      return answerForwarded(forwarded, "unchanged", about, expiresAtMs);
    case "deleted-before": {
      const { outcome, reply } = answerForwarded(forwarded, "replayed", about, expiresAtMs);
      const headers: HeaderPair[] = [...reply.headers, ["Idempotent-Replayed", "true"]];
      return { outcome, reply: { ...reply, headers } };
    }
  }
}

/** What the resource's guard refused. Nothing was sent. */
export function answerRefused(refusal: GuardRefusal, about: About): Answer {
  switch (refusal.kind) {
    case "gone":
      return problemAnswer("gone", about, { status: refusal.status });
    case "missing":
      return problemAnswer("not-found", about);
    case "exists":
      return problemAnswer("conflict", about, { detail: EXISTS });
    case "owned":
      return answerOwned(refusal, about);
    case "precondition-required":
      return problemAnswer("precondition-required", about);
    case "precondition-failed":
      return withEtag(problemAnswer("precondition-failed", about), refusal.etag);
    case "precondition-malformed":
      return problemAnswer("request-invalid", about, { detail: MALFORMED });
    case "locked":
      return problemAnswer("resource-locked", about, { retryAfterS: 1 });
    case "unavailable":
      return problemAnswer("store-unavailable", about, { retryAfterS: 1 });
    case "corrupt":
      return problemAnswer("record-corrupt", about);
    case "denied":
      return upstreamAnswer(about.id === undefined ? "passed" : "released", refusal.answer, about);
    case "unreadable": {
      const { status, detail } = refusal;
      return problemAnswer("upstream-unreachable", about, { status, detail, retryAfterS: 1 });
    }
  }
}

/** A thing that is there already is told the way the route tells of repeats: a conflict, or a way to it. */
function answerOwned(
  { owner, settled }: Extract<GuardRefusal, { kind: "owned" }>,
  about: About,
): Answer {
  const { original } = owner;
  if (!settled) return problemAnswer("outcome-unknown", about, { detail: MAYBE_TAKEN, original });
  const { policy } = about;
  const redirect = REDIRECTS[policy.replay.as];
  const location: HeaderPair[] =
    original.location === undefined ? [] : [["Location", original.location]];
  const status =
    redirect !== undefined && location.length > 0
      ? redirect
      : (policy.status.conflict ?? policy.replay.conflict.status);
  const { outcome, reply } = problemAnswer("conflict", about, { status, detail: TAKEN, original });
  return { outcome, reply: { ...reply, headers: [...reply.headers, ...location] } };
}

const EXISTS =
  "The resource exists with other content, and on this route PUT only creates. Read it to see how it stands.";
const TAKEN =
  "Another request got it first. `original` says which; choose something else, or wait until it is given up.";
const MAYBE_TAKEN =
  "Another request may have got it: its outcome is unknown. It stays refused until an operator has resolved that request's record, or for as long as unknown outcomes are kept.";
const MALFORMED =
  'Send If-Match and If-None-Match as * or as a list of entity tags, like "abc", "def".';

function withEtag({ outcome, reply }: Answer, etag: string | undefined): Answer {
  if (etag === undefined) return { outcome, reply };
  const headers: HeaderPair[] = [...reply.headers, ["ETag", etag]];
  return { outcome, reply: { ...reply, headers } };
}

/** The upstream's answer where there is one; what is missing where there is none. */
export function answerForwarded(
  forwarded: ForwardOutcome,
  outcome: Answer["outcome"],
  about: About,
  expiresAtMs?: number,
): Answer {
  switch (forwarded.kind) {
    case "not-sent":
      return problemAnswer("upstream-unreachable", about, {
        status: about.policy.status["upstream-unreachable"] ?? forwarded.status,
        retryAfterS: 1,
      });
    case "unknown":
      return problemAnswer("outcome-unknown", about, {
        status: forwarded.reason === "timeout" ? 504 : 502,
        ...(about.probes === true && { retryAfterS: SOON_MS / 1000 }),
      });
    case "answered":
      return upstreamAnswer(outcome, forwarded.answer, about, expiresAtMs);
    case "streaming": {
      const { status, headers, stream: body } = forwarded;
      return upstreamAnswer(outcome, { status, headers, body }, about, expiresAtMs);
    }
  }
}

/** The reply replaces the upstream's answer; a body that is still coming is let go. */
function dropping(forwarded: ForwardOutcome, answer: Answer): Answer {
  if (forwarded.kind === "streaming") forwarded.stream.cancel();
  return answer;
}

export function answerUngranted(
  claimed: Exclude<Claimed, { kind: "granted" }>,
  about: About,
  deps: TellDeps,
): Answer {
  switch (claimed.kind) {
    case "replay":
      return answerRecord(claimed.record, about, deps);
    case "unknown":
      return unknownAnswer(claimed.record, about, claimed.retryInMs);
    case "busy":
      return busyAnswer(claimed, about, deps);
    case "mismatch":
      return mismatchAnswer(claimed.record, about);
    case "held-elsewhere":
      return problemAnswer("in-flight", about, { retryAfterS: 1 });
    case "unavailable":
      return problemAnswer("store-unavailable", about, { retryAfterS: 1 });
    case "corrupt":
      return problemAnswer("record-corrupt", about);
    case "over-quota":
      return problemAnswer("quota-exceeded", about, {
        retryAfterS: Math.max(1, Math.ceil(claimed.retryAfterMs / 1000)),
      });
    case "denied":
      return problemAnswer("replay-denied", about);
    case "unchecked":
      return problemAnswer("access-unchecked", about, { retryAfterS: 1 });
  }
}

function mismatchAnswer(record: RecordSummary, about: About): Answer {
  return problemAnswer("key-reused", about, {
    original: originalOf(record),
    // While the first request runs, nobody knows yet when the key will be free.
    ...(record.state !== "in-flight" && { expiresAtMs: record.expiresAtMs }),
  });
}

function answerRecord(record: StoredRecord, about: About, deps: TellDeps): Answer {
  switch (record.state) {
    case "completed":
      return replayAnswer(record, about);
    case "unknown":
      return unknownAnswer(record, about);
    case "in-flight":
      return busyAnswer({ record, nowMs: record.leaseUntilMs - deps.limits.leaseMs }, about, deps);
  }
}

function unknownAnswer({ expiresAtMs }: UnknownRecord, about: About, retryInMs = SOON_MS): Answer {
  const asked = about.probes === true && { retryAfterS: Math.max(1, Math.ceil(retryInMs / 1000)) };
  return problemAnswer("outcome-unknown", about, { expiresAtMs, ...asked });
}

/** By then the upstream has been asked once. */
const SOON_MS = 1000;

function busyAnswer(
  busy: Pick<Extract<Claimed, { kind: "busy" }>, "record" | "nowMs">,
  about: About,
  deps: TellDeps,
): Answer {
  const { record, nowMs } = busy;
  const leaseLeftMs = record.leaseUntilMs - nowMs;
  const usualMs = deps.latency.usualMs(record.route);
  return problemAnswer("in-flight", about, {
    original: originalOf(record),
    retryAfterS: retryAfterS(usualMs, deps.limits.leaseMs - leaseLeftMs, leaseLeftMs),
  });
}
