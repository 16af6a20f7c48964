/**
 * How many new keys each caller may use: a bucket of keys per scope, filled steadily up to its size. Counts in this process
 * alone. Bounded in memory; what it forgets first is who has asked for nothing for the longest time.
 */
import type { Quota } from "../core/access-ports.ts";

export interface QuotaOptions {
  /** 1 and up. */
  readonly perSecond: number;
  /** How many at once, after a pause. 1 and up. */
  readonly burst: number;
  readonly monotonicMs: () => number;
  /** Callers that are remembered; 100,000 when left out, which takes some twenty megabytes. */
  readonly most?: number;
}

interface Bucket {
  readonly left: number;
  readonly atMs: number;
}

const MOST_SCOPES = 100_000;

export function createQuota(options: QuotaOptions): Quota {
  const { perSecond, burst, monotonicMs, most = MOST_SCOPES } = options;
  /** In the order in which they were last looked at. */
  const buckets = new Map<string, Bucket>();

  function leftOf(scope: string, nowMs: number): number {
    const bucket = buckets.get(scope);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * perSecond);
  }

  function set(scope: string, left: number, atMs: number): void {
    buckets.delete(scope);
    buckets.set(scope, { left, atMs });
    if (buckets.size <= most) return;
    const [oldest] = buckets.keys();
    if (oldest !== undefined) buckets.delete(oldest);
  }

  function add(scope: string, keys: number): void {
    const nowMs = monotonicMs();
    set(scope, Math.min(burst, leftOf(scope, nowMs) + keys), nowMs);
  }

  return {
    take(scope) {
      const nowMs = monotonicMs();
      const left = leftOf(scope, nowMs);
      if (left < 1) return ((1 - left) / perSecond) * 1000;
      set(scope, left - 1, nowMs);
      return undefined;
    },
    giveBack: (scope) => add(scope, 1),
    owe: (scope) => add(scope, -1),
  };
}
