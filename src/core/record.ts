/**
 * The record of one key: its states, and the decision behind every transition.
 *
 *     absent ──claim──▶ in flight ──complete(token)──▶ completed
 *        ▲                 │  │                            ▲
 *        └──release(token)─┘  └─ lease over, or outcome ─▶ unknown ──complete(token of the owner) / resolve──┘
 *           (provably not sent)   cannot be known, or a resend's release     (an operator, or a probe; or absent)
 *
 * Pure: the store's clock arrives as `nowMs`, nothing is read or written here. The memory and the embedded store run
 * these functions inside their transactions; the Redis scripts say the same in Lua and are held to it by one suite.
 */
import { KEEP, type DecisionOn } from "./decision.ts";

/** One header field as it stood on the wire: name in its original case, value with each byte as one char (latin1). */
export type HeaderPair = readonly [name: string, value: string];

/** Why nobody knows whether the upstream executed. */
export type UnknownReason = "timeout" | "reset" | "truncated" | "crash";

export const UNKNOWN_REASONS: readonly UnknownReason[] = ["timeout", "reset", "truncated", "crash"];

/** What every record carries, whatever its state. Times are epoch milliseconds on the store's clock. */
interface RecordBase {
  /** Its own record id, 64 hex digits: a read that finds another id here is an alarm, never a reply. */
  readonly id: string;
  /** 64 hex digits. */
  readonly fingerprint: string;
  /** How many times this record has been claimed; 1 for the first claim. */
  readonly fence: number;
  readonly createdAtMs: number;
  readonly method: string;
  /** Path and query as forwarded. */
  readonly target: string;
  /** Name of the route that claimed it. */
  readonly route: string;
  /** The process that has claimed it, `host/pid`; empty where the record is of an earlier format. */
  readonly claimedBy: string;
  /** Of a shadow route: it says what would have been, and no request is answered by it. Absent where it is not. */
  readonly shadow?: true;
  /** The claim's token, 32 hex digits. A completed record keeps it, so that `complete` can be asked twice. */
  readonly token: string;
  /** When the store forgets the record. */
  readonly expiresAtMs: number;
}

export interface InFlightRecord extends RecordBase {
  readonly state: "in-flight";
  /** Until when the owner is presumed alive. `expiresAtMs` lies the retention of unknowns behind it. */
  readonly leaseUntilMs: number;
}

/** The upstream's answer as kept for replay. */
export interface RecordedResponse {
  readonly status: number;
  /** In order, repeats kept, framing and hop-by-hop fields removed. */
  readonly headers: readonly HeaderPair[];
  /** `undefined`: not replayable, because the body was over the limit, was streamed, or did not fit the store. */
  readonly body: Uint8Array | undefined;
}

/** Whose word the answer is, or that it was executed. */
export const ANSWERED_BY = ["upstream", "probe", "operator"] as const;

export type AnsweredBy = (typeof ANSWERED_BY)[number];

export interface CompletedRecord extends RecordBase {
  readonly state: "completed";
  readonly completedAtMs: number;
  /** Absent where the record is of an earlier format. */
  readonly answeredBy?: AnsweredBy;
  /** `undefined` when an operator resolved an unknown outcome as executed: nobody has seen the answer. */
  readonly response: RecordedResponse | undefined;
}

export interface UnknownRecord extends RecordBase {
  readonly state: "unknown";
  readonly reason: UnknownReason;
  readonly sinceMs: number;
}

export type StoredRecord = InFlightRecord | CompletedRecord | UnknownRecord;

/** A record without the recorded body, for listings and for telling a client what its request collided with. */
export type RecordSummary =
  | InFlightRecord
  | UnknownRecord
  | (Omit<CompletedRecord, "response"> & {
      /** `body` is always `undefined` here; `replayable` says whether one is stored. */
      readonly response: RecordedResponse | undefined;
      readonly replayable: boolean;
    });

export type RecordState = StoredRecord["state"];

