/**
 * Writes that outlive their exchange: the store did not answer, so it is told again in the background until it does
 * or the lease is over. Past the lease the record tells the truth by itself: unknown.
 */
import type { StoreOperation } from "../core/outcome.ts";
import { RecordCorrupt, StoreUnavailable } from "../core/ports.ts";
import type { ClaimRequest, WriteAnswer } from "../core/record.ts";
import type { HeldLock } from "../core/resource-ports.ts";
import type { FlowDeps } from "./deps.ts";

/** The claim that an exchange owns. */
export interface Owned {
  readonly id: string;
  readonly token: string;
  readonly fence: number;
  /** What was claimed, to be put back where the store has lost it. */
  readonly request: ClaimRequest;
  /** Beside the claim, where keys are locked on nodes of their own. */
  readonly keyLock: HeldLock | undefined;
  /** On the clock of this process: when the lease is over at the earliest. */
  readonly leaseEndsMs: number;
  /** It was asked for twice, and the first of the calls, of which nothing was heard, may be executed yet. */
  readonly inDoubt: boolean;
  /** Where the caller's live records are counted: its entry among them. */
  readonly listed?: { readonly scope: string; readonly mark: number };
}

export type Lease = Pick<Owned, "id" | "token" | "leaseEndsMs">;

type LaterDeps = Pick<FlowDeps, "store" | "clock" | "observer" | "background" | "limits">;

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1000;

/** Resolves when it is over, to what became of it. */
export function writeLater(
  lease: Lease,
  operation: StoreOperation,
  write: () => Promise<WriteAnswer>,
  deps: LaterDeps,
): Promise<Written> {
  const work = async (): Promise<Written> => {
    const written = await untilWritten(lease, write, deps);
    if (written !== "done") deps.observer.lostWrite(operation);
    return written;
  };
  const running = work();
  deps.background(running.then(() => undefined));
  return running;
}

/**
 * How long a claim is given back that nobody owns, long past its lease: nothing was sent for it, and only this process
 * knows. Without it the key would have an unknown outcome that never was.
 */
const GIVE_BACK_FOR_MS = 60 * 60 * 1000;

/**
 * So many at once. A store that answers nobody for a while leaves such claims behind by the thousand; in the long run all
 * of them together ask it once a millisecond at most, or it would not recover. What is over that is unknown after its
 * lease.
 */
const MOST_GIVE_BACKS = 20_000;

/** By the place that they run in. */
const givingBack = new WeakMap<FlowDeps["background"], number>();

/** Gives a claim back whose grant may have been lost on its way to us, or may come yet. */
export function releaseLater(
  { id, token }: Pick<Lease, "id" | "token">,
  deps: Omit<LaterDeps, "observer">,
): void {
  const { store, clock, limits, background } = deps;
  const running = (): number => givingBack.get(background) ?? 0;
  if (running() >= MOST_GIVE_BACKS) return;
  const startedMs = clock.monotonicMs();
  const write = async (): Promise<WriteAnswer> => {
    const early = clock.monotonicMs() - startedMs < limits.lateClaimMs;
    const answer = await store.release(id, token);
    // DANGER: a claim that is still on its way would be taken after this, and stand without an owner.
    if (early) throw new StoreUnavailable("The claim may be taken yet.");
    return answer;
  };
  const lease = { id, token, leaseEndsMs: startedMs + GIVE_BACK_FOR_MS };
  // `lost` is what usually comes back here, because most lost calls never arrived: not a lost write to count.
  const work = async (): Promise<void> => {
    givingBack.set(background, running() + 1);
    try {
      await untilWritten(lease, write, deps, () => Math.max(LONGEST_PAUSE_MS, running()));
    } finally {
      givingBack.set(background, running() - 1);
    }
  };
  background(work());
}

/** `given-up`: the lease is over, or what stands there is no longer a record that could be written. */
export type Written = WriteAnswer | "given-up";

/** What is to be remembered of a write to a resource, on its way to a store that did not answer. */
export interface Remembering {
  readonly later: Promise<Written>;
}

/**
 * Once at least: after a pause of the process the lease may be over before the store has been asked again, and what is
 * written late the store judges by the token or revision that it carries.
 */
async function untilWritten(
  lease: Lease,
  write: () => Promise<WriteAnswer>,
  deps: Pick<LaterDeps, "clock">,
  longestPauseMs = (): number => LONGEST_PAUSE_MS,
): Promise<Written> {
  let pauseMs = FIRST_PAUSE_MS;
  do {
    await deps.clock.sleep(pauseMs);
    try {
      return await write();
    } catch (error) {
      if (error instanceof RecordCorrupt) return "given-up";
      if (!(error instanceof StoreUnavailable)) throw error;
    }
    pauseMs = Math.min(pauseMs * 2, longestPauseMs());
  } while (deps.clock.monotonicMs() + pauseMs < lease.leaseEndsMs);
  return "given-up";
}
