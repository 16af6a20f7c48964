/**
 * Who is measured, and how each is started in front of the upstream. Their configurations and programs are in
 * bench/contenders. What they claim to do is checked before anything is timed.
 */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { call } from "../test/support/client.ts";
import { freePort } from "../test/support/free-port.ts";
import type { Teardown } from "../test/support/teardown.ts";
import { ROOT, startProgram, type Running } from "./processes.ts";
import { startNginx, type Site } from "./site.ts";

export interface Contender {
  readonly name: string;
  /** In tables and plots. */
  readonly title: string;
  /** Executes each key once, replays, refuses other bodies and duplicates in flight. */
  readonly guards: boolean;
  /** Where its records are. */
  readonly store?: "redis" | "embedded";
  start(t: Teardown, site: Site): Promise<Started>;
}

export interface Started extends Running {
  /** The directory of its embedded store. */
  readonly storeDir?: string;
}

/** Whoever guards here keeps its records in Redis; the gateway says for itself where. */
function named(name: string, title: string, guards: boolean): Omit<Contender, "start"> {
  return { name, title, guards, ...(guards && { store: "redis" }) };
}

function nginx(name: string, title: string, file: string, guards: boolean, workers = 1): Contender {
  return {
    ...named(name, title, guards),
    async start(t, { dir, upstream, redis }) {
      const port = await freePort();
      const values = { PORT: port, UPSTREAM: upstream.port, REDIS: redis.port, WORKERS: workers };
      return startNginx(t, mkdtempSync(join(dir, "nginx-")), file, port, values);
    },
  };
}

function program(name: string, title: string, file: string, guards: boolean): Contender {
  const path = fileURLToPath(new URL(`contenders/${file}`, import.meta.url));
  return {
    ...named(name, title, guards),
    async start(t, { dir, upstream, redis }) {
      const port = await freePort();
      const args = [String(port), upstream.url, redis.url];
      const command = [process.execPath, "--import=tsx", path, ...args];
      return startProgram(t, command, port, join(dir, `${port}.out`));
    },
  };
}

function gateway(store: "redis" | "embedded", workers: number): Contender {
  return {
    name: `gateway-${store}${workers === 1 ? "" : `-${workers}`}`,
    title: `gateway, ${store === "redis" ? "Redis" : "embedded"}, ${workers === 1 ? "one worker" : `${workers} workers`}`,
    guards: true,
    store,
    async start(t, { dir, upstream, redis }) {
      const [port, admin] = [await freePort(), await freePort()];
      const storeDir = mkdtempSync(join(dir, "store-"));
      const command = [
        ...[process.execPath, join(ROOT, "dist/main.js"), "--upstream", upstream.url],
        ...["--listen", `127.0.0.1:${port}`, "--admin", `127.0.0.1:${admin}`],
        ...["--store", store === "redis" ? redis.url : `file:${storeDir}`],
        ...["--workers", String(workers)],
      ];
      const running = await startProgram(t, command, port, join(dir, `${port}-gateway.log`));
      // It listens before it is connected to Redis.
      await ready(`http://127.0.0.1:${admin}/readyz`);
      return store === "embedded" ? { ...running, storeDir } : running;
    },
  };
}

async function ready(url: string): Promise<void> {
  const until = performance.now() + 10_000;
  for (;;) {
    const status = await call(url).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) return;
    if (performance.now() > until) throw new Error(`${url} is not ready`);
  }
}

const direct: Contender = {
  name: "direct",
  title: "direct to the upstream",
  guards: false,
  start: (_, { upstream }) => Promise.resolve(upstream),
};

export const CONTENDERS: readonly Contender[] = [
  direct,
  nginx("nginx", "nginx, proxy_pass only", "nginx-plain.conf", false),
  nginx("nginx-lua", "nginx + Lua + Redis", "nginx-lua.conf", true),
  nginx("nginx-lua-2", "nginx + Lua + Redis, 2 workers", "nginx-lua.conf", true, 2),
  gateway("redis", 1),
  gateway("embedded", 1),
  gateway("redis", 2),
  gateway("embedded", 2),
  program("undici", "bare undici proxy", "undici-proxy.ts", false),
  program("http-proxy", "bare http-proxy", "bare-http-proxy.ts", false),
  program("middleware", "@node-idempotency + fastify + undici", "middleware.ts", true),
];

/** @throws where there is no such contender */
export function contenderOf(name: string): Contender {
  const found = CONTENDERS.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no contender "${name}"`);
  return found;
}
