/**
 * The metrics: what is counted, under which names, with which labels, and how it is written out for Prometheus. Labels
 * come from configuration and fixed lists alone, so that no request can add a series. Collecting from workers is `cluster.ts`
 * and `snapshots.ts`.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "./prom-client.ts";
import { CORRUPT_REASONS, type CorruptReason } from "../core/corrupt.ts";
import { STORE_OPERATIONS, type Outcome, type StoreOperation } from "../core/outcome.ts";
import type { ExchangeReport, Observer } from "../core/ports.ts";
import { UNKNOWN_REASONS } from "../core/record.ts";
import { type KeylessMetrics, keylessMetrics } from "./keyless.ts";
import { methodLabel, NO_ROUTE, routeLabels } from "./labels.ts";
import { type ProbeMetrics, probeMetrics } from "./probes.ts";
import { quotaMetrics } from "./quotas.ts";
import { EXCHANGE_BUCKETS_SECONDS, MISNAMED_DEFAULTS, STORE_BUCKETS_SECONDS } from "./scales.ts";
import { type Exposition, expositionOf, type Snapshot, snapshotOf } from "./snapshots.ts";

export interface Metrics extends Omit<Observer, "leftBehind"> {
  /** One call to the store, in seconds. `ok` is false when it rejected. */
  storeCall(operation: StoreOperation, seconds: number, ok: boolean): void;
  /** By which configuration this process serves from now on. What earlier ones called their routes stays known. */
  serves(digest: string, routes: readonly string[]): void;
  /** What was read of the store was refused. */
  damagedRecord(reason: CorruptReason): void;
  exposition(): Promise<Exposition>;
  /** For the primary of a cluster, see `sumSnapshots`. */
  snapshot(): Promise<Snapshot>;
}

export interface MetricsOptions {
  /** Of the gateway; the label of `idempotency_gateway_build_info`. */
  readonly version: string;
  /** The names of all configured routes. */
  readonly routes: readonly string[];
}

/** The metrics of one process, on a registry of their own. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED_DEFAULTS) registry.removeSingleMetric(name);

  const exchanges = exchangeMetrics(registry);
  const outcomes = outcomeMetrics(registry);
  const store = storeMetrics(registry);
  new Gauge({
    name: "idempotency_gateway_build_info",
    help: "Always 1; the labels say which version runs on which Node.js.",
    labelNames: ["version", "node"],
    registers: [registry],
    aggregator: "first",
  }).set({ version: options.version, node: process.version }, 1);

  const configuration = configurationMetric(registry);
  const perRoute = {
    outcomes,
    keyless: keylessMetrics(registry),
    probes: probeMetrics(registry),
  };
  const { keyless, probes } = perRoute;
  const quotas = quotaMetrics(registry);
  const routes = new Set(routeLabels(options.routes));
  const routeLabel = (route: string): string => (routes.has(route) ? route : NO_ROUTE);
  initialise(routes, perRoute, store);

  return {
    began() {
      exchanges.inFlight.inc();
      return () => exchanges.inFlight.dec();
    },
    finished(report) {
      const route = routeLabel(report.route);
      countExchange(exchanges, route, report);
      keyless.count(route, report);
      quotas.count(report);
    },
    lostWrite: (operation) => outcomes.lostWrites.inc({ operation }),
    unknownOutcome: ({ route, reason }) =>
      outcomes.unknown.inc({ route: routeLabel(route), reason }),
    recordedBytes: (bytes) => outcomes.recordedBytes.inc(bytes),
    probed: ({ route, result }) => probes.count(routeLabel(route), result),
    probeDropped: (route) => probes.count(routeLabel(route), "dropped"),
    storeCall(operation, seconds, ok) {
      store.duration.observe({ operation }, seconds);
      if (!ok) store.errors.inc({ operation });
    },
    serves(digest, names) {
      configuration.reset();
      configuration.set({ digest }, 1);
      const fresh = names.filter((name) => !routes.has(name));
      for (const name of fresh) routes.add(name);
      initialiseRoutes(fresh, perRoute);
    },
    damagedRecord: (reason) => store.damaged.inc({ reason }),
    exposition: () => expositionOf(registry),
    snapshot: () => snapshotOf(registry),
  };
}

/** Of exchanges, by how they ended. */
function exchangeMetrics(registry: Registry) {
  const registers = [registry];
  return {
    requests: new Counter({
      name: "idempotency_gateway_requests_total",
      help: "Requests, by how they ended.",
      labelNames: ["route", "method", "outcome"],
      registers,
    }),
    duration: new Histogram({
      name: "idempotency_gateway_request_duration_seconds",
      help: "Time from the request's arrival to the end of its reply.",
      labelNames: ["route", "outcome"],
      buckets: EXCHANGE_BUCKETS_SECONDS,
      registers,
    }),
    upstream: new Histogram({
      name: "idempotency_gateway_upstream_duration_seconds",
      help: "Time that the upstream took for requests that were sent under a claim.",
      labelNames: ["route"],
      buckets: EXCHANGE_BUCKETS_SECONDS,
      registers,
    }),
    inFlight: new Gauge({
      name: "idempotency_gateway_in_flight",
      help: "Exchanges that have begun and not ended.",
      registers,
      aggregator: "sum",
    }),
    shadow: new Counter({
      name: "idempotency_gateway_shadow_total",
      help: "What shadow routes would have answered if they were enforced.",
      labelNames: ["route", "outcome"],
      registers,
    }),
  };
}

