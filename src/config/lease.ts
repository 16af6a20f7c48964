/**
 * How long a claim must at least live: an owner that does all it may, each thing up to its time-out, must not outlive
 * it. One sum, with the words that tell it; whether a lease is long enough is judged in `contradictions.ts`.
 */
import { DEFAULT_POLICY, DEFAULT_REPLICAS, DEFAULTS } from "./defaults.ts";
import type { FileConfig } from "./file-schema.ts";
import { mayProbe, serializeOf } from "./resource.ts";
import { parseDuration } from "./units.ts";

/** What a claim is given beyond the upstream call, and the least that it must be given, in milliseconds. */
const MARGIN_MS = 10_000;
const LEAST_MARGIN_MS = 1000;

interface Lease {
  /** What holds where none is given. */
  readonly defaultMs: number;
  readonly leastMs: number;
  /** The summands of `leastMs` for people: `upstream.timeout (30s) + … + 1s`. */
  readonly sum: string;
  /** Paths of what was looked at. */
  readonly reads: readonly string[];
}

/** NaN in every sum for durations that are none; those are told where they stand. */
export function leaseOf(file: FileConfig): Lease {
  const upstream = { ...DEFAULTS.upstream, ...file.upstream }.timeout;
  const store = { ...DEFAULTS.store, ...file.store }.timeout;
  const replicas = file.store?.replicas && { ...DEFAULT_REPLICAS, ...file.store.replicas }.timeout;
  const resource = slowestResource(file, upstream, store);
  // Claim, wait for replicas, guard the resource, call the upstream, and complete.
  const leastMs =
    ms(upstream) +
    2 * ms(store) +
    (replicas === undefined ? 0 : ms(replicas)) +
    (resource?.ms ?? 0) +
    LEAST_MARGIN_MS;
  return {
    defaultMs: Math.max(ms(upstream) + MARGIN_MS + (resource?.ms ?? 0), leastMs),
    leastMs,
    sum: [
      `upstream.timeout (${upstream})`,
      `2 x store.timeout (${store})`,
      ...(replicas === undefined ? [] : [`store.replicas.timeout (${replicas})`]),
      ...(resource === undefined ? [] : [resource.sum]),
      "1s",
    ].join(" + "),
    reads: [
      "upstream.timeout",
      "store.timeout",
      "store.replicas.timeout",
      ...(resource?.reads ?? []),
    ],
  };
}

interface Part {
  readonly ms: number;
  readonly sum: string;
  readonly reads: readonly string[];
}

/**
 * Between the claim and the call a write waits for its resource, looks at what is remembered of it and, where it must
 * know how it stands, reads it from the upstream.
 */
function slowestResource(file: FileConfig, upstream: string, store: string): Part | undefined {
  const parts = (file.routes ?? []).flatMap(({ resource, waitTimeout }, index): Part[] => {
    if (resource === undefined) return [];
    const wait = waitTimeout ?? file.defaults?.waitTimeout ?? DEFAULT_POLICY.waitTimeout;
    const at = `routes[${index}]`;
    const waits = serializeOf(resource) === "wait";
    const probes = mayProbe(resource);
    const sum = [
      ...(waits ? [`waitTimeout (${wait})`] : []),
      ...(probes ? [`upstream.timeout (${upstream}) to read it`] : []),
      `4 x store.timeout (${store})`,
    ].join(" + ");
    return [
      {
        // One try for the lock; then what is remembered, who is said there to own it, and the reservation.
        ms: (waits ? ms(wait) : 0) + (probes ? ms(upstream) : 0) + 4 * ms(store),
        sum: `for ${at}.resource: ${sum}`,
        reads: [`${at}.resource`, `${at}.waitTimeout`],
      },
    ];
  });
  return parts.toSorted((a, b) => b.ms - a.ms)[0];
}

function ms(duration: string): number {
  return parseDuration(duration) ?? Number.NaN;
}
