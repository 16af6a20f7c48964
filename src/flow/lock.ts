/**
 * One's turn at a resource: tries for its lock until it is held, the wait is over, or the lease of the request's own
 * key leaves no time for it. The lock makes others wait; what may be written is decided by compare-and-set.
 */
import type { ResourcePolicy } from "../core/policy.ts";
import type { HeldLock, LockAnswer } from "../core/resource-ports.ts";
import type { FlowDeps } from "./deps.ts";
import type { Owned } from "./later.ts";

export type Acquired =
  | { readonly kind: "held"; readonly lock: HeldLock }
  /** Somebody else is writing, and the wait is over. */
  | { readonly kind: "locked" }
  | { readonly kind: "unavailable" };

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 50;

/**
 * A lock is given back behind the answer of its holder. Whoever comes right after it must not be told that somebody
 * else is there, so whoever does not wait bears with a lock for this long.
 */
export const GIVING_BACK_MS = 100;

export async function acquire(
  id: string,
  rules: Pick<ResourcePolicy, "serialize">,
  waitMs: number,
  owned: Owned | undefined,
  deps: Pick<FlowDeps, "locks" | "limits" | "clock" | "newToken">,
): Promise<Acquired> {
  const { locks, limits, clock } = deps;
  const startedMs = clock.monotonicMs();
  // A wait that uses up the key's lease could only end in a request that may not be sent any more.
  const leaseEndsMs = (owned?.leaseEndsMs ?? Infinity) - limits.deadlineMs;
  const untilMs =
    rules.serialize === "reject"
      ? startedMs + GIVING_BACK_MS
      : Math.min(startedMs + waitMs, leaseEndsMs);
  const answer = await tryUntil(untilMs, () => locks.tryLock(id, limits.lockLeaseMs), deps);
  return answer.kind === "busy" ? { kind: "locked" } : answer;
}

/** Tries until it is held, or until `untilMs` on the monotonic clock; then somebody else has it. */
export async function tryUntil(
  untilMs: number,
  tryLock: () => Promise<LockAnswer>,
  { clock, newToken }: Pick<FlowDeps, "clock" | "newToken">,
): Promise<LockAnswer> {
  let pauseMs = FIRST_PAUSE_MS;
  for (;;) {
    const answer = await tryLock();
    if (answer.kind === "unavailable") return answer;
    if (answer.kind === "held") {
      // A grant that took longer than its own lease is none.
      if (answer.lock.endsMs > clock.monotonicMs()) return answer;
      answer.lock.release();
    }
    // Scattered, or contenders that asked several servers at once would split the votes again and again.
    const waitedMs = pauseMs * (0.5 + Number.parseInt(newToken().slice(0, 4), 16) / 0x10000);
    if (clock.monotonicMs() + waitedMs > untilMs) return { kind: "busy" };
    await clock.sleep(waitedMs);
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}
