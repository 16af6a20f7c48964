/**
 * The step between the upstream's answer and the caller: what happened goes into the record first. Settle comes before
 * answer, so a client that has seen a response can always get the same one again. Every write presents the claim's
 * token; losing is a normal answer.
 */
import { toRecord, verdictOn } from "../core/recordable.ts";
import { RecordCorrupt, StoreFull, StoreUnavailable, type ForwardOutcome } from "../core/ports.ts";
import type { StoreOperation } from "../core/outcome.ts";
import type {
  CompleteAnswer,
  RecordedResponse,
  StoredRecord,
  UnknownReason,
  WriteAnswer,
} from "../core/record.ts";
import type { Policy } from "../core/policy.ts";
import { withTraceNote } from "../core/trace.ts";
import type { FlowDeps } from "./deps.ts";
import { releaseLater, writeLater, type Lease, type Owned, type Remembering } from "./later.ts";

/** What was sent, or is told in its place; see `Guarded`. */
interface Sent {
  readonly forwarded: ForwardOutcome;
  readonly remembering?: Remembering | undefined;
}

/** What the record says after the write, which decides what the caller may be told. */
export type Settled =
  /** The answer is recorded, with or without its body, until `expiresAtMs`. */
  | { readonly kind: "recorded"; readonly expiresAtMs: number }
  /** The store could not be told; it is being told in the background until the lease is over. */
  | { readonly kind: "not-recorded" }
  /** The key is free again. */
  | { readonly kind: "released" }
  | { readonly kind: "unknown" }
  /** The record is no longer this claim's. `record` is what stands there now for this request, if anything does. */
  | { readonly kind: "lost"; readonly record: StoredRecord | undefined }
  /** Lost, and what stands there now cannot be read. */
  | { readonly kind: "lost-unreadable" };

/** `remembering`: what the resource's memory has yet to be told, which goes before the record. */
export async function settle(
  { forwarded, remembering }: Sent,
  owned: Owned,
  policy: Policy,
  deps: FlowDeps,
): Promise<Settled> {
  switch (forwarded.kind) {
    case "not-sent":
      return release(owned, deps);
    case "unknown":
      return markUnknown(owned, forwarded.reason, policy, deps);
    case "answered": {
      const { status, headers, body } = forwarded.answer;
      return settleAnswer(owned, { status, headers, body }, remembering, policy, deps);
    }
    case "streaming": {
      const { status, headers } = forwarded;
      return settleAnswer(owned, { status, headers, body: undefined }, remembering, policy, deps);
    }
  }
}

async function settleAnswer(
  owned: Owned,
  answer: RecordedResponse,
  remembering: Remembering | undefined,
  policy: Policy,
  deps: FlowDeps,
): Promise<Settled> {
  switch (verdictOn(answer.status, policy)) {
    case "release":
      return release(owned, deps);
    case "unknown":
      return markUnknown(owned, answer.status === 504 ? "timeout" : "reset", policy, deps);
    case "record": {
      const kept = toRecord(answer, policy);
      const noted = deps.trace === undefined ? kept : withTraceNote(kept, deps.trace.place);
      return complete(owned, noted, remembering, policy, deps);
    }
  }
}

async function complete(
  owned: Owned,
  response: RecordedResponse,
  remembering: Remembering | undefined,
  policy: Policy,
  deps: FlowDeps,
): Promise<Settled> {
  const write = async (): Promise<CompleteAnswer> => {
    const answer = await completeOrShrink(owned, response, policy.retention.completedMs, deps);
    if (answer.kind === "done" || !(await putBack(owned, deps))) return answer;
    return completeOrShrink(owned, response, policy.retention.completedMs, deps);
  };
  const again = async (): Promise<WriteAnswer> => (await write()).kind;
  if (remembering !== undefined) {
    // DANGER: told as recorded, a deletion must hold, and the resource does not know of it yet. Where it never learns of
    // it, the record becomes unknown with its lease.
    deps.background(completeBehind(remembering, owned, again, deps));
    return { kind: "not-recorded" };
  }
  try {
    const answer = await write();
    if (answer.kind === "done") return { kind: "recorded", expiresAtMs: answer.expiresAtMs };
    deps.observer.lostWrite("complete");
    return await whatStandsThere(owned, deps);
  } catch (error) {
    // The caller gets the true answer; its retries are told that the record is damaged, never another answer.
    if (error instanceof RecordCorrupt) return { kind: "not-recorded" };
    if (!(error instanceof StoreUnavailable)) throw error;
    void writeLater(owned, "complete", again, deps);
    return { kind: "not-recorded" };
  }
}

async function completeBehind(
  remembering: Remembering,
  owned: Owned,
  write: () => Promise<WriteAnswer>,
  deps: FlowDeps,
): Promise<void> {
  if ((await remembering.later) === "given-up") deps.observer.lostWrite("complete");
  else await writeLater(owned, "complete", write, deps);
}

