/**
 * What the units of this room have in common: gateways that give up early, the last look at every key, and how what
 * was seen becomes violations and counts.
 */
import { check } from "../checker/check.ts";
import type { BatchResult } from "../proof/row.ts";
import { startGateway, type Settings, type TestGateway } from "../support/gateway.ts";
import { until } from "../support/redis-server.ts";
import type { Teardown } from "../support/teardown.ts";
import { tally, type Load } from "./load.ts";

export interface Unit {
  readonly violations: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

/** As short as they may be, and the least lease that is permitted with them. */
const SHORT = { upstream: "1s", store: "500ms", leaseMs: 3200 };

/** Where nothing may go wrong, a busy machine must not be what does. */
const LONG = { upstream: "10s", store: "5s", leaseMs: 21_000 };

/** `wait`: replicas that claims wait for, 0 for none. */
export function settingsOf(
  upstreamUrl: string,
  storeUrl: string,
  wait: number,
  { upstream, store, leaseMs } = SHORT,
): Settings {
  return {
    upstream: { url: upstreamUrl, timeout: upstream, connectTimeout: "1s" },
    store: {
      url: storeUrl,
      timeout: store,
      lease: `${leaseMs}ms`,
      ...(wait > 0 && { replicas: { wait, timeout: "100ms" } }),
    },
    log: { level: "error" },
  };
}

export function patientSettings(upstreamUrl: string, storeUrl: string): Settings {
  return settingsOf(upstreamUrl, storeUrl, 0, LONG);
}

export async function startGateways(
  t: Teardown,
  settings: Settings,
  count = 2,
): Promise<readonly TestGateway[]> {
  return Promise.all(Array.from({ length: count }, () => startGateway(t, settings)));
}

export async function healthy(gateways: readonly TestGateway[]): Promise<void> {
  await until(async () => {
    const problems = await Promise.all(gateways.map(({ store }) => store.problems()));
    return problems.flat().length === 0;
  });
}

/** Every key once more from every gateway: whoever has been told an answer gets the same, and nothing is sent. */
export async function askAgain(load: Load, gateways: readonly string[]): Promise<void> {
  load.events.push({ kind: "faults-over", leaseMs: SHORT.leaseMs, atMs: load.now() });
  for (const url of gateways) {
    await Promise.all([...load.operations.keys()].map((key) => load.ask(key, url)));
  }
}

/** `fromMs` to `toMs`: while it was done. */
export function judged(
  name: string,
  load: Load,
  {
    faultFree,
    fromMs,
    toMs,
  }: { readonly faultFree: boolean; readonly fromMs: number; readonly toMs: number },
): Unit {
  const { keysInFlight, executedTwice, unknown } = tally(load.operations.values(), fromMs, toMs);
  const found = check({ name, faultFree, events: load.events });
  // Claims wait for replicas, completions do not: what a failover loses of them is told as unknown, and not sent again.
  const lost = faultFree ? [] : found.filter(({ rule }) => rule === "completion-lost");
  const violations = found
    .filter((violation) => !lost.includes(violation))
    .map(({ rule, text }) => `${name}: ${rule}: ${text}`);
  // What each situation came to, beside the sum over all.
  const own = { keysInFlight, executedTwice, unknown, toldOfALostCompletion: lost.length };
  const labelled = Object.entries(own).map(([what, count]) => [`${name}: ${what}`, count] as const);
  return {
    violations,
    counts: { ...load.counts, keys: load.operations.size, ...Object.fromEntries(labelled) },
  };
}

/** One unit after the other. */
export async function batch(
  first: number,
  count: number,
  unit: (n: number) => Promise<Unit>,
): Promise<BatchResult> {
  const violations: string[] = [];
  const counts: Record<string, number> = {};
  for (let n = first; n < first + count; n += 1) {
    const found = await unit(n);
    violations.push(...found.violations.map((violation) => `unit ${n}: ${violation}`));
    for (const [name, more] of Object.entries(found.counts)) {
      counts[name] = (counts[name] ?? 0) + more;
    }
  }
  return { done: count, violations, counts };
}
