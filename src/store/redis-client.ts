/**
 * Connections to Redis: the one file that imports `ioredis` for more than a type. It knows which settings keep a
 * command from running twice or waiting for ever, and nothing of records.
 */
import { Cluster, Redis } from "ioredis";
import type { ClusterOptions, RedisOptions } from "ioredis";
import type { ScriptName, ScriptSource } from "./redis-scripts.ts";
import type { RedisTarget } from "./redis-url.ts";

type Argument = string | Buffer | number;

/** ioredis adds these methods at run time, one per script; each takes the one key first and replies in bytes. */
type ScriptMethods = {
  readonly [Name in ScriptName as `${Name}RecordBuffer`]: (
    key: string,
    ...args: Argument[]
  ) => Promise<unknown>;
};

interface Command {
  readonly lua: string;
  readonly numberOfKeys: number;
}

export type ScriptedClient = (Redis | Cluster) & ScriptMethods;

export interface Connections {
  readonly client: ScriptedClient;
  /** A connection of its own for SUBSCRIBE, opened on first use; Cluster keeps one inside its client. */
  readonly subscriber: Redis | Cluster;
}

/** Connects in the background: a Redis that is down is no error here, and comes back by itself. */
export function connect(
  target: RedisTarget,
  timeoutMs: number,
  scripts: readonly ScriptSource[],
  onError: (error: Error) => void,
): Connections {
  const connection = connectionOptions(target, timeoutMs);
  const commands = commandsOf(scripts);
  const { where } = target;
  if (where.kind === "cluster") {
    const options = { ...clusterOptions(connection), scripts: commands };
    const cluster = openCluster(where.nodes, options, onError) as Cluster & ScriptMethods;
    return { client: cluster, subscriber: cluster };
  }
  const client = new Redis({ ...connection, scripts: commands }) as Redis & ScriptMethods;
  const subscriber = new Redis({
    ...connection,
    lazyConnect: true,
    // SUBSCRIBE may safely run twice, so here commands may wait for the connection.
    enableOfflineQueue: true,
    // DANGER: where ioredis subscribes again by itself and is refused, nobody hears of it, and the process ends.
    autoResubscribe: false,
  });
  onTrouble(client, onError);
  onTrouble(subscriber, onError);
  return { client, subscriber };
}

/** One connection whose commands go out one by one, in the order in which they were given. */
export function connectInOrder(
  target: RedisTarget,
  timeoutMs: number,
  onError: (error: Error) => void,
): Redis | Cluster {
  const connection = connectionOptions(target, timeoutMs);
  const { where } = target;
  if (where.kind === "cluster")
    return openCluster(where.nodes, clusterOptions(connection), onError);
  const client = new Redis(connection);
  onTrouble(client, onError);
  return client;
}

/** How often a Cluster's layout is learnt anew: a failover is noticed by nothing else. */
const LAYOUT_MS = 2000;

function openCluster(
  nodes: readonly { readonly host: string; readonly port: number }[],
  options: ClusterOptions,
  onError: (error: Error) => void,
): Cluster {
  const cluster = new Cluster([...nodes], options);
  cluster.on("error", onError);
  // Not `slotsRefreshInterval`: where a look is under way when the Cluster is hung up, ioredis sets its timer once more,
  // and then every two seconds for ever, and the process does not end.
  const timer = setInterval(() => {
    if (hungUp.has(cluster)) clearInterval(timer);
    else if (cluster.status === "ready") cluster.refreshSlotsCache();
  }, LAYOUT_MS).unref();
  return cluster;
}

/**
 * What is asked of one server in this turn of the loop goes out in one write. ioredis would make a pipeline of it, which
 * costs a fifth of the CPU of a request where few are under way; a Cluster is no one connection.
 */
export function inOneWrite(client: Redis | Cluster): void {
  if (client instanceof Cluster) return;
  const { stream } = client;
  if (stream.writableCorked > 0) return;
  stream.cork();
  setImmediate(() => stream.uncork());
}