/** What `claim` presents. */
export interface ClaimRequest {
  readonly id: string;
  /** 32 hex digits, fresh for each request; presented again when the first reply was lost. */
  readonly token: string;
  readonly fingerprint: string;
  readonly method: string;
  readonly target: string;
  readonly route: string;
  readonly claimedBy: string;
  readonly shadow?: boolean | undefined;
  /** How long the owner is presumed alive, in milliseconds. */
  readonly leaseMs: number;
  /** How long an unknown outcome is remembered, in milliseconds, counted from the moment it became unknown. */
  readonly unknownRetentionMs: number;
  /** `resend` takes an unknown record over with the next fence; `block` answers `unknown`. */
  readonly onUnknown: "block" | "resend";
}

/** The five answers of `claim`. `nowMs` is the store's clock, so that ages are computed on one clock. */
export type ClaimAnswer =
  | { readonly kind: "granted"; readonly fence: number }
  | { readonly kind: "replay"; readonly record: CompletedRecord }
  | { readonly kind: "busy"; readonly record: InFlightRecord; readonly nowMs: number }
  | { readonly kind: "mismatch"; readonly record: RecordSummary }
  | { readonly kind: "unknown"; readonly record: UnknownRecord };

/** `lost`: the token is no longer (or never was) the record's; nothing was written. A normal answer. */
export type WriteAnswer = "done" | "lost";

/** `expiresAtMs` of the completed record, on the store's clock. */
export type CompleteAnswer =
  | { readonly kind: "done"; readonly expiresAtMs: number }
  | { readonly kind: "lost" };

export type Decision<Answer> = DecisionOn<StoredRecord, Answer>;

/**
 * The record as it stands at `nowMs`: forgotten once its time is over, and *unknown* once the lease of an in-flight
 * claim is over. The store may still hold the older form; whoever reads it sees this one.
 */
export function asOf(record: StoredRecord | undefined, nowMs: number): StoredRecord | undefined {
  if (record === undefined || record.expiresAtMs <= nowMs) return undefined;
  if (record.state !== "in-flight" || record.leaseUntilMs > nowMs) return record;
  const { leaseUntilMs, ...base } = record;
  return { ...base, state: "unknown", reason: "crash", sinceMs: leaseUntilMs };
}

/** A record without its body. */
export function summarise(record: StoredRecord): RecordSummary {
  if (record.state !== "completed") return record;
  const { response, ...rest } = record;
  if (response === undefined) return { ...rest, response: undefined, replayable: false };
  return {
    ...rest,
    response: { ...response, body: undefined },
    replayable: response.body !== undefined,
  };
}

/** Mismatch is decided first: a reused key with another body is told so even while the first request is in flight. */
export function decideClaim(
  stored: StoredRecord | undefined,
  claim: ClaimRequest,
  nowMs: number,
): Decision<ClaimAnswer> {
  const record = asOf(stored, nowMs);
  if (record === undefined) return grant(claim, 1, nowMs, nowMs);
  if (record.fingerprint !== claim.fingerprint) {
    return { answer: { kind: "mismatch", record: summarise(record) }, change: KEEP };
  }
  switch (record.state) {
    case "in-flight":
      // Asked again with the same token: the first reply was lost on its way, and the claim is still ours.
      if (record.token === claim.token) {
        return { answer: { kind: "granted", fence: record.fence }, change: KEEP };
      }
      return { answer: { kind: "busy", record, nowMs }, change: KEEP };
    case "completed":
      return { answer: { kind: "replay", record }, change: KEEP };
    case "unknown":
      // DANGER: this is where two executions would come from. Only a route whose requests are idempotent at the
      // upstream asks for `resend`; the next fence lets the upstream refuse the older one.
      if (claim.onUnknown === "resend") {
        return grant(claim, record.fence + 1, record.createdAtMs, nowMs);
      }
      return { answer: { kind: "unknown", record }, change: KEEP };
  }
}

