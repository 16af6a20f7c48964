/**
 * The metrics as the console draws them: counters and histograms by route and by store operation, out of a snapshot.
 * Keeps no history and computes no rates: whoever asks twice has both.
 */
import type { Snapshot } from "./snapshots.ts";

/** Counts by the words of one label. */
type Counts = Readonly<Record<string, number>>;

/** `counts[i]`: how many took at most `boundsSeconds[i]`. The last count is of all. */
interface Histogram {
  readonly boundsSeconds: readonly number[];
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

interface RouteCounters {
  readonly route: string;
  /** Exchanges, by how they ended. */
  readonly outcomes: Counts;
  /** What a shadow route would have answered. */
  readonly wouldBe: Counts;
  /** Outcomes that became unknown, by reason. */
  readonly unknown: Counts;
  readonly duration: Histogram;
}

/** Since the gateway's start. */
export interface Counters {
  readonly startedAtSeconds: number;
  readonly inFlight: number;
  readonly recordedBytes: number;
  readonly lostWrites: Counts;
  readonly routes: readonly RouteCounters[];
  /** Over all routes: how long what was executed and what was replayed took, and the upstream's part. */
  readonly latency: {
    readonly executed: Histogram;
    readonly replayed: Histogram;
    readonly upstream: Histogram;
  };
  readonly store: readonly {
    readonly operation: string;
    readonly errors: number;
    readonly duration: Histogram;
  }[];
  /** Only where there are several. */
  readonly workers?: Counts;
}

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Partial<Record<string, string | number>>>;
  readonly metricName?: string;
}

export function countersOf(snapshot: Snapshot): Counters {
  const metrics = new Map(snapshot.map(({ name, values }) => [name, values as readonly Sample[]]));
  const samples = (name: string): readonly Sample[] =>
    metrics.get(name) ?? metrics.get(`idempotency_gateway_${name}`) ?? [];
  const requests = samples("requests_total");
  const durations = samples("request_duration_seconds");
  const calls = samples("store_duration_seconds");
  const unknown = samples("unknown_outcomes_total");
  const wouldBe = samples("shadow_total");
  const workers = samples("workers");
  return {
    startedAtSeconds: total(samples("process_start_time_seconds")),
    inFlight: total(samples("in_flight")),
    recordedBytes: total(samples("recorded_bytes_total")),
    lostWrites: by("operation", samples("lost_writes_total")),
    routes: wordsOf("route", [...unknown, ...requests]).map((route) => ({
      route,
      outcomes: by("outcome", only({ route }, requests)),
      wouldBe: by("outcome", only({ route }, wouldBe)),
      unknown: by("reason", only({ route }, unknown)),
      duration: histogram(only({ route }, durations)),
    })),
    latency: {
      executed: histogram(only({ outcome: "executed" }, durations)),
      replayed: histogram(only({ outcome: "replayed" }, durations)),
      upstream: histogram(samples("upstream_duration_seconds")),
    },
    store: wordsOf("operation", samples("store_errors_total")).map((operation) => ({
      operation,
      errors: total(only({ operation }, samples("store_errors_total"))),
      duration: histogram(only({ operation }, calls)),
    })),
    ...(workers.length > 0 && { workers: by("state", workers) }),
  };
}

function only(labels: Readonly<Record<string, string>>, samples: readonly Sample[]) {
  const wanted = Object.entries(labels);
  return samples.filter((sample) => wanted.every(([name, word]) => sample.labels[name] === word));
}

function wordsOf(label: string, samples: readonly Sample[]): readonly string[] {
  return [...new Set(samples.map(({ labels }) => String(labels[label])))];
}

function total(samples: readonly Sample[]): number {
  return samples.reduce((sum, { value }) => sum + value, 0);
}

function by(label: string, samples: readonly Sample[]): Counts {
  const counts = new Map<string, number>();
  for (const { labels, value } of samples) {
    const word = String(labels[label]);
    counts.set(word, (counts.get(word) ?? 0) + value);
  }
  return Object.fromEntries(counts);
}

/** Several histograms of one metric, which have the same bounds, as one. */
function histogram(samples: readonly Sample[]): Histogram {
  const buckets = new Map<number, number>();
  let sumSeconds = 0;
  for (const { metricName = "", labels, value } of samples) {
    if (metricName.endsWith("_sum")) sumSeconds += value;
    if (!metricName.endsWith("_bucket")) continue;
    const bound = labels["le"] === "+Inf" ? Infinity : Number(labels["le"]);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  const sorted = [...buckets].sort(([a], [b]) => a - b);
  return {
    boundsSeconds: sorted.map(([bound]) => bound).filter((bound) => bound !== Infinity),
    counts: sorted.map(([, count]) => count),
    sumSeconds,
  };
}
