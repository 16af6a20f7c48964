/**
 * What is known here of the server's clock, from what its answers say. It never says less than the server's clock
 * shows (unless that is set back), and not much more: at most the time that a call takes.
 */
export interface ServerClock {
  /** An answer to a call that was made at `askedAtMs` (of this process) says that it is `serverMs` there. */
  heard(askedAtMs: number, serverMs: number): void;
  /** The server's time for `ms` of this process; `undefined` where nothing was heard lately. */
  at(ms: number): number | undefined;
}

/** How long what was heard counts: clocks drift apart, and servers are replaced. */
const HEARD_FOR_MS = 30_000;

export function createServerClock(): ServerClock {
  let sinceMs = Number.NEGATIVE_INFINITY;
  // Of several servers (Cluster) the clock that is ahead counts, so that none refuses what is in time.
  let aheadMs: number | undefined;
  let lastAheadMs: number | undefined;

  function turn(ms: number): void {
    if (ms - sinceMs < HEARD_FOR_MS) return;
    lastAheadMs = ms - sinceMs < 2 * HEARD_FOR_MS ? aheadMs : undefined;
    aheadMs = undefined;
    sinceMs = ms;
  }

  return {
    heard(askedAtMs, serverMs) {
      turn(askedAtMs);
      aheadMs = Math.max(aheadMs ?? Number.NEGATIVE_INFINITY, serverMs - askedAtMs);
    },
    at(ms) {
      turn(ms);
      const known = [aheadMs, lastAheadMs].filter((ahead) => ahead !== undefined);
      return known.length === 0 ? undefined : ms + Math.max(...known);
    },
  };
}
