/**
 * Which store, which locks, which checks of callers, which traces and which webhook the configuration asks for. Only those are loaded, each with its
 * package: without Redis a process starts without ioredis and redlock, with it without lmdb, a tenth of a second of CPU
 * sooner.
 */
import { createSecretKey } from "node:crypto";
import { hostname } from "node:os";
import type { GatewayConfig, StoreConfig, TracingConfig } from "./config/schema.ts";
import { packageVersion } from "./config/version.ts";
import { waitingClock } from "./clock.ts";
import { keyLoader, type AskServer } from "./access/load-keys.ts";
import { createQuota } from "./access/quota.ts";
import { createRights } from "./access/rights.ts";
import type { Access, Callers } from "./core/access-ports.ts";
import type { Clock, NewToken, Store } from "./core/ports.ts";
import type { UnknownOutcome } from "./core/outcome.ts";
import type { Cells, Locks } from "./core/resource-ports.ts";
import { createAsker } from "./http/ask.ts";
import type { Log } from "./observe/log.ts";
import type { Exposition } from "./observe/snapshots.ts";
import type { Tracing } from "./observe/tracing.ts";
import type { SettleBus } from "./store/embedded.ts";
import type { Keyring } from "./store/encryption.ts";
import { parseRedisUrl } from "./store/redis-url.ts";

/**
 * What is wrong with the store's URL beyond what the configuration room can see, for instance a CA file that cannot be
 * read; `undefined` where nothing is. Connects to nothing and names no secret.
 */
export function storeFault({ url }: StoreConfig): string | undefined {
  if (!isRedis(url)) return undefined;
  try {
    parseRedisUrl(url);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : "cannot be used";
  }
}

/** What the workers of one host share, where the store does not do it by itself. Only the embedded one needs any. */
export interface Shared {
  /** Tells the other workers which records have settled. */
  readonly bus?: SettleBus;
  /** See `storeIdentity`. */
  readonly identity?: string | undefined;
}

/** @throws where the directory of the embedded store cannot be had, or is not the one that was shared */
export async function openStore(config: StoreConfig, shared: Shared = {}): Promise<Store> {
  const { url, timeoutMs, keyPrefix, replicas } = config;
  const keyring = keyringOf(config);
  if (url.startsWith("memory:")) {
    const { createMemoryStore } = await import("./store/memory.ts");
    return createMemoryStore({ now: Date.now });
  }
  if (url.startsWith("file:")) {
    const { createEmbeddedStore } = await import("./store/embedded.ts");
    const dir = url.slice("file:".length);
    const { bus, identity } = shared;
    return createEmbeddedStore({
      dir,
      timeoutMs,
      ...(bus !== undefined && { bus }),
      ...(identity !== undefined && { identity }),
      ...(keyring !== undefined && { keyring }),
    });
  }
  const { createRedisStore } = await import("./store/redis.ts");
  return createRedisStore({
    url,
    timeoutMs,
    keyPrefix,
    ...(replicas !== undefined && { replicas }),
    ...(keyring !== undefined && { keyring }),
  });
}

function keyringOf({ encryption }: StoreConfig): Keyring | undefined {
  return (
    encryption && {
      plain: encryption.plain,
      keys: encryption.keys.map(({ id, secret }) => ({
        id,
        secret: createSecretKey(secret, "hex"),
      })),
    }
  );
}

/** `store`, with what it remembers of resources encrypted where records are. The locks' cells hold no secret. */
export async function rememberingIn(store: Store, config: StoreConfig): Promise<Store> {
  const keyring = keyringOf(config);
  if (keyring === undefined) return store;
  const { encryptedCells } = await import("./store/encrypted-cells.ts");
  return { ...store, ...encryptedCells(store, keyring) };
}

/**
 * The resources' locks: over `locks.nodes` where there are any, else over the store's own Redis, else as cells of the
 * embedded store, which all workers of the host share.
 */
export async function openLocks(
  { store, locks: { nodes } }: GatewayConfig,
  ports: { readonly cells: Cells; readonly newToken: NewToken; readonly clock: Clock },
): Promise<Locks> {
  const urls = nodes.length > 0 ? nodes : isRedis(store.url) ? [store.url] : [];
  if (urls.length === 0) {
    const { createEmbeddedLocks } = await import("./lock/embedded.ts");
    return createEmbeddedLocks(ports);
  }
  const [{ createRedlockLocks }, { connectRedisNodes }] = await Promise.all([
    import("./lock/redlock.ts"),
    import("./store/redis-nodes.ts"),
  ]);
  return createRedlockLocks({
    connectNodes: (callMs) => connectRedisNodes(urls, callMs),
    keyPrefix: store.keyPrefix,
    timeoutMs: LOCK_ROUNDS * store.timeoutMs,
    clock: ports.clock,
  });
}

