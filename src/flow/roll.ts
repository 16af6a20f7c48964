/**
 * How many live records a caller may have: its roll is entered before the claim, so that not even a crowd is over it, and
 * again behind one that was granted for what was listed already. What a full roll refuses was not claimed, or was given
 * back; nothing is sent from here.
 */
import { RecordCorrupt, StoreFull, StoreUnavailable } from "../core/ports.ts";
import type { Policy } from "../core/policy.ts";
import type { RollAnswer, RollEntry } from "../core/roll-ports.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";
import { isKnown } from "./known.ts";
import type { Owned } from "./later.ts";
import { release } from "./settle.ts";

/**
 * How long a claim may be on its way without its entry being struck for want of a record. One that took longer enters
 * again. Also how long a place that an operator has freed is not given to somebody else.
 */
const CLAIM_MS = 1000;

interface Caller {
  readonly scope: string;
  readonly policy: Policy;
}

type Unavailable = Extract<Claimed, { kind: "unavailable" }>;
type Answered =
  | RollAnswer
  | Unavailable
  | Extract<Claimed, { kind: "corrupt" }>
  /** The store takes nothing new; what it has can still be told. */
  | { readonly kind: "no-room"; readonly told: Unavailable };

export async function withinRoll(
  { scope, policy }: Caller,
  id: string,
  deps: FlowDeps,
  claimKey: () => Promise<Claimed>,
): Promise<Claimed> {
  const { liveRecords, clock } = deps;
  if (liveRecords === undefined) return claimKey();
  const { leaseMs, resolvedMs } = deps.limits;
  const { unknownMs } = policy.retention;
  const completedMs = Math.max(policy.retention.completedMs, resolvedMs);
  // In flight and then unknown, resolved at the last moment and then completed; twice the lease, because a record that a
  // store has lost may be put back at the end of it.
  const keepMs = 2 * leaseMs + unknownMs + completedMs + CLAIM_MS;
  const entry: RollEntry = { scope, id, most: liveRecords, keepMs, claimMs: CLAIM_MS, how: "look" };
  const startedMs = clock.monotonicMs();
  const listed = await enter(entry, deps);
  if (listed.kind === "unavailable" || listed.kind === "corrupt") return listed;
  if (listed.kind === "full" || listed.kind === "no-room") {
    // Retries are never refused: whatever is recorded is answered as ever.
    const known = await isKnown(id, deps);
    if (known === "no") {
      return listed.kind === "full" ? overQuota(listed.roomInMs, entry) : listed.told;
    }
    if (known !== "yes") return known;
  }
  const claimed = await claimKey();
  if (claimed.kind !== "granted") return claimed;
  const { owned } = claimed;
  const inTime = clock.monotonicMs() - startedMs < CLAIM_MS;
  if (listed.kind === "entered" && inTime) return granted(owned, scope, listed.mark);
  return enterAgain(owned, entry, deps);
}

/** The claim stands by now, so that its entry will not be struck. A record that is taken over was there all the time. */
async function enterAgain(owned: Owned, entry: RollEntry, deps: FlowDeps): Promise<Claimed> {
  const how = owned.fence > 1 ? "always" : "renew";
  const again = await enter({ ...entry, how }, deps);
  switch (again.kind) {
    case "entered":
      return granted(owned, entry.scope, again.mark);
    case "listed":
      throw new TypeError("an entry that was to be written was looked at");
    case "full":
      await giveBack(owned, deps);
      return overQuota(again.roomInMs, entry);
    case "no-room":
      await giveBack(owned, deps);
      return again.told;
    case "unavailable":
    case "corrupt":
      await giveBack(owned, deps);
      return again;
  }
}

async function giveBack(owned: Owned, deps: FlowDeps): Promise<void> {
  await release(owned, deps);
  owned.keyLock?.release();
}

async function enter(entry: RollEntry, { store }: FlowDeps): Promise<Answered> {
  try {
    return await store.enterRoll(entry);
  } catch (error) {
    if (error instanceof RecordCorrupt) return { kind: "corrupt", cause: error.reason };
    if (!(error instanceof StoreUnavailable)) throw error;
    const told: Unavailable = { kind: "unavailable", cause: error.code };
    return error instanceof StoreFull ? { kind: "no-room", told } : told;
  }
}

function granted(owned: Owned, scope: string, mark: number): Claimed {
  return { kind: "granted", owned: { ...owned, listed: { scope, mark } } };
}

/** Where nothing that stands was looked at, claims are on their way. */
function overQuota(roomInMs: number | undefined, { keepMs, claimMs }: RollEntry): Claimed {
  const retryAfterMs = Math.min(roomInMs ?? claimMs, keepMs);
  return { kind: "over-quota", retryAfterMs, cause: "live-records" };
}
