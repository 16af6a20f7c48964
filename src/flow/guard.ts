/**
 * The resource's part of the line, around the send: lock → memory → current representation → send → memory. Whatever
 * refuses here has sent nothing, and says so. Replays never come here; they take no lock.
 */
import type { Representation } from "../core/conditional.ts";
import { contentOf } from "../core/fingerprint.ts";
import { headersToRecord, verdictOn } from "../core/recordable.ts";
import type { ResourcePolicy } from "../core/policy.ts";
import { RecordCorrupt, StoreUnavailable, type ForwardOutcome } from "../core/ports.ts";
import type { HeldLock } from "../core/resource-ports.ts";
import type { HeaderPair, RecordedResponse } from "../core/record.ts";
import {
  claimOwnership,
  judgeMemory,
  judgeRepresentation,
  nameLocation,
  needsRepresentation,
  remember,
  type ResourceMemory,
  type ResourceWrite,
  type WriteEnd,
  type Writer,
  type WriteVerdict,
} from "../core/resource.ts";
import { pathOnly } from "../core/problem.ts";
import type { Admitted, NamedResource } from "./admit.ts";
import type { FlowDeps } from "./deps.ts";
import { forward } from "./forward.ts";
import type { Owned } from "./later.ts";
import { acquire } from "./lock.ts";
import { freeSlot, recall, retain, write as writeMemory, type Recalled } from "./memory.ts";
import { represent, sameContent, type Represented } from "./represent.ts";

export type GuardRefusal =
  | Exclude<WriteVerdict, { kind: "go" | "deleted-before" | "already-there" }>
  | { readonly kind: "locked" }
  | { readonly kind: "unavailable" | "corrupt" }
  /** The current representation could not be read, so nothing was judged and nothing sent. */
  | Extract<Represented, { kind: "unreadable" }>;

/** `sent` is what the upstream said; `known` what the gateway says in its place, to be recorded like an answer. */
export type Guarded =
  | {
      readonly kind: "sent" | "deleted-before" | "already-there";
      readonly forwarded: ForwardOutcome;
    }
  | { readonly kind: "refused"; readonly refusal: GuardRefusal };

type Guarding = Admitted & {
  readonly resource: NamedResource;
  readonly rules: ResourcePolicy;
};