/** Traces, where the configuration names a collector. OpenTelemetry is loaded only then. */
export async function openTracing(
  config: TracingConfig,
  log: Pick<Log, "event">,
): Promise<Tracing | undefined> {
  if (config.endpoint === "") return undefined;
  const { createTracing } = await import("./observe/tracing.ts");
  return createTracing({ ...config, version: packageVersion(), log });
}

/** Who calls the webhook, and what is counted of that. */
export interface Notifier {
  tell(outcome: UnknownOutcome): void;
  /** By whose admin port people know this gateway. */
  listens(adminPort: number): void;
  /** `exposition` with the webhook's metrics behind its own. */
  behind(exposition: Exposition): Promise<Exposition>;
  /** Bounded; never rejects. */
  close(): Promise<void>;
}

/** The answer's body says nothing that is looked at. */
const WEBHOOK_ANSWER_BYTES = 16 * 1024;

/** `undefined` where the configuration names no webhook; nothing of it is loaded then. */
export async function openNotifier(
  { notify: { webhook: config } }: GatewayConfig,
  log: Pick<Log, "event">,
): Promise<Notifier | undefined> {
  if (config === undefined) return undefined;
  const [{ Webhook }, { createWebhookMetrics }] = await Promise.all([
    import("./notify/webhook.ts"),
    import("./observe/webhook.ts"),
  ]);
  const counts = createWebhookMetrics();
  const asker = createAsker();
  let instance = hostname();
  const webhook = new Webhook({
    ...config,
    secrets: config.secrets.map(({ secret }) => secret),
    instance: () => instance,
    post: (headers, body, timeoutMs) => {
      const limits = { timeoutMs, bytes: WEBHOOK_ANSWER_BYTES };
      return asker.post(config.url, headers, Buffer.from(body), limits);
    },
    clock: waitingClock,
    wallMs: Date.now,
    random: Math.random,
    counts,
    log: (level, message, fields) => log.event(level, message, fields),
  });
  return {
    tell: (outcome) => webhook.tell(outcome),
    listens: (adminPort) => void (instance = `${hostname()}:${adminPort}`),
    behind: (exposition) => counts.behind(exposition),
    async close() {
      await webhook.close();
      await asker.close();
    },
  };
}

/** What asks about callers, where something wants it asked; `undefined` where nothing does. jose is loaded for tokens only. */
export async function openAccess(
  { quotas: { newKeys }, defaults, routes }: GatewayConfig,
  monotonicMs: () => number,
): Promise<{ readonly ports: Access; close(): Promise<void> } | undefined> {
  const policies = [defaults, ...routes.map(({ policy }) => policy)];
  const byToken = policies.some(({ scopeJwt }) => scopeJwt !== undefined);
  const asks = policies.some(({ replay }) => replay.authorize !== undefined);
  if (!byToken && !asks && newKeys === undefined) return undefined;
  const asker = createAsker();
  const ask: AskServer = (...question) => asker.ask(...question);
  return {
    ports: {
      callers: byToken ? await openCallers(ask, monotonicMs) : undefined,
      rights: asks ? createRights(ask) : undefined,
      quota: newKeys && createQuota({ ...newKeys, monotonicMs }),
    },
    close: () => asker.close(),
  };
}

async function openCallers(ask: AskServer, monotonicMs: () => number): Promise<Callers> {
  const { createCallers } = await import("./access/jwt.ts");
  return createCallers({ loadKeys: keyLoader(ask), monotonicMs });
}

/** A lock that could not be had takes two calls to each node: one to ask and one to give back. */
const LOCK_ROUNDS = 2;

/**
 * Which store is open, for workers that are started later. DANGER: one that opened whatever lies there by then would
 * execute again what the others remember.
 */
export async function storeIdentity({ url }: StoreConfig): Promise<string | undefined> {
  if (!url.startsWith("file:")) return undefined;
  const { identityOf } = await import("./store/embedded-room.ts");
  return identityOf(url.slice("file:".length));
}

function isRedis(url: string): boolean {
  return !url.startsWith("memory:") && !url.startsWith("file:");
}
