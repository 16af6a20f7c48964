/**
 * After a write to a resource: what is remembered of it, what else it frees or brings back, and when its lock ends.
 * Decides nothing about the answer, which is the upstream's by now.
 */
import { fieldOf } from "../core/fields.ts";
import { toRecord, verdictOn } from "../core/recordable.ts";
import { RecordCorrupt, StoreUnavailable, type ForwardOutcome } from "../core/ports.ts";
import { pathOnly } from "../core/problem.ts";
import type { HeldLock } from "../core/resource-ports.ts";
import type { WriteAnswer } from "../core/record.ts";
import { nameLocation } from "../core/resource-name.ts";
import { hasHappened, remember, type ResourceMemory, type WriteEnd } from "../core/resource.ts";
import type { Attempt, Guarding } from "./attempt.ts";
import type { FlowDeps } from "./deps.ts";
import { writeLater, type Remembering } from "./later.ts";
import {
  freeSlot,
  recall,
  retain,
  write as writeMemory,
  type Change,
  type Recalled,
} from "./memory.ts";

/**
 * Never rejects for the store's sake: there is an answer. Gives the lock back as soon as others may write. Resolves to
 * what is still to be remembered, where the store is away.
 */
export async function afterwards(
  guarding: Guarding,
  attempt: Attempt,
  ready: Recalled,
  forwarded: ForwardOutcome,
  lock: HeldLock | undefined,
  deps: FlowDeps,
): Promise<Remembering | undefined> {
  const { rules, resource, policy } = guarding;
  const free = (): void => lock?.release();
  const end = endOf(forwarded, guarding);
  const change: Change = (before, nowMs) => remember(before, attempt, end, rules, nowMs);
  const endsMs = lock?.endsMs ?? deps.clock.monotonicMs() + deps.limits.lockLeaseMs;
  // DANGER: where the outcome is unknown the upstream may still be working on the write, whatever broke on the way. The
  // lock is left to end with its lease, or the next write would run beside this one.
  let others = end.kind !== "unknown";
  let remembering: Remembering | undefined;
  try {
    const lease = { locked: lock !== undefined, endsMs };
    const written = await retain(resource.id, ready, change, policy, lease, deps);
    if (typeof written === "object") {
      remembering = written;
      // Nobody may judge by a memory that does not know of this write yet.
      if (others) deps.background(written.later.then(free));
      others = false;
    }
    if (end.kind === "answered" && hasHappened(ready.memory, attempt, end)) {
      const { status } = end.response;
      const told = { status, location: locationIn(forwarded) };
      const follow = () => followUp(guarding, attempt, ready.memory, told, deps);
      await nowOrLater(resource.id, endsMs, follow, deps);
    }
  } catch (error) {
    if (!(error instanceof StoreUnavailable || error instanceof RecordCorrupt)) throw error;
    deps.observer.lostWrite("remember");
  } finally {
    if (others) free();
  }
  return remembering;
}

/** A slot that was not freed because the store was away would stay taken for ever. */
async function nowOrLater(
  id: string,
  leaseEndsMs: number,
  work: () => Promise<void>,
  deps: FlowDeps,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const again = async (): Promise<WriteAnswer> => work().then(() => "done");
    void writeLater({ id, token: "", leaseEndsMs }, "remember", again, deps);
  }
}

/** A booking that is deleted frees its slot; what a write has made is known by what the upstream calls it, too. */
async function followUp(
  { method, target, headers, rules, resource, policy }: Guarding,
  attempt: Attempt,
  before: ResourceMemory,
  { status, location }: { readonly status: number; readonly location: string | undefined },
  deps: FlowDeps,
): Promise<void> {
  if (method === "DELETE") {
    if (before.frees !== undefined) await freeSlot(before.frees, policy, deps);
    return;
  }
  const made =
    location === undefined
      ? undefined
      : nameLocation(location, pathOnly(target), fieldOf(headers, "host") ?? "upstream");
  if (made === undefined || made === resource.id) return;
  // RFC 9110 §15.3.2: the Location of a 201 is what was created; of any other answer it may be a mere report.
  if (!rules.once && status !== 201) return;
  const recalled = await recall(made, deps.store);
  if (!rules.once && recalled.memory.tombstone === undefined) return;
  // An id that was deleted and is given again: its thing is there, and a repeated DELETE must not be told otherwise.
  const { tombstone: _tombstone, ...kept } = recalled.memory;
  const frees = { resource: resource.id, owner: attempt.record };
  const memory = { ...kept, ...(rules.once && { frees }), writer: attempt.writer };
  const answer = await writeMemory(made, recalled, memory, policy, deps.store);
  if (answer === "lost") deps.observer.lostWrite("remember");
}

/** Of the upstream's own answer: a route may keep nothing of it. */
function locationIn(forwarded: ForwardOutcome): string | undefined {
  const answer = forwarded.kind === "answered" ? forwarded.answer : forwarded;
  return "headers" in answer ? fieldOf(answer.headers, "location") : undefined;
}

function endOf(forwarded: ForwardOutcome, { policy }: Guarding): WriteEnd {
  switch (forwarded.kind) {
    case "not-sent":
      return { kind: "not-sent" };
    case "unknown":
      return { kind: "unknown" };
    case "answered":
    case "streaming": {
      const { status, headers } = forwarded.kind === "answered" ? forwarded.answer : forwarded;
      if (verdictOn(status, policy) === "unknown") return { kind: "unknown" };
      const body = forwarded.kind === "answered" ? forwarded.answer.body : undefined;
      return { kind: "answered", response: toRecord({ status, headers, body }, policy) };
    }
  }
}
