/**
 * What every contender stands on: the upstream that answers from memory and counts, a redis-server that keeps nothing
 * on disk, a server of the harness for answers that are held back and for WebSockets. All on loopback, all gone with
 * the run.
 */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { call } from "../test/support/client.ts";
import { freePort } from "../test/support/free-port.ts";
import { startRedis, type RedisServer } from "../test/support/redis-server.ts";
import type { Teardown } from "../test/support/teardown.ts";
import { startProgram, type Running } from "./processes.ts";

export interface Site {
  /** For logs, configurations and the embedded store. */
  readonly dir: string;
  readonly upstream: Running;
  readonly redis: RedisServer;
  /** How many requests the upstream has got so far, the ones that ask this not counted. */
  executions(): Promise<number>;
  /** The same, once it stands still: what a contender has taken it may send on after its clients have left. */
  settled(standingMs?: number): Promise<number>;
  readonly gate: Gate;
}

export interface Gate {
  /** From now on requests to /held wait; resolves when one does. */
  hold(): Promise<void>;
  /** Answers those that wait, and those to come. */
  release(): void;
}

const CONTENDERS = fileURLToPath(new URL("contenders/", import.meta.url));

const STANDING_MS = 200;

export async function startSite(t: Teardown): Promise<Site> {
  const dir = mkdtempSync(join(tmpdir(), "bench-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const { gate, port: harness } = await startHarnessServer(t);
  const port = await freePort();
  const config = { PORT: port, HARNESS: harness };
  const upstream = await startNginx(t, dir, "nginx-upstream.conf", port, config);
  const redis = await startRedis(t);
  let asked = 0;
  const executions = async (): Promise<number> => {
    const { body } = await call(`${upstream.url}/requests`);
    const total = /requests\s+\d+ \d+ (\d+)/u.exec(body.toString())?.[1];
    if (total === undefined) throw new Error(`the upstream does not count: ${body.toString()}`);
    asked += 1;
    return Number(total) - asked;
  };
  const settled = async (standingMs = STANDING_MS): Promise<number> => {
    for (let last = await executions(); ;) {
      await pause(standingMs);
      const now = await executions();
      if (now === last) return now;
      last = now;
    }
  };
  return { dir, upstream, redis, executions, settled, gate };
}

/** Starts nginx with a configuration of bench/contenders, in which each `@NAME@` is filled in. */
export function startNginx(
  t: Teardown,
  dir: string,
  file: string,
  port: number,
  values: Readonly<Record<string, string | number>>,
): Promise<Running> {
  // Workers of a master that is root would be another user, who cannot write into the directory.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  const all: Readonly<Record<string, string | number>> = {
    ...values,
    DIR: dir,
    USER: user,
    HERE: CONTENDERS.replace(/\/$/u, ""),
  };
  const text = readFileSync(join(CONTENDERS, file), "utf8").replaceAll(
    /@([A-Z]+)@/gu,
    (_, name: string) => {
      const value = all[name];
      if (value === undefined) throw new Error(`${file}: nothing is known of @${name}@`);
      return String(value);
    },
  );
  const config = join(dir, `${port}-${file}`);
  writeFileSync(config, text);
  const log = join(dir, `${port}-nginx.out`);
  const command = ["nginx", "-e", log, "-p", dir, "-c", config, "-g", "daemon off;"];
  return startProgram(t, command, port, log);
}

async function startHarnessServer(
  t: Teardown,
): Promise<{ readonly port: number; readonly gate: Gate }> {
  let held = false;
  const waiting: http.ServerResponse[] = [];
  let arrived: (() => void) | undefined;
  const answer = (res: http.ServerResponse): void => void res.writeHead(201).end("held");
  const server = http.createServer((req, res) => {
    req.resume();
    if (!held) return answer(res);
    waiting.push(res);
    arrived?.();
  });
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  const gate: Gate = {
    hold() {
      held = true;
      return new Promise((resolve) => {
        arrived = resolve;
      });
    },
    release() {
      held = false;
      waiting.splice(0).forEach(answer);
    },
  };
  return { port: (server.address() as AddressInfo).port, gate };
}
