/** Trouble that is real: a store that cannot be used, by the means of each store, and an upstream that is not there. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Test } from "tap";
import { createMemoryStore } from "../../src/store/memory.ts";
import { call } from "./client.ts";
import { startRedis, until } from "./redis-server.ts";
import { startScene, type Scene, type SceneSettings } from "./scene.ts";
import { tempDir, type GatewayOptions, type StoreName } from "./gateway.ts";
import { RUNS_TYPESCRIPT } from "./bare-node.ts";

export interface BreakableScene extends Scene {
  /** From now on the store refuses or does not answer. */
  breakStore(): Promise<void>;
  /** From now on the store takes calls and does not answer. Not for the memory store. */
  stopStore(): Promise<void>;
  /** Resolves when the store is usable again. */
  healStore(): Promise<void>;
}

/**
 * A scene whose store the test may break: the redis-server is killed; another process takes the write lock of the
 * embedded store's directory and keeps it; the memory store, which nothing can part from its process, is full.
 */
export async function startBreakableScene(
  t: Test,
  root: Test,
  store: StoreName,
  settings: SceneSettings = {},
): Promise<BreakableScene> {
  const scene = (url: string, options?: GatewayOptions): Promise<Scene> => {
    const section = { url, timeout: "1s", ...settings.store };
    return startScene(t, root, store, { ...settings, store: section }, options);
  };
  switch (store) {
    case "memory":
      // As the gateway's own, and full a hundred times sooner.
      return memoryScene(
        await scene("memory:", {
          between: () => createMemoryStore({ now: Date.now, maxRecords: MEMORY_RECORDS }),
        }),
      );
    case "embedded": {
      const dir = tempDir(t);
      return embeddedScene(t, await scene(`file:${dir}`), dir);
    }
    case "redis": {
      // Killed and started again it still has every write that it acknowledged.
      const args = ["--appendonly", "yes", "--appendfsync", "always"];
      const redis = await startRedis(t, { args });
      const made = await scene(redis.url);
      let stopped = false;
      return {
        ...made,
        breakStore: async () => {
          await redis.kill();
          await unready(made);
        },
        stopStore: async () => {
          stopped = true;
          await redis.kill("SIGSTOP");
        },
        healStore: async () => {
          if (stopped) await redis.kill("SIGCONT");
          else await redis.restart();
          // Before the new server goes, or the stop waits for a store that will not come back.
          t.teardown(() => made.gateway.stop());
          await ready(made);
        },
      };
    }
  }
}

const MEMORY_RECORDS = 1000;

function memoryScene(scene: Scene): BreakableScene {
  const { store } = scene.gateway;
  const filler = { id: "", token: "f".repeat(32) };
  return {
    ...scene,
    stopStore: () => Promise.reject(new Error("the memory store always answers")),
    breakStore: async () => {
      for (let i = 0; i < MEMORY_RECORDS; i += 1) {
        filler.id = randomBytes(32).toString("hex");
        try {
          await store.claim({
            ...filler,
            fingerprint: filler.id,
            method: "POST",
            target: "/filler",
            route: "filler",
            claimedBy: "gateway/1",
            leaseMs: 3_600_000,
            unknownRetentionMs: 3_600_000,
            onUnknown: "block",
          });
        } catch {
          // Full: what this loop is for.
          return;
        }
      }
    },
    healStore: async () => {
      const { records } = await store.list({ limit: 1000 });
      const fillers = records.filter(({ route }) => route === "filler");
      await Promise.all(fillers.map(({ id }) => store.release(id, filler.token)));
    },
  };
}

function embeddedScene(t: Test, scene: Scene, dir: string): BreakableScene {
  let holder: ReturnType<typeof spawn> | undefined;
  const letGo = async (): Promise<void> => {
    if (holder === undefined || holder.exitCode !== null || holder.signalCode !== null) return;
    holder.kill("SIGKILL");
    await once(holder, "exit");
  };
  t.teardown(letGo);
  const hold = async () => {
    const child = fileURLToPath(new URL("../store/embedded-child.ts", import.meta.url));
    const stdio = ["ignore", "pipe", "inherit"] as const;
    const started = spawn(process.execPath, [RUNS_TYPESCRIPT, child, dir, "hold"], { stdio: [...stdio] }); // prettier-ignore
    holder = started;
    if (started.stdout === null) throw new Error("no pipe");
    await once(createInterface({ input: started.stdout }), "line");
  };
  return {
    ...scene,
    breakStore: hold,
    stopStore: hold,
    healStore: async () => {
      await letGo();
      await ready(scene);
    },
  };
}

const ready = (scene: Scene): Promise<void> =>
  until(async () => (await scene.admin("/readyz")).status === 200);

const unready = (scene: Scene): Promise<void> =>
  until(async () => (await scene.admin("/readyz")).status === 503);

export interface DeafUpstream {
  readonly url: string;
  /** From now on it takes connections and answers `execution N`; the first two are taken by this call. */
  listen(): Promise<void>;
}

/**
 * A server whose queue of connections is full and stays full, so that connecting to it goes unanswered: a stopped
 * process with a backlog of 1. It numbers its executions, which is how a test counts them.
 */
export async function startDeafUpstream(t: Test): Promise<DeafUpstream> {
  const program = `
    let executions = 0;
    const server = require("node:http").createServer((req, res) => {
      executions += 1;
      res.end("execution " + executions);
    });
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      console.log(server.address().port);
    });`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const port = Number(line);
  child.kill("SIGSTOP");
  // Linux queues one connection more than the backlog says; those behind it get no answer to their SYN.
  const fillers = Array.from({ length: 8 }, () => net.connect(port, "127.0.0.1"));
  for (const filler of fillers) filler.on("error", () => filler.destroy());
  const cut = (): void => fillers.forEach((filler) => filler.destroy());
  t.teardown(cut);
  await Promise.all(fillers.slice(0, 2).map((filler) => once(filler, "connect")));
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    listen: async () => {
      child.kill("SIGCONT");
      // Asked on a connection that stands already: its answer says that the queue has been emptied.
      const [filler] = fillers;
      filler?.write("GET / HTTP/1.1\r\nHost: upstream\r\n\r\n");
      await once(filler ?? child, "data");
      cut();
      // And on a new one: nothing is left before it in the queue.
      await call(url);
    },
  };
}