/** How long the caller waits for its record while the claim of a gateway that will not get the key's lock stands there. */
const PUT_BACK_MS = 1000;
const PUT_BACK_PAUSE_MS = 10;

/**
 * Where the store has lost the whole record (a failover, a flush), it is claimed once more, so that what is known can
 * be written and whoever retries gets it. `false`: somebody else stands there, or the operator's word does.
 * @throws StoreUnavailable while that somebody is known to leave, so that it is tried again later.
 */
async function putBack(owned: Owned, { store, clock }: FlowDeps): Promise<boolean> {
  const untilMs = clock.monotonicMs() + PUT_BACK_MS;
  const lockEndsMs = owned.keyLock?.endsMs ?? Number.NEGATIVE_INFINITY;
  // An unknown outcome that stands there is another request's: it is not taken over, whatever the route says.
  const request = { ...owned.request, onUnknown: "block" as const };
  for (;;) {
    const claimed = await store.claim(request);
    if (claimed.kind === "granted") return true;
    const nowMs = clock.monotonicMs();
    const runs = claimed.kind === "busy" || claimed.kind === "mismatch";
    if (!runs || claimed.record.state !== "in-flight" || nowMs >= lockEndsMs) return false;
    // DANGER: while this one holds the key's lock, another claim is about to be released unsent. Left at that, the
    // record would be gone and the next retry be sent.
    if (nowMs >= untilMs) throw new StoreUnavailable("Another claim stands in the way.");
    await clock.sleep(PUT_BACK_PAUSE_MS);
  }
}

/** A store without room still has room for "executed, answer not kept", which is what keeps the retry from running. */
async function completeOrShrink(
  owned: Owned,
  response: RecordedResponse,
  retentionMs: number,
  deps: FlowDeps,
): Promise<CompleteAnswer> {
  const { id, token } = owned;
  try {
    const answer = await deps.store.complete(id, token, response, retentionMs);
    if (answer.kind === "done") deps.observer.recordedBytes(response.body?.byteLength ?? 0);
    return answer;
  } catch (error) {
    if (!(error instanceof StoreFull) || response.body === undefined) throw error;
    return deps.store.complete(id, token, { ...response, body: undefined }, retentionMs);
  }
}

async function whatStandsThere({ id, request }: Owned, deps: FlowDeps): Promise<Settled> {
  try {
    const record = await deps.store.inspect(id);
    // DANGER: the key may name another request by now, whose answer is not this caller's to have.
    const same = record?.fingerprint === request.fingerprint;
    return { kind: "lost", record: same ? record : undefined };
  } catch (error) {
    if (error instanceof StoreUnavailable || error instanceof RecordCorrupt) {
      return { kind: "lost-unreadable" };
    }
    throw error;
  }
}

export async function release(owned: Owned, deps: FlowDeps): Promise<Settled> {
  const write = (): Promise<WriteAnswer> => deps.store.release(owned.id, owned.token);
  await writeNowOrLater(owned, "release", write, deps);
  const { id, listed } = owned;
  if (listed !== undefined) deps.background(strike(listed.scope, id, listed.mark, deps));
  // DANGER: the other call of a claim that was asked for twice would take the free key and stand without an owner.
  if (owned.inDoubt) releaseLater(owned, deps);
  return { kind: "released" };
}

/** Not waited for: an entry without a record makes room as soon as somebody needs it. */
async function strike(scope: string, id: string, mark: number, deps: FlowDeps): Promise<void> {
  try {
    await deps.store.strikeRoll(scope, id, mark);
  } catch (error) {
    if (!(error instanceof StoreUnavailable || error instanceof RecordCorrupt)) throw error;
  }
}

async function markUnknown(
  owned: Owned,
  reason: UnknownReason,
  policy: Policy,
  deps: FlowDeps,
): Promise<Settled> {
  const { id, fence, token: attempt } = owned;
  const { route } = policy;
  const { method } = owned.request;
  deps.observer.unknownOutcome({ recordId: id, route, method, reason, fence, attempt });
  const { unknownMs } = policy.retention;
  const mark = (): Promise<WriteAnswer> => deps.store.markUnknown(id, attempt, reason, unknownMs);
  const write = async (): Promise<WriteAnswer> => {
    const answer = await mark();
    return answer === "done" || !(await putBack(owned, deps)) ? answer : mark();
  };
  await writeNowOrLater(owned, "mark-unknown", write, deps);
  return { kind: "unknown" };
}

async function writeNowOrLater(
  lease: Lease,
  operation: StoreOperation,
  write: () => Promise<WriteAnswer>,
  deps: FlowDeps,
): Promise<void> {
  try {
    if ((await write()) === "lost") deps.observer.lostWrite(operation);
  } catch (error) {
    if (error instanceof RecordCorrupt) return deps.observer.lostWrite(operation);
    if (!(error instanceof StoreUnavailable)) throw error;
    void writeLater(lease, operation, write, deps);
  }
}
