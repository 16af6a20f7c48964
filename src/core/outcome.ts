/**
 * The one vocabulary for how an exchange ended: the `Idempotency-Status` header, the `outcome` label of the metrics
 * and the `outcome` field of the log say these words and no others.
 */
import type { UnknownReason } from "./record.ts";

/** Refusals: each has a problem (see `problem.ts`), and its word is the problem's `code`. */
export const PROBLEM_CODES = [
  "key-missing",
  "key-invalid",
  "key-reused",
  "in-flight",
  "outcome-unknown",
  "not-replayable",
  "conflict",
  "stale",
  "precondition-required",
  "precondition-failed",
  "resource-locked",
  "resource-unnamed",
  "gone",
  "not-found",
  "body-too-large",
  "body-invalid",
  "body-incomplete",
  "store-unavailable",
  "record-corrupt",
  "upstream-unreachable",
  "credentials-invalid",
  "quota-exceeded",
  "replay-denied",
  "access-unchecked",
  "request-invalid",
  "internal-error",
] as const;

export type ProblemCode = (typeof PROBLEM_CODES)[number];

/** Calls to the store that are measured: all values of the label `operation`. */
export const STORE_OPERATIONS = [
  "claim",
  "complete",
  "release",
  "mark-unknown",
  "remember",
  "roll",
] as const;

export type StoreOperation = (typeof STORE_OPERATIONS)[number];

/** What a caller can have too much of: the cause that is logged with `quota-exceeded`, and the label `quota`. */
export const QUOTA_NAMES = ["new-keys", "live-records"] as const;

export type QuotaName = (typeof QUOTA_NAMES)[number];

export const OUTCOMES = [
  /** The upstream answered, and the answer is recorded. */
  "executed",
  /** Answered from the record. */
  "replayed",
  /** The upstream answered that it has not processed the request; the key is free again. */
  "released",
  /** The upstream answered, but the store could not be told yet. */
  "not-recorded",
  /** The resource already is what a create-only PUT asked for; nothing was sent. */
  "unchanged",
  /** Sent without a claim, because the store was unreachable and the route says `onStoreError: bypass`. */
  "bypassed",
  /** Observed only. */
  "shadow",
  /** Not guarded: streamed through. */
  "passed",
  /** The client left before there was anything to tell it. */
  "client-gone",
  ...PROBLEM_CODES,
] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** That nobody knows whether a request was executed. */
export interface UnknownOutcome {
  readonly recordId: string;
  readonly route: string;
  readonly method: string;
  readonly reason: UnknownReason;
  readonly fence: number;
  /** The claim's token, which no other attempt has: a key that was freed begins at fence 1 again. Never told as it is. */
  readonly attempt: string;
  /** Epoch milliseconds on the store's clock. Left out: it became so just now. */
  readonly sinceMs?: number;
}
