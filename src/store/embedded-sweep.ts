/**
 * Deletes from the embedded store what has expired: a bounded number in one transaction, once a second. Nobody relies
 * on it to judge time; what is expired reads as absent before it is swept.
 */
export type ExpiryKey = [expiresAtMs: number, id: string];

/** Values by id, and beside them one entry per value in the order of expiry, changed in the same transaction. */
export interface ExpiringTables {
  readonly values: {
    getBinary(id: string): Buffer | undefined;
    putSync(id: string, value: Buffer): unknown;
    removeSync(id: string): unknown;
  };
  readonly expiry: {
    putSync(key: ExpiryKey, value: Buffer): unknown;
    removeSync(key: ExpiryKey): unknown;
    getKeys(range: { readonly end: ExpiryKey; readonly limit: number }): Iterable<ExpiryKey>;
  };
}

const SWEEP_EVERY_MS = 1000;
/** Values deleted in one transaction, so that the sweeper never holds the writers up for long. */
export const SWEEP_BATCH = 500;

/**
 * Calls `sweep` until it finds less than a batch, again every second. Best effort: what it cannot delete now it meets
 * again, and expired records are judged by their own time, swept or not. Returns what stops it.
 */
export function startSweeper(sweep: () => Promise<number>): () => void {
  const stopped = new AbortController();
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    void sweepAll();
  }, SWEEP_EVERY_MS).unref();

  async function sweepAll(): Promise<void> {
    try {
      while ((await sweep()) === SWEEP_BATCH && !stopped.signal.aborted);
    } catch {
      // Claims meet the same trouble, and they report it.
    } finally {
      busy = false;
    }
  }

  return () => {
    stopped.abort();
    clearInterval(timer);
  };
}

/** Deletes the first values whose time is over, at most `limit`; returns how many. */
export function sweepBatch(
  { values, expiry }: ExpiringTables,
  nowMs: number,
  limit: number,
): number {
  // `end` is exclusive, and an array sorts before the longer ones that it begins.
  const due = [...expiry.getKeys({ end: [nowMs + 1] as unknown as ExpiryKey, limit })];
  for (const key of due) {
    values.removeSync(key[1]);
    expiry.removeSync(key);
  }
  return due.length;
}
