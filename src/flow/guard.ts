/**
 * The resource's part of the line, around the send: lock → memory → current representation → send → memory. Whatever
 * refuses here has sent nothing, and says so. Replays never come here; they take no lock.
 */
import { isCondition, type Representation } from "../core/conditional.ts";
import { isSuccess } from "../core/recordable.ts";
import { RecordCorrupt, StoreUnavailable, type ForwardOutcome } from "../core/ports.ts";
import type { HeaderPair, RecordedResponse } from "../core/record.ts";
import {
  claimOwnership,
  judgeMemory,
  judgeRepresentation,
  needsRepresentation,
  type WriteVerdict,
} from "../core/resource.ts";
import type { Admitted } from "./admit.ts";
import { afterwards } from "./aftermath.ts";
import { attemptOf, type Attempt, type Guarding } from "./attempt.ts";
import type { FlowDeps } from "./deps.ts";
import { forward, type Holdings } from "./forward.ts";
import type { Owned, Remembering } from "./later.ts";
import { acquire } from "./lock.ts";
import { recall, takeBackLater, write as writeMemory, type Recalled } from "./memory.ts";
import { represent, sameContent, type Represented } from "./represent.ts";

export type GuardRefusal =
  | Exclude<WriteVerdict, { kind: "go" | "deleted-before" | "already-there" }>
  | { readonly kind: "locked" }
  | { readonly kind: "unavailable" | "corrupt" }
  /** The current representation could not be read, so nothing was judged and nothing sent. */
  | Exclude<Represented, { kind: "representation" }>;

/** `sent` is what the upstream said; `known` what the gateway says in its place, to be recorded like an answer. */
export type Guarded =
  | {
      readonly kind: "sent" | "deleted-before" | "already-there";
      readonly forwarded: ForwardOutcome;
      readonly remembering?: Remembering | undefined;
    }
  | { readonly kind: "refused"; readonly refusal: GuardRefusal };

