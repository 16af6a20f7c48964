/**
 * Several processes on one port: the primary keeps the workers alive, is the operators' port, adds up the metrics and
 * passes on which records have settled. Workers take the traffic. All of them run the configuration that the primary
 * has read: a replacement never meets a file that was edited meanwhile.
 */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import type { GatewayConfig } from "./config/schema.ts";
import { openStore, storeIdentity } from "./drivers.ts";
import { createOperating, createServing, type Address } from "./gateway.ts";
import { answerScrapes, createClusterMetrics } from "./observe/cluster.ts";
import { createLog, type Log } from "./observe/log.ts";
import { createMetrics } from "./observe/metrics.ts";
import { announce, closeStore, startFailure, stopSignal, version } from "./process.ts";
import type { SettleBus } from "./store/embedded.ts";

type ToWorker =
  | {
      readonly type: "start";
      readonly config: GatewayConfig;
      readonly storeIdentity: string | undefined;
    }
  | { readonly type: "stop" }
  | { readonly type: "settled"; readonly id: string };

type ToPrimary =
  | { readonly type: "up" }
  | { readonly type: "listening"; readonly address: Address; readonly pid: number }
  | { readonly type: "failed"; readonly reason: string }
  | { readonly type: "settled"; readonly id: string };

const SCRAPE_TIMEOUT_MS = 1000;
const RESPAWN_PAUSE_MS = 1000;

export async function runPrimary(config: GatewayConfig, file: string, log: Log): Promise<number> {
  // Workers accept by themselves. Where the primary does it and hands connections over, Node never closes those that
  // were on their way to a worker that died, and their clients wait for ever. Before the set-up, which fixes it.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  // Structured clones instead of JSON: the configuration holds maps.
  cluster.setupPrimary({ serialization: "advanced" });
  const metrics = createClusterMetrics({ timeoutMs: SCRAPE_TIMEOUT_MS });
  const store = await openStore(config.store);
  const crew = new Crew(config, await storeIdentity(config.store), log);
  const operating = createOperating(config, {
    snapshot: () => metrics.snapshot(),
    store,
    log,
    exposition: () => metrics.exposition(),
    unready: () => crew.unready(),
  });
  const stopping = stopSignal(log);
  try {
    const serving = await crew.start();
    announce(log, config, file, serving, await operating.start());
  } catch (error) {
    await crew.stop();
    throw error;
  }

  const signal = await stopping;
  log.event("info", "stopping", { signal });
  await crew.stop();
  await operating.stop();
  metrics.close();
  await closeStore(store, log);
  log.event("info", "stopped");
  return 0;
}

/** The workers, and which of them take traffic. */
class Crew {
  readonly #config: GatewayConfig;
  readonly #storeIdentity: string | undefined;
  readonly #log: Log;
  readonly #listening = new Set<number>();
  readonly #respawns = new Set<NodeJS.Timeout>();
  #stopping = false;

  constructor(config: GatewayConfig, identity: string | undefined, log: Log) {
    this.#config = config;
    this.#storeIdentity = identity;
    this.#log = log;
  }

  /** Resolves when every worker listens; rejects with the reason of the first that cannot. */
  async start(): Promise<Address> {
    const workers = Array.from({ length: this.#config.workers }, () => this.#fork());
    const [first] = await Promise.all(workers);
    if (first === undefined) throw new Error("no worker was started");
    return first;
  }

  unready(): readonly string[] {
    if (this.#stopping) return ["draining"];
    const missing = this.#config.workers - this.#listening.size;
    return missing === 0 ? [] : [`${missing} of ${this.#config.workers} workers not listening`];
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#respawns) clearTimeout(timer);
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    await Promise.all(
      workers.map(async (worker) => {
        if (worker.isDead()) return;
        const ended = once(worker, "exit");
        tell(worker, { type: "stop" });
        const stuck = setTimeout(() => worker.process.kill("SIGKILL"), stopBoundMs(this.#config));
        await ended;
        clearTimeout(stuck);
      }),
    );
  }

  #fork(): Promise<Address> {
    const worker = cluster.fork();
    return new Promise((resolve, reject) => {
      worker.on("message", (message: ToPrimary) => {
        // A stop that came while it was loading is told now.
        if (message.type === "up") tell(worker, this.#stopping ? { type: "stop" } : this.#start());
        if (message.type === "listening") {
          this.#listening.add(worker.id);
          this.#log.event("info", "worker listening", { worker: worker.id, pid: message.pid });
          resolve(message.address);
        }
        if (message.type === "failed") reject(new Error(message.reason));
        if (message.type === "settled") passOn(worker, message.id);
      });
      worker.on("exit", (code, signal) => {
        // One that has listened is replaced; one that never did ends the start, or is told by who asked for it.
        if (this.#listening.delete(worker.id)) this.#replace(worker, signal ?? String(code));
        reject(new Error("a worker ended before it listened"));
      });
    });
  }

  #start(): ToWorker {
    return { type: "start", config: this.#config, storeIdentity: this.#storeIdentity };
  }

  /** `worker` is `undefined` where one did not even listen. */
  #replace(worker: Worker | undefined, how: string): void {
    if (this.#stopping) return;
    this.#log.event("error", "worker ended; starting another", { worker: worker?.id, how });
    const timer = setTimeout(() => {
      this.#respawns.delete(timer);
      this.#fork().catch((error: unknown) => {
        this.#log.failure("worker did not start", error);
        this.#replace(undefined, "not started");
      });
    }, RESPAWN_PAUSE_MS);
    this.#respawns.add(timer);
  }
}

/** Far behind everything that a stopping worker waits for: one that is still there then is stuck. */
function stopBoundMs({ upstream, listen, store, defaults, routes }: GatewayConfig): number {
  const waits = [defaults, ...routes.map(({ policy }) => policy)].map((each) => each.waitTimeoutMs);
  return 3 * upstream.timeoutMs + listen.bodyTimeoutMs + store.leaseMs + Math.max(...waits);
}

function passOn(from: Worker, id: string): void {
  for (const worker of Object.values(cluster.workers ?? {})) {
    if (worker !== undefined && worker !== from) tell(worker, { type: "settled", id });
  }
}

function tell(worker: Worker, message: ToWorker): void {
  // With a callback a worker that has just ended is no 'error' event here; its exit is what counts.
  if (worker.isConnected()) worker.send(message, () => undefined);
}

/** The body of a worker process: asks for its configuration, serves, and stops when told or orphaned. */
export async function runWorker(): Promise<number> {
  // Told before anything is served, so that a stop that comes early is not missed.
  const stopping = stopAsked();
  const start = await Promise.race([started(), stopping]);
  if (start === undefined) return 0;
  const { config, storeIdentity: identity } = start;
  const log = createLog({ level: config.log.level, worker: cluster.worker?.id ?? 0 });
  const crash = (error: unknown): void => {
    log.failure("the worker failed and ends", error);
    process.exit(1);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  const metrics = createMetrics({
    version,
    routes: config.routes.map((route) => route.policy.route),
  });
  answerScrapes(metrics, (error) => log.failure("metrics could not be told", error));
  try {
    const store = await openStore(config.store, { bus: settleBus(), identity });
    const serving = await createServing(config, { store, metrics, log });
    await say({ type: "listening", address: await serving.start(), pid: process.pid });
    await stopping;
    await serving.stop();
    await closeStore(store, log);
    return 0;
  } catch (error) {
    // Told to the primary, which says it once for all workers.
    await say({ type: "failed", reason: startFailure(error) });
    return 1;
  }
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