function onTrouble(client: Redis, onError: (error: Error) => void): void {
  client.on("error", (error: Error) => {
    onError(error);
    // DANGER: after a SELECT that was refused (a server that is loading), ioredis goes on with database 0, where none
    // of our records are.
    if (client.status === "connect" || isSelect(error)) client.stream.destroy();
  });
  // DANGER: where Sentinel tells of a failover while ioredis is just asking it for the primary, ioredis ends the client
  // for good, and the gateway would be without its store until somebody restarts it.
  let attempts = 0;
  client.on("ready", () => {
    attempts = 0;
  });
  client.on("end", () => {
    if (hungUp.has(client)) return;
    attempts += 1;
    setTimeout(() => {
      // What it rejects with, "error" has told.
      if (!hungUp.has(client)) client.connect().catch(() => undefined);
    }, backoffMs(attempts)).unref();
  });
}

const hungUp = new WeakSet<Redis | Cluster>();

/** Ends a connection for good. Not QUIT: a server that does not answer would keep the process from ending. */
export function hangUp(client: Redis | Cluster): void {
  hungUp.add(client);
  client.disconnect();
}

function isSelect(error: Error & { readonly command?: { readonly name?: string } }): boolean {
  return error.command?.name === "select";
}

/** For WAIT, which keeps everything waiting behind it: in order, and with scripts, but not for a Cluster. */
export function connectForWait(
  target: RedisTarget,
  timeoutMs: number,
  scripts: readonly ScriptSource[],
  onError: (error: Error) => void,
): Redis & ScriptMethods {
  const client = new Redis({
    ...connectionOptions(target, timeoutMs),
    scripts: commandsOf(scripts),
  }) as Redis & ScriptMethods;
  onTrouble(client, onError);
  return client;
}

function commandsOf(scripts: readonly ScriptSource[]): Record<string, Command> {
  return Object.fromEntries(
    scripts.map(({ name, lua }) => [`${name}Record`, { lua, numberOfKeys: 1 }]),
  );
}

function clusterOptions(connection: RedisOptions): ClusterOptions {
  return {
    // DANGER: of a pipeline, ioredis follows MOVED and ASK only where all its commands got the same one, and so a slot
    // that moves would fail every call that happened to go out together with one of its own.
    redisOptions: connection,
    enableAutoPipelining: false,
    enableOfflineQueue: false,
    clusterRetryStrategy: backoffMs,
    // DANGER: Cluster sends an unanswered command again after a lost connection unless this is 0.
    retryDelayOnFailover: 0,
    // What these two lines no longer trigger, learning the new layout after a failover, `openCluster` does.
    retryDelayOnClusterDown: 0,
    scaleReads: "master",
  };
}

function connectionOptions(target: RedisTarget, timeoutMs: number): RedisOptions {
  const { where, username, password, db, tls } = target;
  return {
    // DANGER: without these four, ioredis sends an unanswered script again after a reconnect, or never settles.
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    commandTimeout: timeoutMs,
    retryStrategy: backoffMs,
    // A server that is loading says for how long, by a guess of seconds; it is asked more often.
    maxLoadingRetryTime: 250,
    // A demoted primary keeps its connections; only a new one finds the new primary.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
    // A host that vanished without a FIN answers nothing for a quarter of an hour; give its connection up sooner.
    socketTimeout: Math.max(4 * timeoutMs, 1000),
    connectTimeout: 5000,
    disconnectTimeout: 500,
    keepAlive: 10_000,
    disableClientInfo: true,
    db,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls: tls.ca === undefined ? {} : { ca: tls.ca } }),
    ...placeOf(where, tls),
  };
}

function placeOf(where: RedisTarget["where"], tls: RedisTarget["tls"]): RedisOptions {
  switch (where.kind) {
    case "server":
      return { host: where.node.host, port: where.node.port };
    case "socket":
      return { path: where.path };
    case "cluster":
      return {};
    case "sentinel":
      return {
        sentinels: [...where.nodes],
        name: where.master,
        role: "master",
        failoverDetector: true,
        sentinelRetryStrategy: backoffMs,
        sentinelCommandTimeout: 1000,
        ...(where.username !== undefined && { sentinelUsername: where.username }),
        ...(where.password !== undefined && { sentinelPassword: where.password }),
        ...(tls !== undefined && {
          enableTLSForSentinelMode: true,
          sentinelTLS: tls.ca === undefined ? {} : { ca: tls.ca },
        }),
      };
  }
}

/** 50 ms, doubling, to one second: Redis that comes back is noticed within a second. */
function backoffMs(attempt: number): number {
  return Math.min(25 * 2 ** Math.min(attempt, 10), 1000);
}
