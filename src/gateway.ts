/**
 * The composition root: configuration in, something that starts and stops out. Constructs and connects; every decision
 * lies in the rooms. Two halves, because with several workers they live in different processes: `createServing` takes
 * the traffic, `createOperating` is the operators' port.
 */
import { isDeepStrictEqual } from "node:util";
import type { Configuring } from "./admin/configuration.ts";
import { type AdminOptions, createAdmin } from "./admin/server.ts";
import { clock, monotonicMs, pause } from "./clock.ts";
import { digestOf } from "./config/print.ts";
import type { GatewayConfig } from "./config/schema.ts";
import type { Policy } from "./core/policy.ts";
import type { UnknownOutcome } from "./core/outcome.ts";
import type { Observer, Store } from "./core/ports.ts";
import type { Locks } from "./core/resource-ports.ts";
import { isSafe, readsFinder, routeFinder } from "./core/route.ts";
import { openAccess, openLocks, openTracing, rememberingIn } from "./drivers.ts";
import type { FlowDeps } from "./flow/deps.ts";
import { exchange } from "./flow/exchange.ts";
import { createLatency } from "./flow/latency.ts";
import { createLeftBehind } from "./flow/left-behind.ts";
import { createProber, type Prober } from "./flow/prober.ts";
import { createDuplicates } from "./flow/sights.ts";
import { tracedExchange } from "./flow/traced.ts";
import { readJson } from "./http/json.ts";
import { createListener } from "./http/listener.ts";
import { newScreen, type Screen } from "./http/screen.ts";
import { createTunnel, type Tunnel } from "./http/tunnel.ts";
import { createUpstream, type UpstreamPool } from "./http/upstream.ts";
import { createHandMetrics } from "./observe/by-hand.ts";
import { newToken, processName } from "./identity.ts";
import type { Log } from "./observe/log.ts";
import type { Metrics } from "./observe/metrics.ts";
import type { Replays } from "./observe/replays.ts";
import type { Exposition } from "./observe/snapshots.ts";
import { observing } from "./observe/observer.ts";
import { withReadiness } from "./observe/readiness.ts";
import { observeStore } from "./observe/store.ts";
import { consoleParts } from "./operators.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One half of the gateway. `start` rejects where the port or the store's directory cannot be had. */
export interface Half {
  start(): Promise<Address>;
  /** Ends gracefully: what is in flight finishes and is recorded, bounded by the upstream's deadline. */
  stop(): Promise<void>;
}

/** What the store's clock and this process's may drift apart between two calls. */
const CLOCK_SLACK_MS = 50;

/** The half that takes the traffic; what it serves by can change while it runs. */
export interface Serving extends Half {
  /**
   * Builds what `config` needs, and changes nothing until what is returned is called: requests that begin after that
   * are served by it, the others keep to what they began with. Only for what `changeOf` lets change.
   */
  prepare(config: GatewayConfig): () => void;
  /** Looks once, when every earlier lease is over, for what gateways that have ended left behind. Ends with the stop. */
  lookBack(): void;
}

export interface ServingParts {
  readonly store: Store;
  readonly metrics: Metrics;
  readonly log: Omit<Log, "setLevel">;
  /** Who else is told of unknown outcomes, besides the metrics. */
  readonly told?: ((outcome: UnknownOutcome) => void) | undefined;
  /** Who counts replays, besides the metrics. */
  readonly replays?: Pick<Replays, "replayed">;
}

/** What a request is served by from its beginning to its end. */
interface Terms {
  readonly config: GatewayConfig;
  readonly screen: Screen;
  readonly deps: FlowDeps;
  readonly upstream: UpstreamPool;
  readonly tunnel: Tunnel;
}

/** What all terms share, whatever they say. */
type Lasting = Omit<
  FlowDeps,
  "findRoute" | "findReads" | "keyLocks" | "liveRecords" | "upstream" | "limits" | "locks"
> & { readonly locks: Locks };

export async function createServing(config: GatewayConfig, parts: ServingParts): Promise<Serving> {
  const { store, metrics, log } = parts;
  const running = new Set<Promise<void>>();
  const tracing = await openTracing(config.tracing, log);
  const access = await openAccess(config, monotonicMs);
  const locks = await openLocks(config, { cells: store, newToken, clock });
  const background = (work: Promise<void>): void => {
    const tracked = work
      .catch((error: unknown) => log.failure("background work failed", error))
      .finally(() => running.delete(tracked));
    running.add(tracked);
  };
  const leftBehind = createLeftBehind({
    store,
    observer: { unknownOutcome: (outcome) => observer.unknownOutcome(outcome) },
    clock,
    background,
  });
  const observer = observing(metrics, log, (record) => leftBehind.met(record), parts);
  const stopping = new AbortController();
  const measured = observeStore(await rememberingIn(store, config.store), metrics);
  const lasting: Lasting = {
    name: processName(),
    locks,
    readJson,
    store: measured,
    clock,
    newToken,
    observer,
    latency: createLatency(),
    duplicates: createDuplicates(newToken()),
    prober: proberBy(() => terms, { store: measured, observer, log }),
    access: access?.ports,
    background,
  };
  let terms = termsOf(config, lasting, undefined);
  /** Calls that began under earlier terms may take as long as those said. */
  let longestCallMs = 0;
  const adopt = (next: Terms): void => {
    if (next.upstream !== terms.upstream) terms.upstream.retire();
    terms = next;
    longestCallMs = Math.max(longestCallMs, next.config.upstream.timeoutMs);
    metrics.serves(digestOf(next.config), routeNames(next.config));
  };
  adopt(terms);
  const listener = createListener(
    {
      ...config.listen,
      terms: () => terms,
    },
    tracing === undefined
      ? (request, client) => exchange(request, client, terms.deps)
      : (request, client) => tracedExchange(request, client, terms.deps, tracing),
    observer,
  );
  return {
    start: () => listener.start(),
    prepare(next) {
      const prepared = termsOf(next, lasting, terms);
      return () => adopt(prepared);
    },
    lookBack: () =>
      background(
        leftBehind.lookThrough(terms.config.store.leaseMs + CLOCK_SLACK_MS, stopping.signal),
      ),
    async stop() {
      stopping.abort();
      await listener.stop(longestCallMs);
      // Let go of, or the timer alone would keep a process alive that has nothing left to do.
      const settled = new AbortController();
      await Promise.race([Promise.all(running), pause(longestCallMs, true, settled.signal)]);
      settled.abort();
      lasting.prober.close();
      await locks.close();
      terms.tunnel.close();
      await terms.upstream.close();
      await access?.close();
      await tracing?.close();
    },
  };
}

