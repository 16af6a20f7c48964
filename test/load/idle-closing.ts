/**
 * Guarded requests at gaps around the moment at which their upstream closes idle connections, each lane with a
 * connection of its own that it finds again or not. An upstream that announces its time-out, and one that does not.
 */
import net from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { createUpstream } from "../../src/http/upstream.ts";
import type { BatchResult } from "../proof/row.ts";
import { Random } from "../support/random.ts";
import { newLine } from "../support/flow.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";

export interface Setting {
  readonly idleMs: number;
  /** `Keep-Alive: timeout=` is sent. */
  readonly announced: boolean;
}

const SETTINGS: readonly Setting[] = [1000, 2000, 5000].flatMap((idleMs) => [
  { idleMs, announced: false },
  { idleMs, announced: true },
]);

/** About as long as a batch takes, whatever its size: there are as many lanes as that needs. */
const SPAN_MS = 28_000;

/** The units are dealt out to the six settings. */
export function runKeepAlive(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const results = await Promise.all(
      SETTINGS.map((setting, n) => {
        const share = Math.floor(count / SETTINGS.length) + (n < count % SETTINGS.length ? 1 : 0);
        return runSetting(t, setting, first * SETTINGS.length + n, share);
      }),
    );
    const sum = (of: (result: SettingResult) => number): number =>
      results.reduce((total, result) => total + of(result), 0);
    return {
      done: sum(({ done }) => done),
      violations: results.flatMap(({ violations }) => violations),
      counts: {
        connections: sum(({ connections }) => connections),
        reused: sum(({ done, connections }) => done - connections),
        closedByUpstream: sum(({ closed }) => closed),
      },
    };
  });
}

interface SettingResult {
  readonly done: number;
  readonly violations: readonly string[];
  readonly connections: number;
  readonly closed: number;
}

async function runSetting(
  t: Teardown,
  setting: Setting,
  seed: number,
  count: number,
): Promise<SettingResult> {
  const upstream = await startClosingUpstream(t, setting);
  const line = newLine({ policy: { onUnknown: "block" } });
  const laneOf = new Map<string, ReturnType<typeof createUpstream>>();
  line.respond(async ({ request }) => {
    const pool = laneOf.get(request.target);
    if (pool === undefined) throw new Error(`no lane for ${request.target}`);
    return pool.send(request, { deadlineMs: 20_000, responseBytes: 1024 });
  });
  const violations: string[] = [];
  const lanes = Math.max(1, Math.ceil((count * setting.idleMs) / SPAN_MS));
  let left = count;
  await Promise.all(
    Array.from({ length: lanes }, async (_, n) => {
      const random = new Random(seed * 10_000 + n);
      const target = `/lane/${n}`;
      const pool = createUpstream({ url: upstream.url, connectTimeoutMs: 5000, connections: 1 });
      t.teardown(() => pool.close());
      laneOf.set(target, pool);
      for (let turn = 0; left > 0; turn += 1) {
        left -= 1;
        const told = await line.ask({ target, key: `lane-${n}-${turn}`, body: "{}" });
        if (told.status !== 201) {
          const { idleMs, announced } = setting;
          violations.push(
            `upstream that closes after ${idleMs} ms, ${announced ? "" : "not "}announced: lane ${n}, request ${turn}: ${told.status} ${told.header("idempotency-status")} ${told.report.cause}`,
          );
        }
        if (left > 0) await pause(gapMs(setting, random));
      }
    }),
  );
  if (upstream.requests() !== count) {
    violations.push(`${upstream.requests()} requests reached the upstream instead of ${count}`);
  }
  const { connections, closed } = upstream;
  return { done: count, violations, connections: connections(), closed: closed() };
}

/** Most of them right where the upstream closes the connection, or where the gateway itself does. */
export function gapMs({ idleMs, announced }: Setting, random: Random): number {
  if (random.chance(0.4)) return idleMs + random.between(-4, 4);
  if (random.chance(0.3)) return (announced ? idleMs - 1000 : 500) + random.between(-4, 4);
  return random.between(idleMs * 0.3, idleMs * 1.5);
}

export interface ClosingUpstream {
  readonly url: string;
  readonly port: number;
  readonly requests: () => number;
  readonly connections: () => number;
  /** Those that it has closed because they were idle. */
  readonly closed: () => number;
}

/** Answers 201 to requests with a body of two bytes, and closes connections that have been idle that long. */
export async function startClosingUpstream(
  t: Teardown,
  { idleMs, announced }: Setting,
): Promise<ClosingUpstream> {
  let requests = 0;
  let connections = 0;
  let closed = 0;
  const sockets = new Set<net.Socket>();
  const hint = announced ? `Keep-Alive: timeout=${idleMs / 1000}\r\n` : "";
  const server = net.createServer({ noDelay: true }, (socket) => {
    connections += 1;
    sockets.add(socket);
    let text = "";
    let idle: NodeJS.Timeout | undefined;
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      clearTimeout(idle);
      sockets.delete(socket);
    });
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      if (end < 0 || text.length < end + 6) return;
      text = text.slice(end + 6);
      clearTimeout(idle);
      // A server that has begun to close takes no more requests: it never reads them.
      if (socket.writableEnded) return;
      requests += 1;
      socket.write(
        `HTTP/1.1 201 Created\r\nConnection: keep-alive\r\n${hint}Content-Length: 2\r\n\r\nok`,
      );
      idle = setTimeout(() => {
        closed += 1;
        socket.end();
      }, idleMs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((done) => server.close(done));
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requests: () => requests,
    connections: () => connections,
    closed: () => closed,
  };
}
