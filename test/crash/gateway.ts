/**
 * The gateway with failpoints: the rooms of src/, composed as main.ts does it, with a store, a log and Node's own
 * diagnostics channels in between that end or stop the process where the request's path says so. A program of the
 * tests; nothing of it is in what people run, and nothing there looks at such a path.
 *
 *     /<armed>/kill/<point>/…   SIGKILL at the point      /<armed>/pause/<point>/…   SIGSTOP at it, on with SIGCONT
 *
 * `armed` is this process's own word (FAILPOINTS), so that a retry does not end the next one at the same point.
 */
import { subscribe } from "node:diagnostics_channel";
import type { ServerResponse } from "node:http";
import { loadConfig } from "../../src/config/load.ts";
import { StoreUnavailable, type Store } from "../../src/core/ports.ts";
import { openStore } from "../../src/drivers.ts";
import { createOperating, createServing } from "../../src/gateway.ts";
import { processName } from "../../src/identity.ts";
import { createLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { Replays } from "../../src/observe/replays.ts";
import { announce, stopSignal, version } from "../../src/process.ts";
import type { InnerPoint } from "./points.ts";

const armed = process.env["FAILPOINTS"] ?? "";

/** The signal is delivered before the call returns: not one more statement runs before it, nor beside it. */
function reach(point: InnerPoint, target: string | undefined): void {
  if (target === undefined) return;
  if (target.startsWith(`/${armed}/kill/${point}/`)) process.kill(process.pid, "SIGKILL");
  if (target.startsWith(`/${armed}/pause/${point}/`)) process.kill(process.pid, "SIGSTOP");
}

function isAt(point: InnerPoint, target: string | undefined): boolean {
  return target?.startsWith(`/${armed}/kill/${point}/`) === true;
}

/** Records are known by their ids; the claim is what tells whose they are. */
function withFailpoints(store: Store): Store {
  const targets = new Map<string, string>();
  const failed = new Set<string>();
  return {
    ...store,
    async claim(request) {
      targets.set(request.id, request.target);
      reach("before-claim", request.target);
      const answer = await store.claim(request);
      if (answer.kind === "granted") reach("after-claim", request.target);
      return answer;
    },
    async complete(id, ...rest) {
      const target = targets.get(id);
      const inBackground = isAt("background-write", target) || isAt("background-written", target);
      if (inBackground && !failed.has(id)) {
        failed.add(id);
        throw new StoreUnavailable("as if the store did not answer");
      }
      reach("before-complete", target);
      reach("background-write", target);
      const answer = await store.complete(id, ...rest);
      reach("after-complete", target);
      reach("background-written", target);
      return answer;
    },
    async settleUnknown(id, ...rest) {
      const target = targets.get(id);
      reach("before-settle", target);
      const answer = await store.settleUnknown(id, ...rest);
      reach("after-settle", target);
      return answer;
    },
  };
}

/** undici tells it on a connection that stands, right before it writes the head. */
subscribe("undici:client:sendHeaders", (message) => {
  const { request } = message as { readonly request: { readonly path: string } };
  reach("before-first-byte", request.path);
});

subscribe("http.server.request.start", (message) => {
  const { request, response } = message as {
    readonly request: { readonly url?: string };
    readonly response: ServerResponse;
  };
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => ServerResponse;
  response.writeHead = (...args: unknown[]) => {
    reach("before-reply", request.url);
    return writeHead(...args);
  };
  response.once("finish", () => reach("after-reply", request.url));
});

async function main(): Promise<void> {
  const loaded = loadConfig(process.argv.slice(2), {});
  if (loaded.kind !== "run") throw new Error(`no configuration to run: ${loaded.kind}`);
  const { config, file } = loaded;
  const log = createLog({ level: config.log.level });
  const metrics = createMetrics({
    version,
    routes: config.routes.map(({ policy }) => policy.route),
  });
  const store = withFailpoints(await openStore(config.store));
  const replays = new Replays(processName(), Date.now);
  const serving = await createServing(config, { store, metrics, replays, log });
  const operating = createOperating(config, {
    snapshot: () => metrics.snapshot(),
    store,
    log,
    exposition: () => metrics.exposition(),
    unready: () => [],
    replaysOf: async (id) => ({ told: replays.of(id), silent: 0 }),
  });
  const stopping = stopSignal(log);
  announce(log, config, file, await serving.start(), await operating.start());
  log.event("info", "stopping", { signal: await stopping });
  await serving.stop();
  await operating.stop();
  await store.close();
  process.exit(0);
}

void main();
