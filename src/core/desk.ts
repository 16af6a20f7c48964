/**
 * What an operator may do to a record: say what became of an unknown outcome, or have the key forgotten. Pure like
 * `record.ts`, and run inside the same transactions of the stores.
 */
import { asOf, baseOf, KEEP } from "./record.ts";
import type { CompletedRecord, Decision, StoredRecord } from "./record.ts";

/** What an operator found out about an unknown outcome. */
export type Resolution = "executed" | "not-executed";

/** `not-unknown`: the record is in flight or completed, so there is nothing to resolve. */
export type ResolveAnswer = "done" | "absent" | "not-unknown";

/** Stands where the owner's token was once an operator has decided: the owner's late completion is `lost`. */
export const RESOLVED_TOKEN = "0".repeat(32);

export function decideResolve(
  stored: StoredRecord | undefined,
  outcome: Resolution,
  retentionMs: number,
  nowMs: number,
): Decision<ResolveAnswer> {
  const record = asOf(stored, nowMs);
  if (record === undefined) return { answer: "absent", change: KEEP };
  if (record.state !== "unknown") return { answer: "not-unknown", change: KEEP };
  if (outcome === "not-executed") return { answer: "done", change: { kind: "delete" } };
  const completed: CompletedRecord = {
    ...baseOf(record),
    state: "completed",
    token: RESOLVED_TOKEN,
    completedAtMs: nowMs,
    expiresAtMs: nowMs + retentionMs,
    response: undefined,
  };
  return { answer: "done", change: { kind: "put", record: completed } };
}

/** `in-flight`: refused, because forgetting a live claim lets the request run a second time. */
export type ForgetAnswer = "done" | "absent" | "in-flight";

export function decideForget(
  stored: StoredRecord | undefined,
  nowMs: number,
): Decision<ForgetAnswer> {
  const record = asOf(stored, nowMs);
  if (record === undefined) return { answer: "absent", change: KEEP };
  if (record.state === "in-flight") return { answer: "in-flight", change: KEEP };
  return { answer: "done", change: { kind: "delete" } };
}
