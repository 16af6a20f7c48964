/**
 * Several processes on one port: the primary keeps the workers alive, is the operators' port, adds up the metrics and
 * passes on which records have settled. Workers take the traffic. All of them run the configuration that the primary
 * has read: a replacement never meets a file that was edited meanwhile.
 */
import cluster from "node:cluster";
import type { GatewayConfig } from "./config/schema.ts";
import type { UnknownOutcome } from "./core/outcome.ts";
import { Crew, type ToPrimary, type ToWorker } from "./crew.ts";
import { openNotifier, openStore, storeIdentity } from "./drivers.ts";
import { createOperating, createServing, routeNames, type Serving } from "./gateway.ts";
import { processName } from "./identity.ts";
import { answerScrapes, createClusterMetrics } from "./observe/cluster.ts";
import { createLog, type Log } from "./observe/log.ts";
import { createMetrics } from "./observe/metrics.ts";
import { createReloadMetrics } from "./observe/reloads.ts";
import { Replays } from "./observe/replays.ts";
import { announce, behind, closeStore, startFailure, stopSignal, version } from "./process.ts";
import { type Edition, firstEdition, type Read, Reloader } from "./reload.ts";
import type { SettleBus } from "./store/embedded.ts";

const SCRAPE_TIMEOUT_MS = 1000;

export async function runPrimary(
  config: GatewayConfig,
  file: string,
  log: Log,
  read: () => Read,
): Promise<number> {
  // Workers accept by themselves. Where the primary does it and hands connections over, Node never closes those that
  // were on their way to a worker that died, and their clients wait for ever. Before the set-up, which fixes it.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  // Structured clones instead of JSON: the configuration holds maps.
  cluster.setupPrimary({ serialization: "advanced" });
  const metrics = createClusterMetrics({ timeoutMs: SCRAPE_TIMEOUT_MS });
  const reloads = createReloadMetrics();
  const reloader = new Reloader({
    config,
    file,
    read,
    async apply(edition) {
      const problems = await crew.adopt(edition);
      if (problems.length > 0) return problems;
      operating.adopt(edition.config);
      log.setLevel(edition.config.log.level);
      return [];
    },
    processes: () => crew.processes(),
    metrics: reloads,
    log,
  });
  const store = await openStore(config.store);
  const notifier = await openNotifier(config, log);
  const crew = new Crew(firstEdition(config), await storeIdentity(config.store), log, (outcome) =>
    notifier?.tell(outcome),
  );
  const operating = createOperating(config, {
    snapshot: () => metrics.snapshot(),
    store,
    log,
    exposition: async () => behind(await metrics.exposition(), reloads, notifier),
    unready: () => crew.unready(),
    replaysOf: (id) => crew.replaysOf(id),
    configuring: reloader,
  });
  const stopping = stopSignal(log);
  try {
    const serving = await crew.start();
    const operatingAt = await operating.start();
    announce(log, config, file, serving, operatingAt);
    notifier?.listens(operatingAt.port);
  } catch (error) {
    await crew.stop();
    throw error;
  }
  reloader.started();

  const signal = await stopping;
  reloader.stop();
  log.event("info", "stopping", { signal });
  await crew.stop();
  await operating.stop();
  metrics.close();
  await notifier?.close();
  await closeStore(store, log);
  log.event("info", "stopped");
  return 0;
}

