/**
 * What each route's upstream has been taking lately, for `Retry-After` of in-flight duplicates: an exponentially
 * weighted mean. In memory and per process, because a hint needs no more.
 */
export interface Latency {
  /** `ms`: from sending to the complete answer. */
  observe(route: string, ms: number): void;
  /** 0 where nothing was observed yet. */
  usualMs(route: string): number;
}

const WEIGHT = 0.2;

export function createLatency(): Latency {
  const means = new Map<string, number>();
  return {
    observe(route, ms) {
      const before = means.get(route);
      means.set(route, before === undefined ? ms : before + WEIGHT * (ms - before));
    },
    usualMs: (route) => means.get(route) ?? 0,
  };
}