function grant(
  claim: ClaimRequest,
  fence: number,
  createdAtMs: number,
  nowMs: number,
): Decision<ClaimAnswer> {
  const leaseUntilMs = nowMs + claim.leaseMs;
  const record: InFlightRecord = {
    state: "in-flight",
    id: claim.id,
    fingerprint: claim.fingerprint,
    fence,
    createdAtMs,
    method: claim.method,
    target: claim.target,
    route: claim.route,
    claimedBy: claim.claimedBy,
    ...(claim.shadow && { shadow: true }),
    token: claim.token,
    leaseUntilMs,
    expiresAtMs: leaseUntilMs + claim.unknownRetentionMs,
  };
  return { answer: { kind: "granted", fence }, change: { kind: "put", record } };
}

/**
 * The owner records the answer. Allowed from in flight and from unknown, as long as the token is still the record's:
 * an owner that was paused past its lease may still tell what happened.
 */
export function decideComplete(
  stored: StoredRecord | undefined,
  token: string,
  response: RecordedResponse,
  retentionMs: number,
  nowMs: number,
): Decision<CompleteAnswer> {
  const record = asOf(stored, nowMs);
  if (record === undefined || record.token !== token) {
    return { answer: { kind: "lost" }, change: KEEP };
  }
  if (record.state === "completed") {
    // Asked again because the first reply was lost: what is recorded stays.
    return { answer: { kind: "done", expiresAtMs: record.expiresAtMs }, change: KEEP };
  }
  const expiresAtMs = nowMs + retentionMs;
  const completed: CompletedRecord = {
    ...baseOf(record),
    state: "completed",
    completedAtMs: nowMs,
    answeredBy: "upstream",
    expiresAtMs,
    response,
  };
  return {
    answer: { kind: "done", expiresAtMs },
    change: { kind: "put", record: completed },
  };
}

/** The owner gives its claim back because its request provably never ran. */
export function decideRelease(
  stored: StoredRecord | undefined,
  token: string,
  nowMs: number,
): Decision<WriteAnswer> {
  // The stored state counts here, not the one as of now: an owner that was paused past its lease and has sent
  // nothing may still give the key back, because only it can know that.
  const mine =
    stored?.state === "in-flight" && stored.token === token && stored.expiresAtMs > nowMs;
  if (!mine) return { answer: "lost", change: KEEP };
  if (stored.fence === 1) return { answer: "done", change: { kind: "delete" } };
  // DANGER: a resend took over an unknown outcome and knows of its own request only. Forgetting the record would
  // forget the earlier send: the key would be free for another request, and the next fence would be 1 again, which an
  // upstream that has seen a higher one must refuse. Why the earlier one is unknown is no longer known.
  const unknown: UnknownRecord = {
    ...baseOf(stored),
    state: "unknown",
    reason: "crash",
    sinceMs: nowMs,
  };
  return { answer: "done", change: { kind: "put", record: unknown } };
}

/** The owner says that nobody can know. Never overwrites a completion. */
export function decideMarkUnknown(
  stored: StoredRecord | undefined,
  token: string,
  reason: UnknownReason,
  retentionMs: number,
  nowMs: number,
): Decision<WriteAnswer> {
  const owned = stored !== undefined && stored.token === token && stored.expiresAtMs > nowMs;
  if (!owned || stored.state === "completed") return { answer: "lost", change: KEEP };
  if (stored.state === "unknown") return { answer: "done", change: KEEP };
  const unknown: UnknownRecord = {
    ...baseOf(stored),
    state: "unknown",
    reason,
    sinceMs: nowMs,
    expiresAtMs: nowMs + retentionMs,
  };
  return { answer: "done", change: { kind: "put", record: unknown } };
}

/** What outlives a change of state. */
export function baseOf(record: InFlightRecord | UnknownRecord): RecordBase {
  const { id, fingerprint, fence, createdAtMs, expiresAtMs, token } = record;
  const { method, target, route, claimedBy, shadow } = record;
  const claimed = { method, target, route, claimedBy, ...(shadow && { shadow }) };
  return { id, fingerprint, fence, createdAtMs, expiresAtMs, token, ...claimed };
}
