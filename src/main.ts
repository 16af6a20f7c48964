/**
 * The process: arguments in, exit code out. 0 after a graceful stop, 2 for bad configuration, 1 for a failure at run
 * time. What is served is `gateway.ts`; several processes are `workers.ts`.
 */
import cluster from "node:cluster";
import { statSync } from "node:fs";
import { loadConfig, processEnvironment } from "./config/load.ts";
import type { GatewayConfig } from "./config/schema.ts";
import { openNotifier, openStore, storeFault } from "./drivers.ts";
import { createOperating, createServing, routeNames, type ServingParts } from "./gateway.ts";
import { processName } from "./identity.ts";
import { createLog, type Log } from "./observe/log.ts";
import { createMetrics } from "./observe/metrics.ts";
import { createReloadMetrics } from "./observe/reloads.ts";
import { Replays } from "./observe/replays.ts";
import {
  announce,
  behind,
  closeStore,
  print,
  startFailure,
  stopSignal,
  version,
} from "./process.ts";
import { Reloader, type Read } from "./reload.ts";
import { runPrimary, runWorker } from "./workers.ts";

const EXIT_FAILURE = 1;
const EXIT_BAD_CONFIGURATION = 2;

async function main(): Promise<number> {
  if (cluster.isWorker) return runWorker();
  const [word, ...words] = process.argv.slice(2);
  if (word === "records") return records(words);
  const loaded = loadConfig(process.argv.slice(2), processEnvironment());
  switch (loaded.kind) {
    case "help":
    case "version":
    case "print":
      await print(loaded.text);
      return 0;
    case "invalid":
      return refuse(loaded.problems);
    case "check":
    case "run": {
      const fault = storeFault(loaded.config.store);
      if (fault !== undefined) return refuse([`${loaded.file}: store.url: ${fault}`]);
      if (loaded.kind === "check") {
        await print(`configuration is valid: ${loaded.file}\n`);
        return 0;
      }
      const log = createLog({ level: loaded.config.log.level });
      crashOnDefect(log);
      const { config, file } = loaded;
      return config.workers > 1
        ? runPrimary(config, file, log, readAgain)
        : runAlone(config, file, log);
    }
  }
}

/** The file as it is now, under the flags and the environment that this process was started with. */
function readAgain(): Read {
  const loaded = loadConfig(process.argv.slice(2), processEnvironment());
  if (loaded.kind === "invalid") return loaded;
  if (loaded.kind !== "run") throw new TypeError("what runs was not started to run");
  // Who writes a file in place empties it first: then the built-in defaults would take over for a moment.
  if (statSync(loaded.file, { throwIfNoEntry: false })?.size === 0) {
    return {
      kind: "invalid",
      problems: [`${loaded.file}: is empty; write the whole file, then reload`],
    };
  }
  const fault = storeFault(loaded.config.store);
  if (fault === undefined) return { kind: "read", config: loaded.config, file: loaded.file };
  return { kind: "invalid", problems: [`${loaded.file}: store.url: ${fault}`] };
}

/** Not the gateway but a client of one; loaded only when asked for. */
async function records(words: readonly string[]): Promise<number> {
  const [{ runRecords }, { processTerminal }] = await Promise.all([
    import("./cli/records.ts"),
    import("./cli/terminal.ts"),
  ]);
  return runRecords(words, processEnvironment(), processTerminal(print));
}

function refuse(problems: readonly string[]): number {
  process.stderr.write(`${problems.join("\n")}\n`);
  return EXIT_BAD_CONFIGURATION;
}

async function runAlone(config: GatewayConfig, file: string, log: Log): Promise<number> {
  let state: "starting" | "ready" | "draining" = "starting";
  const metrics = createMetrics({ version, routes: routeNames(config) });
  const reloads = createReloadMetrics();
  const reloader: Reloader = new Reloader({
    config,
    file,
    read: readAgain,
    apply: async (edition) => {
      serving.prepare(edition.config)();
      operating.adopt(edition.config);
      log.setLevel(edition.config.log.level);
      return [];
    },
    processes: () => {
      const { digest, version: edition } = reloader.edition;
      return [{ pid: process.pid, version: edition, digest }];
    },
    metrics: reloads,
    log,
  });
  const store = await openStore(config.store);
  const notifier = await openNotifier(config, log);
  const told: ServingParts["told"] = notifier && ((outcome) => notifier.tell(outcome));
  const replays = new Replays(processName(), Date.now);
  const serving = await createServing(config, { store, metrics, log, told, replays });
  const operating = createOperating(config, {
    snapshot: () => metrics.snapshot(),
    store,
    log,
    exposition: async () => behind(await metrics.exposition(), reloads, notifier),
    unready: () => (state === "ready" ? [] : [state]),
    replaysOf: async (id) => ({ told: replays.of(id), silent: 0 }),
    configuring: reloader,
  });
  const stopping = stopSignal(log);
  const [servingAt, operatingAt] = [await serving.start(), await operating.start()];
  announce(log, config, file, servingAt, operatingAt);
  notifier?.listens(operatingAt.port);
  serving.lookBack();
  state = "ready";
  reloader.started();

  const signal = await stopping;
  state = "draining";
  reloader.stop();
  log.event("info", "stopping", { signal });
  await serving.stop();
  await operating.stop();
  await notifier?.close();
  await closeStore(store, log);
  log.event("info", "stopped");
  return 0;
}

/** A defect ends the process, told by the log's allow-list: Node's own report would print whatever an error carries. */
function crashOnDefect(log: Log): void {
  const crash = (error: unknown): void => {
    log.failure("the gateway failed and ends", error);
    process.exit(EXIT_FAILURE);
  };
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
}

async function run(): Promise<never> {
  try {
    // Exits rather than returning: a client of the store may still hold a socket that nobody needs any more.
    return process.exit(await main());
  } catch (error) {
    process.stderr.write(`idempotency-gateway: ${startFailure(error)}\n`);
    return process.exit(EXIT_FAILURE);
  }
}

void run();
