/**
 * Probes: what is asked of the upstream about an unknown outcome, what its answer means, when it is asked again, and the
 * one transition that a probe may make. Pure; the asking itself is `flow/prober.ts`.
 */
import type { Policy } from "./policy.ts";
import type { ForwardOutcome } from "./ports.ts";
import { toRecord, verdictOn, isSuccess } from "./recordable.ts";
import type { Finding } from "./probe-ports.ts";
import { asOf, baseOf } from "./record.ts";
import { KEEP } from "./decision.ts";
import type {
  CompletedRecord,
  Decision,
  RecordedResponse,
  StoredRecord,
  UnknownRecord,
  WriteAnswer,
} from "./record.ts";

/**
 * DANGER: between the question and this an operator may have decided, the owner may have completed, or the key may have been
 * claimed again and have become unknown once more. What was found out is about the one attempt alone.
 */
export function decideSettleUnknown(
  stored: StoredRecord | undefined,
  attempt: string,
  finding: Finding,
  nowMs: number,
): Decision<WriteAnswer> {
  const record = asOf(stored, nowMs);
  if (record?.state !== "unknown" || record.token !== attempt) {
    return { answer: "lost", change: KEEP };
  }
  if (finding.kind === "not-executed") return { answer: "done", change: { kind: "delete" } };
  const { response, retentionMs, token, by } = finding;
  const completed: CompletedRecord = {
    ...baseOf(record),
    state: "completed",
    token,
    completedAtMs: nowMs,
    answeredBy: by,
    expiresAtMs: nowMs + retentionMs,
    response,
  };
  return { answer: "done", change: { kind: "put", record: completed } };
}

/** What the upstream's answer says about the outcome. */
export type Verdict =
  | { readonly kind: "executed"; readonly response: RecordedResponse }
  | { readonly kind: "not-executed" }
  /** Nothing that settles it. `countsInMs`: when it would, where it came too early. */
  | { readonly kind: "kept"; readonly cause: string; readonly countsInMs?: number }
  /** No answer. */
  | { readonly kind: "failed"; readonly cause: string };

/** These are successes, and say themselves that they are not the whole answer (RFC 9110 §15.3.3, §15.3.7). */
const NOT_YET: ReadonlySet<number> = new Set([202, 206]);

/**
 * `record` and `nowMs` as they were read before the upstream was asked: what it says is not younger than that.
 */
export function verdictOnProbe(
  outcome: ForwardOutcome,
  { sinceMs }: Pick<UnknownRecord, "sinceMs">,
  nowMs: number,
  releaseAfterMs: number,
  policy: Pick<Policy, "respond" | "replay">,
): Verdict {
  switch (outcome.kind) {
    case "not-sent":
    case "unknown":
      return { kind: "failed", cause: outcome.cause };
    case "streaming":
      return { kind: "kept", cause: "answer-too-large" };
    case "answered": {
      const { status } = outcome.answer;
      // DANGER: where the route gives a status a meaning of its own, a 404 is not "there is no such operation" either.
      if (verdictOn(status, policy) !== "record")
        return { kind: "kept", cause: `status-${status}` };
      if (status === 404) {
        // DANGER: the first request may still be on its way, or at work where the status URL does not see it yet.
        const leftMs = sinceMs + releaseAfterMs - nowMs;
        return leftMs > 0
          ? { kind: "kept", cause: "not-found-yet", countsInMs: leftMs }
          : { kind: "not-executed" };
      }
      const whole = isSuccess(status) && !NOT_YET.has(status);
      return whole
        ? { kind: "executed", response: toRecord(outcome.answer, policy) }
        : { kind: "kept", cause: `status-${status}` };
    }
  }
}

/** Where the key stands in a status URL. */
export const KEY_PART = "{key}";

/** Also as a server reads it that decodes first and looks for dots then. */
const DOTS = /^(?:\.|%2e){1,2}$/iu;

/**
 * What is asked for: the template with the key in it, percent-encoded. `undefined`: the key cannot stand there.
 * DANGER: keys are the callers' choice, and many servers decode a path before they take it apart. With `..` or an
 * encoded slash a caller would choose what the gateway asks for, with the gateway's own credentials.
 */
export function probeTarget(template: string, key: string): string | undefined {
  const [path = "", ...query] = template.split("?");
  if (path.includes(KEY_PART) && /[/\\]/u.test(key)) return undefined;
  const encoded = encodeURIComponent(key);
  const filled = path.replaceAll(KEY_PART, () => encoded);
  if (filled.split("/").some((segment) => DOTS.test(segment))) return undefined;
  return [filled, ...query.map((part) => part.replaceAll(KEY_PART, () => encoded))].join("?");
}

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 5 * 60 * 1000;

/** How long is waited after so many probes in a row that settled nothing. `chance` is from 0 up to 1. */
export function pauseAfter(probes: number, chance: number): number {
  const fullMs = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(probes, 20), LONGEST_PAUSE_MS);
  // Half of it by chance: those that became unknown together are not asked about together.
  return Math.round(fullMs * (0.5 + chance / 2));
}
