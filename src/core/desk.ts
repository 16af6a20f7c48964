/**
 * What an operator may do to a record: say what became of an unknown outcome, or have the key forgotten. Pure like
 * `record.ts`, and run inside the same transactions of the stores.
 */
import { Digest } from "./digest.ts";
import { asOf, baseOf } from "./record.ts";
import { KEEP } from "./decision.ts";
import type { CompletedRecord, Decision, StoredRecord } from "./record.ts";

/** What an operator found out about an unknown outcome. */
export type Resolution = "executed" | "not-executed";

/**
 * `not-unknown`: the record is in flight or completed, so there is nothing to resolve. `overtaken`: another attempt is
 * unknown than the one that it was about; nothing was written.
 */
export type ResolveAnswer = "done" | "absent" | "not-unknown" | "overtaken";

/** Stands where the owner's token was once an operator has decided: the owner's late completion is `lost`. */
export const RESOLVED_TOKEN = "0".repeat(32);

export function decideResolve(
  stored: StoredRecord | undefined,
  outcome: Resolution,
  retentionMs: number,
  nowMs: number,
  attempt?: string,
): Decision<ResolveAnswer> {
  const record = asOf(stored, nowMs);
  if (record === undefined) return { answer: "absent", change: KEEP };
  if (record.state !== "unknown") return { answer: "not-unknown", change: KEEP };
  // DANGER: minutes lie between an operator's look and the decision. Another attempt may be unknown by now, of which nobody
  // has found out anything.
  if (attempt !== undefined && attempt !== record.token) {
    return { answer: "overtaken", change: KEEP };
  }
  if (outcome === "not-executed") return { answer: "done", change: { kind: "delete" } };
  const completed: CompletedRecord = {
    ...baseOf(record),
    state: "completed",
    token: RESOLVED_TOKEN,
    completedAtMs: nowMs,
    answeredBy: "operator",
    expiresAtMs: nowMs + retentionMs,
    response: undefined,
  };
  return { answer: "done", change: { kind: "put", record: completed } };
}

/**
 * `in-flight`: refused, because forgetting a live claim lets the request run a second time. `overtaken`: it is another
 * attempt's record than the one that it was about; nothing was written.
 */
export type ForgetAnswer = "done" | "absent" | "in-flight" | "overtaken";

export function decideForget(
  stored: StoredRecord | undefined,
  nowMs: number,
  attempt?: string,
): Decision<ForgetAnswer> {
  const record = asOf(stored, nowMs);
  if (record === undefined) return { answer: "absent", change: KEEP };
  if (record.state === "in-flight") return { answer: "in-flight", change: KEEP };
  if (attempt !== undefined && attempt !== record.token) {
    return { answer: "overtaken", change: KEEP };
  }
  return { answer: "done", change: { kind: "delete" } };
}

/**
 * What tells one attempt under a record's id from the next: 16 hex digits, the same for as long as it is the same claim. The
 * token itself is shown to nobody, and a fence does not tell: a key that was freed begins at 1 again.
 */
export function attemptOf({ id, token }: Pick<StoredRecord, "id" | "token">): string {
  const digest = new Digest();
  for (const part of ["attempt", id, token]) digest.add(part);
  return digest.end().slice(0, 16);
}