/** Asks by the terms that hold when it asks, whichever its outcome became unknown under. */
function proberBy(
  terms: () => Terms,
  { store, observer, log }: Pick<ServingParts, "store" | "log"> & { readonly observer: Observer },
): Prober {
  return createProber({
    terms: () => terms().deps,
    store,
    clock,
    observer,
    newToken,
    chance: Math.random,
    failed: (error) => log.failure("a probe failed", error),
  });
}

/** Connections to an upstream that stays are kept: a reload must not cost their handshakes. */
function termsOf(config: GatewayConfig, lasting: Lasting, before: Terms | undefined): Terms {
  const { upstream: up, store } = config;
  const policies = [config.defaults, ...config.routes.map((route) => route.policy)];
  const same = before !== undefined && isDeepStrictEqual(before.config.upstream, up);
  const upstream = same ? before.upstream : createUpstream(up);
  const tunnel = same
    ? before.tunnel
    : createTunnel({
        ...up,
        // `upstream.connections` bounds guarded calls. What passes through is bounded by `listen.maxConnections` alone:
        // event streams may fill any bound of connections, and then everybody else would wait.
        connections: Infinity,
        idleTimeoutMs: config.listen.idleTimeoutMs,
      });
  const deps: FlowDeps = {
    ...lasting,
    findRoute: routeFinder(config.routes, config.defaults),
    findReads: readsFinder(config.routes),
    keyLocks: config.locks.nodes.length > 0 ? lasting.locks : undefined,
    liveRecords: config.quotas.liveRecords,
    upstream,
    limits: {
      leaseMs: store.leaseMs,
      deadlineMs: up.timeoutMs,
      // A claim that failed at once has a time-out, and what is known of the server's clock can be wrong by another.
      lateClaimMs: 2 * store.timeoutMs + CLOCK_SLACK_MS,
      // A look at the resource and the write, and what is read and written of it in the store around them.
      lockLeaseMs: 2 * up.timeoutMs + 4 * store.timeoutMs + 1000,
      resolvedMs: config.defaults.retention.completedMs,
    },
  };
  const screen = newScreen({
    keyHeaders: headerKeys(policies),
    credentialHeaders: [...new Set(policies.flatMap((policy) => policy.scopeHeaders))],
    guardedReads: new Set(config.routes.flatMap((route) => route.methods).filter(isSafe)),
  });
  return { config, screen, deps, upstream, tunnel };
}

export function routeNames({ routes }: GatewayConfig): readonly string[] {
  return routes.map(({ policy }) => policy.route);
}

/** Lower-case names of all headers that some route takes its key from; the standard name always is one. */
function headerKeys(policies: readonly Policy[]): readonly string[] {
  const names = policies.map(({ key: { source } }) =>
    source.from === "header" ? source.name.toLowerCase() : "idempotency-key",
  );
  return [...new Set(["idempotency-key", ...names])];
}

/** The operators' half. */
export interface Operating extends Half {
  /** From here on; for what `changeOf` lets change. */
  adopt(config: GatewayConfig): void;
}

export function createOperating(
  config: GatewayConfig,
  parts: {
    readonly store: Store;
    readonly snapshot: Metrics["snapshot"];
    readonly log: Log;
    readonly exposition: () => Promise<Exposition>;
    /** Why no traffic should come here now; empty when ready. */
    readonly unready: () => readonly string[];
    readonly replaysOf: AdminOptions["replaysOf"];
    /** Left out: what runs is what was started. */
    readonly configuring?: Configuring;
  },
): Operating {
  const { store, log, exposition, unready, replaysOf, configuring } = parts;
  let current = config;
  const byHand = createHandMetrics();
  const admin = createAdmin({
    ...config.admin,
    ...consoleParts(() => current, parts),
    desk: store,
    newToken,
    replaysOf,
    problems: async () => [...unready(), ...(await store.problems())],
    async exposition(ready) {
      const [told, isReady] = await Promise.all([exposition(), ready()]);
      return withReadiness(await byHand.behind(told), isReady);
    },
    audit(change) {
      log.event("info", "record changed by an operator", { ...change });
      if (change.action === "resolve" && change.answer === "done") byHand.resolved(change.outcome);
    },
    failure: (message, error) => log.failure(message, error),
    executedRetentionMs: config.defaults.retention.completedMs,
    ...(configuring !== undefined && { configuring }),
  });
  return {
    start: () => admin.start(),
    stop: () => admin.stop(),
    adopt(next) {
      current = next;
      const { token } = next.admin;
      admin.adopt({ token, executedRetentionMs: next.defaults.retention.completedMs });
    },
  };
}