/** The body of a worker process: asks for its configuration, serves, and stops when told or orphaned. */
export async function runWorker(): Promise<number> {
  // Told before anything is served, so that a stop or a change that comes early is not missed.
  const stopping = stopAsked();
  const changes = changesAsked();
  const start = await Promise.race([started(), stopping]);
  if (start === undefined) return 0;
  const { edition, storeIdentity: identity, looksBack } = start;
  const { config } = edition;
  const log = createLog({ level: config.log.level, worker: cluster.worker?.id ?? 0 });
  const crash = (error: unknown): void => {
    log.failure("the worker failed and ends", error);
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  const metrics = createMetrics({ version, routes: routeNames(config) });
  answerScrapes(metrics, (error) => log.failure("metrics could not be told", error));
  try {
    const store = await openStore(config.store, { bus: settleBus(), identity });
    const telling = tellingPrimary(config);
    const replays = new Replays(processName(), Date.now);
    answerReplays(replays);
    const serving = await createServing(config, {
      store,
      metrics,
      log,
      told: telling.told,
      replays,
    });
    await say({ type: "adopted", version: edition.version, digest: edition.digest });
    changes.takenBy(changeTaker(serving, log));
    await say({ type: "listening", address: await serving.start(), pid: process.pid });
    if (looksBack) serving.lookBack();
    await stopping;
    await serving.stop();
    await telling.said();
    await closeStore(store, log);
    return 0;
  } catch (error) {
    // Told to the primary, which says it once for all workers.
    await say({ type: "failed", reason: startFailure(error) });
    return 1;
  }
}

/** The primary calls the webhook, for all of them: then its calls keep their distance, whichever worker has something to tell. */
function tellingPrimary({ notify }: GatewayConfig) {
  let last: Promise<void> = Promise.resolve();
  const told = (outcome: UnknownOutcome): void => {
    last = say({ type: "unknown", outcome });
  };
  return {
    told: notify.webhook === undefined ? undefined : told,
    /** Messages leave in their order. */
    said: () => last,
  };
}

function answerReplays(replays: Replays): void {
  process.on("message", (message: ToWorker) => {
    if (message.type !== "replays") return;
    void say({ type: "replayed", question: message.question, told: replays.of(message.id) });
  });
}

type ChangeOrder = Extract<ToWorker, { type: "prepare" | "adopt" }>;

/** Orders to change, in their order; those that come before somebody takes them are kept. */
function changesAsked(): { takenBy(taker: (order: ChangeOrder) => void): void } {
  const early: ChangeOrder[] = [];
  let take = (order: ChangeOrder): unknown => early.push(order);
  process.on("message", (message: ToWorker) => {
    if (message.type === "prepare" || message.type === "adopt") take(message);
  });
  // The primary's affair. A terminal and a service manager may signal every process of the gateway.
  process.on("SIGHUP", () => undefined);
  return {
    takenBy(taker) {
      take = taker;
      for (const order of early) taker(order);
    },
  };
}

function changeTaker(serving: Serving, log: Log): (order: ChangeOrder) => void {
  let prepared: { readonly version: number; readonly adopt: () => void } | undefined;
  const prepare = ({ config, version: number }: Edition): (() => void) => {
    const adopt = serving.prepare(config);
    prepared = { version: number, adopt };
    return adopt;
  };
  return ({ type, edition }) => {
    const { version: number, digest, config } = edition;
    if (type === "adopt") {
      // One that started while the others prepared is told for the first time.
      const adopt = prepared?.version === number ? prepared.adopt : prepare(edition);
      adopt();
      log.setLevel(config.log.level);
      void say({ type: "adopted", version: number, digest });
      return;
    }
    try {
      prepare(edition);
      void say({ type: "prepared", version: number });
    } catch (error) {
      log.failure("the configuration cannot be served by", error);
      void say({
        type: "unprepared",
        version: number,
        reason: "cannot serve by it; its log says why",
      });
    }
  };
}

/**
 * Asks, because a message that the primary sends by itself may come while this program is still loading, when nobody
 * listens, and would be lost.
 */
function started(): Promise<ToWorker & { type: "start" }> {
  return new Promise((resolve) => {
    const onMessage = (message: ToWorker): void => {
      if (message.type !== "start") return;
      process.off("message", onMessage);
      resolve(message);
    };
    process.on("message", onMessage);
    void say({ type: "up" });
  });
}

/**
 * The primary's word, a signal, or the primary's end. Unlike in the primary a second one is nothing new: a terminal and
 * a service manager signal every process of the gateway, and then the primary's word follows.
 */
function stopAsked(): Promise<void> {
  // Node would end an orphan in the middle of its calls. This one finishes and records them.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
  return new Promise((resolve) => {
    const onMessage = (message: ToWorker): void => {
      if (message.type === "stop") resolve();
    };
    process.on("message", onMessage);
    process.on("disconnect", () => resolve());
    process.on("SIGTERM", () => resolve());
    process.on("SIGINT", () => resolve());
  });
}

function settleBus(): SettleBus {
  return {
    publish: (id) => void say({ type: "settled", id }),
    subscribe(listener) {
      const onMessage = (message: ToWorker): void => {
        if (message.type === "settled") listener(message.id);
      };
      process.on("message", onMessage);
      return () => {
        process.off("message", onMessage);
      };
    },
  };
}

/** Resolves when the message has left; the primary may be gone, and then this worker is about to stop by itself. */
function say(message: ToPrimary): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) return resolve();
    process.send(message, undefined, {}, () => resolve());
  });
}
