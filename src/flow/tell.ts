/**
 * From what happened to what is told: one table for the caller that executed, one for the callers that met a record.
 * Nothing is decided here about records or resources, and nothing is written.
 */
import type { ForwardOutcome } from "../core/ports.ts";
import { originalOf } from "../core/problem.ts";
import { retryAfterS } from "../core/recordable.ts";
import type { RecordSummary, StoredRecord } from "../core/record.ts";
import {
  problemAnswer,
  replayAnswer,
  upstreamAnswer,
  type About,
  type Answer,
} from "./answer.ts";
import type { Claimed } from "./claim.ts";
import type { FlowDeps } from "./deps.ts";
import type { Settled } from "./settle.ts";

type TellDeps = Pick<FlowDeps, "latency" | "limits">;

/** The caller that executed is told what the record now says; see design table "Alive, but in trouble". */
export function answerSettled(
  forwarded: ForwardOutcome,
  settled: Settled,
  about: About,
  deps: TellDeps,
): Answer {
  switch (settled.kind) {
    case "recorded":
      return answerForwarded(forwarded, "executed", about, settled.expiresAtMs);
    case "not-recorded":
      return answerForwarded(forwarded, "not-recorded", about);
    case "released":
      return answerForwarded(forwarded, "released", about);
    case "unknown":
      return answerForwarded(forwarded, "outcome-unknown", about);
    case "lost":
      // Somebody else owns the record now: whatever it says is what every caller gets. Only where an operator has
      // forgotten it is there nothing that this answer could contradict.
      return settled.record === undefined
        ? answerForwarded(forwarded, "not-recorded", about)
        : dropping(forwarded, answerRecord(settled.record, about, deps));
    case "lost-unreadable":
      return dropping(forwarded, problemAnswer("outcome-unknown", about, { status: 502 }));
  }
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
  if (forwarded.kind === "streaming") forwarded.cancel();
  return answer;
}

export function answerUngranted(
  claimed: Exclude<Claimed, { kind: "granted" }>,
  about: About,
  deps: TellDeps,
): Answer {
  switch (claimed.kind) {
    case "replay":
    case "unknown":
      return answerRecord(claimed.record, about, deps);
    case "busy":
      return busyAnswer(claimed, about, deps);
    case "mismatch":
      return mismatchAnswer(claimed.record, about);
    case "unavailable":
      return problemAnswer("store-unavailable", about, { retryAfterS: 1 });
    case "corrupt":
      return problemAnswer("record-corrupt", about);
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
      return problemAnswer("outcome-unknown", about, { expiresAtMs: record.expiresAtMs });
    case "in-flight":
      return busyAnswer({ record, nowMs: record.leaseUntilMs - deps.limits.leaseMs }, about, deps);
  }
}

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