/** Of what should be rare: each of these has an alert in `docs/metrics.md`. */
function outcomeMetrics(registry: Registry) {
  const registers = [registry];
  return {
    unknown: new Counter({
      name: "idempotency_gateway_unknown_outcomes_total",
      help: "Requests that may have been executed and whose answer was lost.",
      labelNames: ["route", "reason"],
      registers,
    }),
    lostWrites: new Counter({
      name: "idempotency_gateway_lost_writes_total",
      help: "Writes that the store refused because the record had a new owner or was gone.",
      labelNames: ["operation"],
      registers,
    }),
    recordedBytes: new Counter({
      name: "idempotency_gateway_recorded_bytes_total",
      help: "Bytes of response bodies that were recorded for replay.",
      registers,
    }),
  };
}

/** Of the four transitions; operators' calls are not measured. */
function storeMetrics(registry: Registry) {
  const registers = [registry];
  return {
    duration: new Histogram({
      name: "idempotency_gateway_store_duration_seconds",
      help: "Time that calls to the store took, failed ones included.",
      labelNames: ["operation"],
      buckets: STORE_BUCKETS_SECONDS,
      registers,
    }),
    errors: new Counter({
      name: "idempotency_gateway_store_errors_total",
      help: "Calls to the store that failed.",
      labelNames: ["operation"],
      registers,
    }),
    damaged: new Counter({
      name: "idempotency_gateway_damaged_records_total",
      help: "Reads of the store that were refused because what stands there cannot be trusted.",
      labelNames: ["reason"],
      registers,
    }),
  };
}

/** Summed over the workers: how many of them serve by which. */
function configurationMetric(registry: Registry) {
  return new Gauge({
    name: "idempotency_gateway_config_info",
    help: "Processes that serve by the configuration of this digest.",
    labelNames: ["digest"],
    registers: [registry],
    aggregator: "sum",
  });
}

interface RouteMetrics {
  readonly outcomes: ReturnType<typeof outcomeMetrics>;
  readonly keyless: KeylessMetrics;
  readonly probes: ProbeMetrics;
}

/** A counter that appears with its first event has no `increase()` for it: what alerts watch starts at 0. */
function initialise(
  routes: ReadonlySet<string>,
  perRoute: RouteMetrics,
  store: ReturnType<typeof storeMetrics>,
): void {
  for (const operation of STORE_OPERATIONS) {
    perRoute.outcomes.lostWrites.inc({ operation }, 0);
    store.errors.inc({ operation }, 0);
  }
  for (const reason of CORRUPT_REASONS) store.damaged.inc({ reason }, 0);
  initialiseRoutes(routes, perRoute);
}

function initialiseRoutes(
  routes: Iterable<string>,
  { outcomes, keyless, probes }: RouteMetrics,
): void {
  for (const route of routes) {
    keyless.initialise(route);
    probes.initialise(route);
    for (const reason of UNKNOWN_REASONS) outcomes.unknown.inc({ route, reason }, 0);
  }
}

/** The report's `path`, `recordId`, `status` and `cause` are the log's: as labels they would have no bound. */
function countExchange(
  metrics: ReturnType<typeof exchangeMetrics>,
  route: string,
  report: ExchangeReport,
): void {
  const outcome: Outcome = report.outcome;
  const method = methodLabel(report.method);
  metrics.requests.inc({ route, method, outcome });
  metrics.duration.observe({ route, outcome }, report.durationMs / 1000);
  if (report.upstreamMs !== undefined) {
    metrics.upstream.observe({ route }, report.upstreamMs / 1000);
  }
  if (report.wouldBe !== undefined) metrics.shadow.inc({ route, outcome: report.wouldBe });
}