/** `headers` are the fields for the upstream. `owned` is `undefined` for a request without a key. */
export async function guard(
  admitted: Admitted,
  owned: Owned | undefined,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<Guarded> {
  const { resource, policy } = admitted;
  const rules = policy.resource;
  if (resource === undefined || rules === undefined) {
    const forwarded = await forward(admitted, { owned, lock: undefined }, headers, deps);
    return { kind: "sent", forwarded };
  }
  const guarding = { ...admitted, resource, rules };
  if (rules.serialize === "off") return write(guarding, { owned, lock: undefined }, headers, deps);
  const locked = await acquire(resource.id, rules, policy.waitTimeoutMs, owned, deps);
  if (locked.kind !== "held") return refuse({ kind: locked.kind });
  const { lock } = locked;
  try {
    return await write(guarding, { owned, lock }, headers, deps);
  } catch (error) {
    // Only before anything was sent: what comes later settles for itself.
    lock.release();
    if (error instanceof RecordCorrupt) return refuse({ kind: "corrupt" });
    if (error instanceof StoreUnavailable) return refuse({ kind: "unavailable" });
    throw error;
  }
}

interface Holding {
  readonly owned: Owned | undefined;
  readonly lock: HeldLock | undefined;
}

/** Throws the store's errors only while nothing has been sent. Gives the lock back as soon as others may write. */
async function write(
  guarding: Guarding,
  holding: Holding,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<Guarded> {
  const { resource } = guarding;
  const free = (): void => holding.lock?.release();
  const recalled = await recall(resource.id, deps.store);
  const attempt = attemptOf(guarding, holding.owned, recalled.nowMs, deps);
  const judged = await judge(guarding, attempt, recalled, headers, deps);
  const ready =
    judged.verdict.kind === "go" ? await reserve(guarding, attempt, recalled, deps) : recalled;
  if (judged.verdict.kind !== "go" || ready === undefined) {
    free();
    return toldInstead(judged.verdict);
  }
  const outbound = judged.computed ? headers.filter(([name]) => !isCondition(name)) : headers;
  const forwarded = await forward(guarding, holding, outbound, deps);
  await afterwards(guarding, attempt, ready, forwarded, holding, deps);
  return { kind: "sent", forwarded };
}

/** `go` without a reservation: another write came between, although the lock was held. */
function toldInstead(verdict: Judged["verdict"]): Guarded {
  switch (verdict.kind) {
    case "go":
      return refuse({ kind: "locked" });
    case "deleted-before":
      return { kind: "deleted-before", forwarded: answered(verdict.response) };
    case "already-there":
      return { kind: "already-there", forwarded: answered(withTag(verdict.current)) };
    default:
      return refuse(verdict);
  }
}

/** What is remembered of the write, and when the lock ends. Never rejects for the store's sake: there is an answer. */
async function afterwards(
  guarding: Guarding,
  attempt: Attempt,
  ready: Recalled,
  forwarded: ForwardOutcome,
  { lock }: Holding,
  deps: FlowDeps,
): Promise<void> {
  const { rules, resource, policy } = guarding;
  const free = (): void => lock?.release();
  const end = endOf(forwarded, guarding);
  const memory = remember(ready.memory, attempt, end, rules, ready.nowMs);
  const leaseEndsMs = lock?.endsMs ?? deps.clock.monotonicMs() + deps.limits.lockLeaseMs;
  try {
    const written = await retain(resource.id, ready, memory, policy, leaseEndsMs, free, deps);
    if (end.kind === "answered" && isSuccess(end.response.status)) {
      await followUp(guarding, attempt, ready.memory, end.response, deps);
    }
    // DANGER: after a time-out the upstream may still be working on the write. The lock is left to end with its
    // lease, or the next write would run beside this one.
    const running = forwarded.kind === "unknown" && forwarded.reason === "timeout";
    if (written !== "later" && !running) free();
  } catch (error) {
    if (!(error instanceof StoreUnavailable || error instanceof RecordCorrupt)) throw error;
    deps.observer.lostWrite("remember");
  }
}

type Attempt = ResourceWrite & { readonly writer: Writer };

function attemptOf(
  { method, target, headers, body, json, keyed }: Guarding,
  owned: Owned | undefined,
  nowMs: number,
  deps: FlowDeps,
): Attempt {
  const record = owned?.id ?? deps.newToken();
  const createdAt = new Date(nowMs).toISOString();
  return {
    method,
    headers,
    record,
    content: contentOf(headers, body, json),
    writer: {
      record,
      keyed: keyed !== undefined,
      original: { method, target: pathOnly(target), createdAt },
    },
  };
}

/** `computed`: the upstream has no tag of its own, so the conditions are the gateway's to judge and not to pass on. */
interface Judged {
  readonly verdict: WriteVerdict | GuardRefusal;
  readonly computed: boolean;
}

async function judge(
  guarding: Guarding,
  attempt: Attempt,
  { memory, nowMs }: Recalled,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<Judged> {
  const { rules, resource } = guarding;
  const early = judgeMemory(memory, attempt, rules, nowMs);
  if (early?.kind === "owned") {
    const verdict = await whoOwns(early, deps);
    if (verdict !== undefined) return { verdict, computed: false };
  } else if (early !== undefined) {
    return { verdict: early, computed: false };
  }
  if (!needsRepresentation(rules, attempt) || resource.path === undefined) {
    return { verdict: { kind: "go" }, computed: false };
  }
  const read = await represent(resource.path, headers, guarding.policy, deps);
  if (read.kind === "unreadable") return { verdict: read, computed: false };
  const verdict = judgeRepresentation(read.representation, memory, attempt, rules, (current) =>
    sameContent(current, guarding, deps.readJson),
  );
  const computed = read.representation.kind === "absent" || read.representation.computed;
  return { verdict, computed };
}

/** An owner whose outcome was never settled here: its record knows more by now. `undefined`: it owns nothing. */
async function whoOwns(
  verdict: Extract<WriteVerdict, { kind: "owned" }>,
  deps: FlowDeps,
): Promise<Extract<WriteVerdict, { kind: "owned" }> | undefined> {
  const { owner, settled } = verdict;
  if (settled || !owner.keyed) return verdict;
  const record = await deps.store.inspect(owner.record);
  if (record === undefined) return undefined;
  if (record.state !== "completed") return verdict;
  const ran = record.response === undefined || isSuccess(record.response.status);
  return ran ? { ...verdict, settled: true } : undefined;
}

/** Before a `once` write leaves, the resource is its own: whoever comes after an unknown outcome must see that. */
async function reserve(
  { rules, resource, policy, method }: Guarding,
  attempt: Attempt,
  recalled: Recalled,
  deps: FlowDeps,
): Promise<Recalled | undefined> {
  if (!rules.once || method === "DELETE") return recalled;
  const memory = claimOwnership(recalled.memory, attempt.writer);
  const answer = await writeMemory(resource.id, recalled, memory, policy, deps.store);
  return answer === "done" ? { ...recalled, memory, revision: recalled.revision + 1 } : undefined;
}

/** A booking that is deleted frees its slot; a slot that is taken is found again by what the upstream calls it. */
async function followUp(
  { method, rules, resource, policy }: Guarding,
  attempt: Attempt,
  before: ResourceMemory,
  response: RecordedResponse,
  deps: FlowDeps,
): Promise<void> {
  if (method === "DELETE") {
    if (before.frees !== undefined) await freeSlot(before.frees, policy, deps);
    return;
  }
  const location = response.headers.find(([name]) => name.toLowerCase() === "location")?.[1];
  const alias = rules.once && location !== undefined ? nameLocation(location) : undefined;
  if (alias === undefined || alias === resource.id) return;
  const recalled = await recall(alias, deps.store);
  const frees = { resource: resource.id, owner: attempt.record };
  const { tombstone: _tombstone, ...kept } = recalled.memory;
  const memory = { ...kept, frees, writer: attempt.writer };
  const answer = await writeMemory(alias, recalled, memory, policy, deps.store);
  if (answer === "lost") deps.observer.lostWrite("remember");
}

function withTag(current: Extract<Representation, { kind: "present" }>): RecordedResponse {
  const { status, headers, body, computed, etag } = current;
  return { status, headers: computed ? [...headers, ["ETag", etag]] : headers, body };
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
      const kept = headersToRecord(headers, policy.replay.dropHeaders);
      return { kind: "answered", response: { status, headers: kept, body } };
    }
  }
}

function answered({ status, headers, body }: RecordedResponse): ForwardOutcome {
  return { kind: "answered", answer: { status, headers, body: body ?? new Uint8Array() } };
}

function isCondition(name: string): boolean {
  return /^if-(none-)?match$/i.test(name);
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function refuse(refusal: GuardRefusal): Guarded {
  return { kind: "refused", refusal };
}
