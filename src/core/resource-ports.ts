/**
 * What the flow needs to guard resources: a small memory beside the records, and locks. Kept by the same stores and
 * by redlock; no implementation lives here.
 */
import type { WriteAnswer } from "./record.ts";

/** One value beside the records, with the revision that the next write must present. */
export interface Cell {
  readonly value: Uint8Array;
  /** 1 for the first write, rising by one with each. */
  readonly revision: number;
}

/**
 * What is remembered of resources: small values by id, changed by compare-and-set. Rejects only with
 * `StoreUnavailable`, `StoreFull` or `RecordCorrupt`, like the transitions.
 */
export interface Cells {
  /** `nowMs` is the store's clock. A cell whose time is over is absent. */
  readCell(id: string): Promise<{ readonly cell: Cell | undefined; readonly nowMs: number }>;
  /**
   * `value` undefined removes the cell. `revision` is the one that was read, 0 where there was none; `lost` when
   * another write came first. `retentionMs` counts from now on the store's clock.
   */
  writeCell(
    id: string,
    value: Uint8Array | undefined,
    revision: number,
    retentionMs: number,
  ): Promise<WriteAnswer>;
}

/** One try for a resource's lock. Settles within a time-out of its own; never rejects. */
export interface Locks {
  tryLock(id: string, leaseMs: number): Promise<LockAnswer>;
  close(): Promise<void>;
}

export type LockAnswer =
  | { readonly kind: "held"; readonly lock: HeldLock }
  /** Somebody else holds it. */
  | { readonly kind: "busy" }
  /** Not enough of the nodes answered to say. Nothing is held. */
  | { readonly kind: "unavailable"; readonly cause: string };

/**
 * A lock makes others wait; it is never the authority. Whoever holds it looks at `endsMs` before each thing that
 * must not happen without it.
 */
export interface HeldLock {
  /** When the lease is over at the earliest, on the monotonic clock of this process. */
  readonly endsMs: number;
  /** In the background, again and again; a lock that cannot be given back ends with its lease. */
  release(): void;
}