/** `headers` are the fields for the upstream. `owned` is `undefined` for a request without a key. */
export async function guard(
  admitted: Admitted,
  owned: Owned | undefined,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<Guarded> {
  const { resource, policy } = admitted;
  const rules = policy.resource;
  const unlocked = { owned, lock: undefined };
  if (resource === undefined || rules === undefined) {
    return { kind: "sent", forwarded: await forward(admitted, unlocked, headers, deps) };
  }
  const guarding = { ...admitted, resource, rules };
  if (rules.serialize === "off") return guarded(guarding, unlocked, headers, deps);
  const locked = await acquire(resource.id, rules, policy.waitTimeoutMs, owned, deps);
  if (locked.kind !== "held") return refuse({ kind: locked.kind });
  return guarded(guarding, { owned, lock: locked.lock }, headers, deps);
}

async function guarded(
  guarding: Guarding,
  holding: Holdings,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<Guarded> {
  try {
    return await write(guarding, holding, headers, deps);
  } catch (error) {
    // Only before anything was sent: what comes later settles for itself.
    holding.lock?.release();
    if (error instanceof RecordCorrupt) return refuse({ kind: "corrupt" });
    if (error instanceof StoreUnavailable) return refuse({ kind: "unavailable" });
    throw error;
  }
}

/** Throws the store's errors only while nothing has been sent. Gives the lock back as soon as others may write. */
async function write(
  guarding: Guarding,
  holding: Holdings,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<Guarded> {
  const { resource } = guarding;
  const free = (): void => holding.lock?.release();
  const recalled = await recall(resource.id, deps.store);
  const attempt = attemptOf(guarding, holding.owned, recalled.nowMs, deps);
  const judged = await judge(guarding, attempt, recalled, headers, deps);
  const ready =
    judged.verdict.kind === "go"
      ? await reserve(guarding, attempt, recalled, holding, deps)
      : recalled;
  if (ready === "unheard") return refuse({ kind: "unavailable" });
  if (judged.verdict.kind !== "go" || ready === undefined) {
    free();
    return toldInstead(judged.verdict);
  }
  const outbound = judged.computed ? headers.filter(([name]) => !isCondition(name)) : headers;
  const forwarded = await forward(guarding, holding, outbound, deps);
  const { lock } = holding;
  const remembering = await afterwards(guarding, attempt, ready, forwarded, lock, deps);
  return { kind: "sent", forwarded, remembering };
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

/** `computed`: the upstream has no tag of its own, so the conditions are the gateway's to judge and not to pass on. */
interface Judged {
  readonly verdict: WriteVerdict | GuardRefusal;
  readonly computed: boolean;
}

async function judge(
  guarding: Guarding,
  attempt: Attempt,
  recalled: Recalled,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<Judged> {
  const { rules, resource } = guarding;
  const { memory, nowMs } = recalled;
  const early = judgeMemory(memory, attempt, rules, nowMs);
  if (early?.kind === "owned") {
    const verdict = await whoOwns(early, guarding.policy.retention.unknownMs, nowMs, deps);
    if (verdict?.settled === true && !early.settled) {
      // Kept from here on: the record that says so is forgotten sooner than who owns the resource.
      const owner = { ...verdict.owner, settled: true };
      await writeMemory(resource.id, recalled, { ...memory, owner }, guarding.policy, deps.store);
    }
    if (verdict !== undefined) return { verdict, computed: false };
  } else if (early !== undefined) {
    return { verdict: early, computed: false };
  }
  if (!needsRepresentation(rules, attempt) || resource.path === undefined) {
    return { verdict: { kind: "go" }, computed: false };
  }
  const read = await represent(resource.path, headers, guarding.policy, deps);
  if (read.kind !== "representation") return { verdict: read, computed: false };
  const verdict = judgeRepresentation(read.representation, memory, attempt, rules, (current) =>
    sameContent(current, guarding, deps.readJson),
  );
  // Conditions are taken off only where they have been judged by a tag that the upstream does not know. Whatever else
  // there is of them is the upstream's to judge: `If-None-Match: *` also holds against a creation in between.
  const { representation } = read;
  const judged = rules.precondition !== "off" && representation.kind === "present";
  return { verdict, computed: judged && representation.computed };
}

/** An owner whose outcome was never settled here: its record knows more by now. `undefined`: it owns nothing. */
async function whoOwns(
  verdict: Extract<WriteVerdict, { kind: "owned" }>,
  unknownMs: number,
  nowMs: number,
  deps: FlowDeps,
): Promise<Extract<WriteVerdict, { kind: "owned" }> | undefined> {
  const { owner, settled } = verdict;
  if (settled) return verdict;
  // Without a key there is no record that an operator could resolve: it counts for as long as one would.
  const forgottenAtMs = Date.parse(owner.original.createdAt) + unknownMs;
  if (!owner.keyed) return forgottenAtMs > nowMs ? verdict : undefined;
  const record = await deps.store.inspect(owner.record);
  if (record === undefined) return undefined;
  if (record.state !== "completed") return verdict;
  const ran = record.response === undefined || isSuccess(record.response.status);
  if (ran) return { ...verdict, settled: true };
  // Its last send has failed; an earlier one, whose answer was lost, may be why.
  return owner.sentBefore === true ? verdict : undefined;
}

/**
 * Before a `once` write leaves, the resource is its own: whoever comes after an unknown outcome must see that.
 * `unheard`: nobody knows whether it is; that is taken back, and the lock given back behind it.
 */
async function reserve(
  { rules, resource, policy, method }: Guarding,
  attempt: Attempt,
  recalled: Recalled,
  { lock }: Holdings,
  deps: FlowDeps,
): Promise<Recalled | "unheard" | undefined> {
  if (!rules.once || method === "DELETE") return recalled;
  const memory = claimOwnership(recalled.memory, attempt.writer);
  try {
    const answer = await writeMemory(resource.id, recalled, memory, policy, deps.store);
    return answer === "done" ? { ...recalled, memory, revision: recalled.revision + 1 } : undefined;
  } catch (error) {
    if (!(error instanceof StoreUnavailable) || error.undone) throw error;
    const endsMs = lock?.endsMs ?? deps.clock.monotonicMs() + deps.limits.lockLeaseMs;
    const reserved = { ...recalled, reserved: memory };
    takeBackLater(resource.id, reserved, policy, endsMs, () => lock?.release(), deps);
    return "unheard";
  }
}

function withTag(current: Extract<Representation, { kind: "present" }>): RecordedResponse {
  const { status, headers, body, computed, etag } = current;
  return { status, headers: computed ? [...headers, ["ETag", etag]] : headers, body };
}

function answered({ status, headers, body }: RecordedResponse): ForwardOutcome {
  return { kind: "answered", answer: { status, headers, body: body ?? new Uint8Array() } };
}

function refuse(refusal: GuardRefusal): Guarded {
  return { kind: "refused", refusal };
}
