/**
 * The claim, with its complications: a lost reply is asked for once more with the same token, a route with
 * `onInFlight: wait` holds the duplicate until the first request has settled, and where the configuration says so the
 * caller's quotas and its rights stand around it (`allowed.ts`, `roll.ts`). Nothing is sent from here.
 */
import type { ClaimAnswer, ClaimRequest } from "../core/record.ts";
import { RecordCorrupt, StoreUnavailable, type InboundRequest } from "../core/ports.ts";
import { unknownPolicy } from "../core/route.ts";
import type { Admitted, Keyed } from "./admit.ts";
import { mayBeTold, withinQuota } from "./allowed.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";
import { releaseLater } from "./later.ts";
import { GIVING_BACK_MS, tryUntil } from "./lock.ts";
import { withinRoll } from "./roll.ts";
import { release } from "./settle.ts";

type Claiming = Pick<Admitted, "policy" | "method" | "target" | "headers" | "scope">;

export async function claim(
  admitted: Claiming,
  keyed: Pick<Keyed, "id" | "fingerprint">,
  inbound: Pick<InboundRequest, "gone">,
  deps: FlowDeps,
): Promise<Claimed> {
  const { access, liveRecords } = deps;
  if (access === undefined && liveRecords === undefined) {
    return claimKey(admitted, keyed, inbound, deps);
  }
  const claimed = await withinQuota(admitted.scope, keyed.id, access?.quota, deps, (waits) =>
    withinRoll(admitted, keyed.id, deps, () => claimKey(admitted, keyed, inbound, deps, waits)),
  );
  return mayBeTold(admitted, claimed, access?.rights);
}

async function claimKey(
  admitted: Claiming,
  { id, fingerprint }: Pick<Keyed, "id" | "fingerprint">,
  inbound: Pick<InboundRequest, "gone">,
  deps: FlowDeps,
  waits?: () => void,
): Promise<Claimed> {
  const { policy, method, target } = admitted;
  const request: Asking = {
    id,
    fingerprint,
    method,
    target,
    route: policy.route,
    claimedBy: deps.name,
    shadow: policy.mode === "shadow",
    leaseMs: deps.limits.leaseMs,
    unknownRetentionMs: policy.retention.unknownMs,
    onUnknown: unknownPolicy(policy, method),
  };
  let busy: Claimed | undefined;
  try {
    const first = await ask(request, deps);
    if (first.kind !== "busy" || policy.onInFlight === "reject") return await confirm(first, deps);
    busy = first;
    waits?.();
    const turn = await waitForTurn(request, first, policy.waitTimeoutMs, inbound.gone, deps);
    return await confirm(turn, deps);
  } catch (error) {
    if (error instanceof RecordCorrupt) return { kind: "corrupt", cause: error.reason };
    if (!(error instanceof StoreUnavailable)) throw error;
    // A duplicate that was waiting is known to be one: `bypass` must not send it beside the first request.
    return busy ?? { kind: "unavailable", cause: error.code };
  }
}

/** Each time it is asked, it is asked with a token of its own. */
type Asking = Omit<ClaimRequest, "token">;

/** Whether the store may have taken the claim, or may take it yet, although it was not heard to. */
interface Doubt {
  maybeTaken: boolean;
}

/**
 * DANGER: the store may do a call of which no reply came, and do it later. Were its token used for the next question
 * of a waiting duplicate, "granted" could be an answer to the old one, and its lease be counted too long.
 */
async function ask(asking: Asking, deps: FlowDeps): Promise<Claimed> {
  const leaseEndsMs = deps.clock.monotonicMs() + asking.leaseMs;
  const { id } = asking;
  const token = deps.newToken();
  // Member by member: a copy by spreading costs 5 us here.
  const request: ClaimRequest = {
    id,
    token,
    fingerprint: asking.fingerprint,
    method: asking.method,
    target: asking.target,
    route: asking.route,
    claimedBy: asking.claimedBy,
    shadow: asking.shadow,
    leaseMs: asking.leaseMs,
    unknownRetentionMs: asking.unknownRetentionMs,
    onUnknown: asking.onUnknown,
  };
  const doubt: Doubt = { maybeTaken: false };
  let answer: ClaimAnswer | undefined;
  try {
    answer = await askTwice(request, doubt, deps);
  } finally {
    // What was not heard of may have been granted, or will be. Nothing was sent, so it can be given back.
    if (doubt.maybeTaken && answer?.kind !== "granted") releaseLater({ id, token }, deps);
  }
  if (answer.kind !== "granted") return answer;
  const { fence } = answer;
  const inDoubt = doubt.maybeTaken;
  const owned = { id, token, fence, leaseEndsMs, inDoubt, request, keyLock: undefined };
  return { kind: "granted", owned };
}

async function askTwice(request: ClaimRequest, doubt: Doubt, deps: FlowDeps): Promise<ClaimAnswer> {
  try {
    return await askOnce(request, doubt, deps);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    // Safe only because a claim is idempotent by its token: the second answer tells what the first call did.
    return askOnce(request, doubt, deps);
  }
}

async function askOnce(
  request: ClaimRequest,
  doubt: Doubt,
  { store }: FlowDeps,
): Promise<ClaimAnswer> {
  try {
    return await store.claim(request);
  } catch (error) {
    if (!(error instanceof StoreUnavailable && error.undone)) doubt.maybeTaken = true;
    throw error;
  }
}

/** Locks a granted key on the nodes, where there are any. The claim decides; the lock only ever says no. */
async function confirm(claimed: Claimed, deps: FlowDeps): Promise<Claimed> {
  if (claimed.kind !== "granted" || deps.keyLocks === undefined) return claimed;
  const { keyLocks, clock, limits } = deps;
  const { owned } = claimed;
  const untilMs = clock.monotonicMs() + GIVING_BACK_MS;
  const answer = await tryUntil(untilMs, () => keyLocks.tryLock(owned.id, limits.leaseMs), deps);
  if (answer.kind === "held") return { kind: "granted", owned: { ...owned, keyLock: answer.lock } };
  await release(owned, deps);
  return answer.kind === "busy"
    ? { kind: "held-elsewhere" }
    : { kind: "unavailable", cause: answer.cause };
}

async function waitForTurn(
  request: Asking,
  first: Claimed,
  timeoutMs: number,
  gone: AbortSignal,
  deps: FlowDeps,
): Promise<Claimed> {
  const untilMs = deps.clock.monotonicMs() + timeoutMs;
  const watch = await deps.store.watch(request.id);
  try {
    let answer = first;
    for (;;) {
      const leftMs = untilMs - deps.clock.monotonicMs();
      if (answer.kind !== "busy" || leftMs <= 0 || gone.aborted) return answer;
      // Asked after the watch is armed: what settled before is seen here, what settles later wakes the wait. A client
      // that has left is not asked for again, or its turn would come with nobody to answer.
      answer = await ask(request, deps);
      if (answer.kind !== "busy") return answer;
      const leaseLeftMs = answer.record.leaseUntilMs - answer.nowMs;
      await watch.wait(Math.min(leftMs, Math.max(leaseLeftMs, 1)), gone);
    }
  } finally {
    watch.close();
  }
}
