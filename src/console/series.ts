/**
 * From samples of counters to rates and quantiles. Pure: no clock, no page. Knows what a restart of the gateway looks
 * like, and never shows one as a negative rate.
 */
import type { Counters, Histogram, RouteCounters } from "./wire.ts";

export interface Sample {
  readonly atMs: number;
  readonly counters: Counters;
}

/** `undefined`: nothing to say about that moment, which is drawn as a gap. */
export type Points = readonly (number | undefined)[];

/** Outcomes where a record stood in the way of a request. */
const CONFLICTS = ["key-reused", "in-flight", "not-replayable", "conflict", "stale"];

export const totals = {
  executed: (counters: Counters): number => sumOutcomes(counters, ["executed"]),
  replayed: (counters: Counters): number => sumOutcomes(counters, ["replayed"]),
  conflicts: (counters: Counters): number => sumOutcomes(counters, CONFLICTS),
  unknown: (counters: Counters): number =>
    counters.routes.reduce((sum, route) => sum + sumOf(Object.values(route.unknown)), 0),
};

export function conflictsOf({ outcomes }: RouteCounters): number {
  return sumOf(CONFLICTS.map((outcome) => outcomes[outcome] ?? 0));
}

export function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, each) => sum + each, 0);
}

function sumOutcomes({ routes }: Counters, wanted: readonly string[]): number {
  return sumOf(routes.flatMap(({ outcomes }) => wanted.map((each) => outcomes[each] ?? 0)));
}

/** All calls of a histogram. */
export function callsOf({ counts }: Histogram): number {
  return counts.at(-1) ?? 0;
}

/** The samples with one more, at most `most` of them. What lies before a restart is dropped. */
export function withSample(
  samples: readonly Sample[],
  sample: Sample,
  most: number,
): readonly Sample[] {
  const last = samples.at(-1);
  const again = last !== undefined && restarted(last.counters, sample.counters);
  return [...(again ? [] : samples), sample].slice(-most);
}

function restarted(before: Counters, after: Counters): boolean {
  return (
    totals.executed(after) < totals.executed(before) ||
    totals.replayed(after) < totals.replayed(before) ||
    totals.unknown(after) < totals.unknown(before) ||
    after.store.some(({ duration }, at) => {
      const earlier = before.store[at];
      return earlier !== undefined && callsOf(duration) < callsOf(earlier.duration);
    })
  );
}

/** Per second, between each sample and the one before it: one point less than there are samples. */
export function rates(samples: readonly Sample[], count: (counters: Counters) => number): Points {
  return samples.slice(1).map((sample, at) => {
    const before = samples[at];
    if (before === undefined || sample.atMs <= before.atMs) return undefined;
    const grown = count(sample.counters) - count(before.counters);
    return Math.max(0, grown) / ((sample.atMs - before.atMs) / 1000);
  });
}

/** A quantile in milliseconds at each sample but the first, over the calls of the last `window` samples. */
export function quantiles(
  samples: readonly Sample[],
  histogram: (counters: Counters) => Histogram | undefined,
  q: number,
  window: number,
): Points {
  return samples.slice(1).map((sample, at) => {
    const from = samples[Math.max(0, at + 1 - window)];
    const later = histogram(sample.counters);
    const earlier = from && histogram(from.counters);
    if (later === undefined) return undefined;
    return quantileMs(earlier === undefined ? later : difference(later, earlier), q);
  });
}

function difference(later: Histogram, earlier: Histogram): Histogram {
  return {
    boundsSeconds: later.boundsSeconds,
    counts: later.counts.map((count, at) => Math.max(0, count - (earlier.counts[at] ?? 0))),
    sumSeconds: later.sumSeconds - earlier.sumSeconds,
  };
}

/** As Prometheus' `histogram_quantile` estimates it: even within a bucket, and no more than the last bound. */
export function quantileMs(histogram: Histogram, q: number): number | undefined {
  const { boundsSeconds, counts } = histogram;
  const all = callsOf(histogram);
  if (all === 0) return undefined;
  const rank = q * all;
  const at = counts.findIndex((count) => count >= rank);
  const upper = boundsSeconds[at];
  if (upper === undefined) return (boundsSeconds.at(-1) ?? 0) * 1000;
  const lower = at === 0 ? 0 : (boundsSeconds[at - 1] ?? 0);
  const below = at === 0 ? 0 : (counts[at - 1] ?? 0);
  const within = (counts[at] ?? 0) - below;
  return 1000 * (lower + (upper - lower) * ((rank - below) / within));
}

/** The last point that says something. */
export function latest(points: Points): number | undefined {
  return points.findLast((point) => point !== undefined);
}
