/**
 * A whole gateway in this process over real sockets: configuration written the way people write it, on one of the
 * three stores, with its log kept for the test to read. For kills and restarts see `gateway-process.ts`.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { loadConfig } from "../../src/config/load.ts";
import type { GatewayConfig } from "../../src/config/schema.ts";
import type { Store } from "../../src/core/ports.ts";
import { openStore } from "../../src/drivers.ts";
import { createOperating, createServing } from "../../src/gateway.ts";
import { processName } from "../../src/identity.ts";
import { createLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { Replays } from "../../src/observe/replays.ts";
import { startRedis, until, type RedisServer } from "./redis-server.ts";

export interface Teardown {
  teardown(fn: () => unknown): unknown;
}

export type StoreName = "memory" | "embedded" | "redis";
export const STORES: readonly StoreName[] = ["memory", "embedded", "redis"];

/** As in YAML; `listen`, `admin` and `store.url` are filled in. */
export type Settings = Readonly<Record<string, unknown>> & {
  readonly upstream: Readonly<Record<string, unknown>>;
};

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly outcome?: string;
  readonly wouldBe?: string;
  readonly [field: string]: unknown;
}

export interface TestGateway {
  readonly url: string;
  readonly port: number;
  readonly admin: string;
  readonly config: GatewayConfig;
  readonly store: Store;
  /** Every line so far, parsed. */
  readonly log: readonly LogLine[];
  /** The lines of exchanges, once `n` of them are there. */
  exchanges(n: number): Promise<readonly LogLine[]>;
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

/** A directory that goes with the test. */
export function tempDir(t: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), "idempotency-gateway-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

let shared: Promise<RedisServer> | undefined;
let prefixes = 0;

/** One redis-server for all files of this process; `t` is the root test, so that it lives as long. */
export function sharedRedis(t: Teardown): Promise<RedisServer> {
  shared ??= startRedis(t);
  return shared;
}

/** The `store` section for a store of its own. `root` is the file's root test. */
export async function storeSettings(
  root: Teardown,
  name: StoreName,
): Promise<{ readonly url: string; readonly keyPrefix: string }> {
  const keyPrefix = `test${(prefixes += 1)}:`;
  if (name === "memory") return { url: "memory:", keyPrefix };
  if (name === "embedded") return { url: `file:${tempDir(root)}`, keyPrefix };
  return { url: (await sharedRedis(root)).url, keyPrefix };
}

export interface GatewayOptions {
  /** Resolves when it may be asked; default: once its store is ready. */
  readonly ready?: (store: Store) => Promise<void>;
  /** Stands between the gateway and its store. */
  readonly between?: (store: Store) => Store;
}

/** Starts a gateway and stops it with the test. */
export async function startGateway(
  t: Teardown,
  settings: Settings,
  options: GatewayOptions = {},
): Promise<TestGateway> {
  const file = join(tempDir(t), "gateway.yaml");
  const local = { host: "127.0.0.1", port: 0 };
  const { listen, admin, ...rest } = settings;
  writeFileSync(
    file,
    stringify({
      ...rest,
      listen: { ...local, ...(listen as object | undefined) },
      admin: { ...local, ...(admin as object | undefined) },
    }),
  );
  const loaded = loadConfig(["--config", file], {});
  if (loaded.kind !== "run") {
    throw new Error(loaded.kind === "invalid" ? loaded.problems.join("\n") : loaded.kind);
  }
  return run(t, loaded.config, options);
}

/** A gateway serves before its Redis is connected, and answers 503 until then. */
const storeReady = (store: Store): Promise<void> =>
  until(async () => (await store.problems()).length === 0);

async function run(
  t: Teardown,
  config: GatewayConfig,
  { ready = storeReady, between = (store) => store }: GatewayOptions,
): Promise<TestGateway> {
  const log: LogLine[] = [];
  const waiting = new Set<() => void>();
  const destination = {
    write(line: string) {
      log.push(JSON.parse(line) as LogLine);
      for (const wake of waiting) wake();
    },
  };
  const logger = createLog({ level: "debug", destination });
  const metrics = createMetrics({
    version: "test",
    routes: config.routes.map((route) => route.policy.route),
  });
  const store = between(await openStore(config.store));
  const replays = new Replays(processName(), Date.now);
  const serving = await createServing(config, { store, metrics, replays, log: logger });
  const operating = createOperating(config, {
    snapshot: () => metrics.snapshot(),
    store,
    log: logger,
    exposition: () => metrics.exposition(),
    unready: () => [],
    replaysOf: async (id) => ({ told: replays.of(id), silent: 0 }),
  });
  await ready(store);
  const at = await serving.start();
  const adminAt = await operating.start();
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      await serving.stop();
      await operating.stop();
      await store.close();
    })();
    return stopped;
  };
  t.teardown(stop);

  const exchanges = (): readonly LogLine[] => log.filter((line) => line.msg === "exchange");
  return {
    url: `http://127.0.0.1:${at.port}`,
    port: at.port,
    admin: `http://127.0.0.1:${adminAt.port}`,
    config,
    store,
    log,
    exchanges: (n) =>
      new Promise((resolve) => {
        const check = (): void => {
          const lines = exchanges();
          if (lines.length < n) return;
          waiting.delete(check);
          resolve(lines);
        };
        waiting.add(check);
        check();
      }),
    metrics: async () => (await metrics.exposition()).body,
    stop,
  };
}
