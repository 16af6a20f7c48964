/**
 * The metrics of a registry written out, and those of several processes as one. What is counted, and what it means, is
 * `metrics.ts`.
 */
import { AggregatorRegistry, Gauge, type Registry } from "./prom-client.ts";
import { AGGREGATORS } from "./scales.ts";

/** Text format 0.0.4 of Prometheus, and the `Content-Type` to send it with. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/** All metrics of one process as plain data, fit for a message between processes. */
export type Snapshot = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** Both forms of what several processes have counted. */
interface Summed {
  exposition(): Promise<Exposition>;
  snapshot(): Promise<Snapshot>;
}

export async function expositionOf(registry: Registry): Promise<Exposition> {
  return { contentType: registry.contentType, body: await registry.metrics() };
}

/** Carries each metric's aggregator with it, so that the primary needs no list of names. */
export async function snapshotOf(registry: Registry): Promise<Snapshot> {
  const metrics = await registry.getMetricsAsJSON();
  return metrics.map((metric) => {
    const aggregator = AGGREGATORS.get(metric.name);
    return aggregator === undefined ? metric : { ...metric, aggregator };
  });
}

/** How many workers a scrape found, by whether they answered in time. */
export interface WorkerCount {
  readonly answering: number;
  readonly silent: number;
}

/** The metrics of a whole cluster: the snapshots of its workers, each metric summed as its aggregator says. */
export function sumSnapshots(snapshots: readonly Snapshot[], workers: WorkerCount): Summed {
  const registry = AggregatorRegistry.aggregate<typeof Registry.PROMETHEUS_CONTENT_TYPE>([
    ...snapshots,
  ]);
  const gauge = new Gauge({
    name: "idempotency_gateway_workers",
    help: "Worker processes, by whether they answered the last scrape in time.",
    labelNames: ["state"],
    registers: [registry],
  });
  gauge.set({ state: "answering" }, workers.answering);
  gauge.set({ state: "silent" }, workers.silent);
  return { exposition: () => expositionOf(registry), snapshot: () => snapshotOf(registry) };
}
