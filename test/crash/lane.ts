/**
 * One store that outlives its gateways, an upstream with its file, the wire between, and the clients' book: what one
 * row of the crash matrix does with a store, gateway after gateway, until every key has its final answer.
 */
import { rmSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { call } from "../support/client.ts";
import { tempDir } from "../support/gateway.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { startRedis } from "../support/redis-server.ts";
import type { Teardown } from "../support/teardown.ts";
import { ready, type Lasting } from "../process/store-places.ts";
import { Book, type Heard, type Shot } from "./book.ts";
import { startLedger, type Ledger } from "./ledger.ts";
import { startWire, type Wire } from "./wire.ts";

/** The shortest lease that these time-outs allow: what a killed gateway had in flight is waited for. */
const UPSTREAM_MS = 1500;
const STORE_MS = 750;
export const LEASE_MS = UPSTREAM_MS + 2 * STORE_MS + 1000;

/** What a key's last word may be. */
export const FINAL: ReadonlySet<string> = new Set(["executed", "replayed", "outcome-unknown"]);

/** How often a question is asked again whose answer only time changes. */
const ASK_AGAIN_MS = 50;

export interface Lane {
  readonly store: Lasting;
  readonly book: Book;
  readonly ledger: Ledger;
  readonly wire: Wire;
  /** Starts a gateway on the lane's store and waits until it is ready: what people run, or the program of the tests. */
  start(as?: Program, ...args: readonly string[]): Promise<GatewayProcess>;
}

/** The gateway with failpoints, and the word that begins the paths which reach them. */
export interface Program {
  readonly main: string;
  readonly armed: string;
}

export interface LaneOptions {
  /** Over the settings of every lane. */
  readonly upstream?: Readonly<Record<string, unknown>>;
  readonly store?: Readonly<Record<string, unknown>>;
  readonly defaults?: Readonly<Record<string, unknown>>;
  readonly routes?: readonly Readonly<Record<string, unknown>>[];
}

export async function openLane(
  t: Teardown,
  store: Lasting,
  options: LaneOptions = {},
): Promise<Lane> {
  const book = new Book();
  const ledger = await startLedger(t, book.next);
  const wire = await startWire(t, ledger.port);
  const config = configured(t, {
    upstream: {
      url: wire.url,
      timeout: `${UPSTREAM_MS}ms`,
      connectTimeout: `${UPSTREAM_MS}ms`,
      ...options.upstream,
    },
    store: {
      url: await storeUrl(t, store),
      timeout: `${STORE_MS}ms`,
      lease: `${LEASE_MS}ms`,
      ...options.store,
    },
    defaults: { respond: { release: [503] }, ...options.defaults },
    routes: options.routes ?? [],
    // Thousands of lines that nobody reads.
    log: { level: "info" },
  });
  return {
    store,
    book,
    ledger,
    wire,
    start: async (as, ...args) => {
      const env = as === undefined ? {} : { FAILPOINTS: as.armed };
      return ready(await startGatewayProcess(t, [...config, ...args], env, undefined, as?.main));
    },
  };
}

async function storeUrl(t: Teardown, store: Lasting): Promise<string> {
  if (store === "redis") return (await startRedis(t)).url;
  const dir = tempDir(t);
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return `file:${dir}`;
}

/**
 * After the last fault: waits until nothing is in flight any more, at the latest a second after the lease, and asks for
 * every key once more. Writes down what it finds; the checker objects to what is stuck.
 */
export async function settle(
  { book }: Lane,
  gateway: GatewayProcess,
  shots: readonly Shot[],
): Promise<readonly (readonly [Shot, Heard])[]> {
  const overMs = performance.now();
  book.write({ kind: "faults-over", leaseMs: LEASE_MS, atMs: overMs });
  let left = await inFlight(gateway);
  while (left.length > 0 && performance.now() <= overMs + LEASE_MS + 1000) {
    await pause(ASK_AGAIN_MS);
    left = await inFlight(gateway);
  }
  const atMs = performance.now();
  for (const id of left) {
    const owner = book.records.get(id) ?? { scope: "unknown", key: id };
    book.write({ kind: "found", ...owner, state: "in-flight", owned: false, atMs });
  }
  const told: (readonly [Shot, Heard])[] = [];
  for (const shot of shots) told.push([shot, await book.send(gateway.url, shot)]);
  return told;
}

export function inFlight(gateway: GatewayProcess, begin = "/"): Promise<readonly string[]> {
  return recordsThatAre("in-flight", gateway, begin);
}

/** Their ids, of all or of those whose path begins so. */
export async function recordsThatAre(
  state: "in-flight" | "unknown",
  { admin }: GatewayProcess,
  begin = "/",
): Promise<readonly string[]> {
  const page = await call(`${admin}/v1/records?state=${state}&limit=1000`);
  const { records } = page.json() as {
    records: readonly { readonly id: string; readonly path: string }[];
  };
  return records.filter(({ path }) => path.startsWith(begin)).map(({ id }) => id);
}

/** Rejects where the process is still there after a time in which everything would have happened. */
export async function within<T>(ms: number, what: string, happening: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = pause(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${what} did not happen within ${ms} ms`);
  });
  try {
    return await Promise.race([happening, late]);
  } finally {
    late.catch(() => undefined);
    over.abort();
  }
}
