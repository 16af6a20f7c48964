/**
 * Whether a series grows: medians of equal windows, and the slope through them by least squares. Medians, because a garbage
 * collector draws saws and a busy machine spikes. Pure.
 */

export interface Sample {
  readonly atMs: number;
  readonly value: number;
}

export interface Trend {
  /** Of the medians, per hour. */
  readonly slopePerHour: number;
  /** How much the line has risen from the first window to the last. */
  readonly rise: number;
}

const WINDOWS = 12;
const HOUR_MS = 3_600_000;

export function trendOf(samples: readonly Sample[]): Trend {
  if (samples.length < 2 * WINDOWS) throw new Error(`${samples.length} samples are too few`);
  const size = samples.length / WINDOWS;
  const points = Array.from({ length: WINDOWS }, (_, n) => {
    const window = samples.slice(Math.floor(n * size), Math.floor((n + 1) * size));
    return {
      at: medianOf(window.map(({ atMs }) => atMs)),
      value: medianOf(window.map(({ value }) => value)),
    };
  });
  const at = meanOf(points.map((point) => point.at));
  const value = meanOf(points.map((point) => point.value));
  const spread = sum(points.map((point) => (point.at - at) ** 2));
  const slope = sum(points.map((point) => (point.at - at) * (point.value - value))) / spread;
  const [first, last] = [points[0], points.at(-1)];
  return {
    slopePerHour: slope * HOUR_MS,
    rise: slope * ((last?.at ?? 0) - (first?.at ?? 0)),
  };
}

/**
 * What is wrong with it, if anything: `perHour` is what it may rise in an hour, `wobble` what it may rise at all, so that
 * a run too short to tell a leak from settling objects to no less than that.
 */
export function growth(
  what: string,
  samples: readonly Sample[],
  limit: { readonly perHour: number; readonly wobble: number },
): string | undefined {
  const { slopePerHour, rise } = trendOf(samples);
  if (slopePerHour <= limit.perHour || rise <= limit.wobble) return undefined;
  return `${what} grows by ${slopePerHour.toFixed(2)} an hour, ${rise.toFixed(2)} in all`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function meanOf(values: readonly number[]): number {
  return sum(values) / values.length;
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
