/**
 * Slow connections of five kinds at once, by slowhttptest and by sockets that say nothing, against the built gateway,
 * while ordinary clients go on. What counts is what those are told.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { BatchResult } from "../proof/row.ts";
import { call } from "../support/client.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { startUpstream, writeAnswer } from "../support/upstream.ts";

const KINDS = 5;
/** Healthy requests per second: enough to be told apart from luck, and mostly idle. */
const PER_SECOND = 40;
const PATIENCE_MS = 5000;

/** `count` connections: 500 are held for 20 s, thousands for 240 s. */
export function runSlow(_first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const seconds = count > 1000 ? 240 : 20;
    const upstream = await startUpstream(t);
    const large = Buffer.alloc(256 * 1024, "x");
    upstream.respond(({ method }, _req, res) =>
      writeAnswer(res, method === "GET" ? { body: large } : { status: 201, body: "made" }),
    );
    const gateway = await startGatewayProcess(t, [
      ...configured(t, {
        upstream: { url: upstream.url, timeout: "10s" },
        store: { url: "memory:" },
        // The slow uploads that a claim would wait for: all under one key, which none of them ever takes.
        routes: [
          {
            name: "slow",
            match: { methods: ["POST"], path: "/slow" },
            key: { from: "query", name: "key", required: true },
          },
        ],
      }),
    ]);
    const each = Math.ceil(count / KINDS);
    const over = Date.now() + seconds * 1000;
    const held = [
      slowhttptest(t, each, seconds, ["-H", "-i", "2", "-u", `${gateway.url}/`]),
      slowhttptest(t, each, seconds, [
        "-B",
        "-i",
        "2",
        "-s",
        "8192",
        "-u",
        `${gateway.url}/slow?key=1`,
      ]),
      slowhttptest(t, each, seconds, [
        "-B",
        "-i",
        "2",
        "-s",
        "8192",
        "-u",
        `${gateway.url}/passed`,
      ]),
      slowhttptest(t, each, seconds, [
        "-X",
        "-w",
        "64",
        "-y",
        "128",
        "-n",
        "2",
        "-u",
        `${gateway.url}/`,
      ]),
      idleFlood(t, gateway.url, count - (KINDS - 1) * each, over),
    ];
    const healthy = await goOn(t, gateway.url, over);
    const peaks = await Promise.all(held);
    const answered = healthy.asked - healthy.violations.length;
    const isEnough = count > 1000 && answered >= healthy.asked * 0.999;
    const violations = isEnough ? [] : [...healthy.violations];
    const made = upstream.calls.filter(({ url }) => url === "/healthy").length;
    // One that was not answered may have been executed.
    if (made < answered || made > healthy.asked) {
      violations.push(`${made} of ${healthy.asked} were executed, and ${answered} answered`);
    }
    const peak = peaks.reduce((total, one) => total + one, 0);
    if (peak < count * 0.9)
      violations.push(`only ${peaks.join(" + ")} of ${count} connections stood`);
    return {
      done: count,
      violations,
      counts: { healthy: healthy.asked, answered, connectionsAtOnce: peak },
      peaks: { slowestMs: Math.round(healthy.slowestMs) },
    };
  });
}

/** Runs it for that long, and resolves with how many of its connections stood at once, at most. */
async function slowhttptest(
  t: Teardown,
  connections: number,
  seconds: number,
  args: readonly string[],
): Promise<number> {
  const rate = String(Math.max(50, Math.ceil(connections / 5)));
  const all = ["-c", String(connections), "-r", rate, "-l", String(seconds), "-p", "10", ...args];
  // A process starts with the soft limit, which may be too low for thousands of sockets.
  const child = spawn(
    "sh",
    ["-c", 'ulimit -n "$(ulimit -Hn)"; exec slowhttptest "$@"', "sh", ...all],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  t.teardown(() => child.kill("SIGKILL"));
  let peak = 0;
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString("latin1")).slice(-4000);
    // Between the word and its number there are colours.
    for (const [, connected] of said
      .replaceAll(/\[[\d;]*m/gu, "")
      .matchAll(/connected:\D*(\d+)/gu)) {
      peak = Math.max(peak, Number(connected));
    }
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`slowhttptest ended with ${code}:\n${said}`);
  return peak;
}

/** Connections that say nothing, opened again when they are closed. */
async function idleFlood(t: Teardown, url: string, count: number, over: number): Promise<number> {
  const { port, hostname } = new URL(url);
  const sockets = new Set<net.Socket>();
  let peak = 0;
  const open = (): void => {
    const socket = net.connect(Number(port), hostname, () => {
      sockets.add(socket);
      peak = Math.max(peak, sockets.size);
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      if (Date.now() < over) open();
    });
  };
  t.teardown(() => sockets.forEach((socket) => socket.destroy()));
  for (let n = 0; n < count; n += 1) open();
  await pause(Math.max(0, over - Date.now()));
  return peak;
}

/** Ordinary guarded requests at an even rate, each with a key of its own, over a few connections. */
async function goOn(
  t: Teardown,
  url: string,
  over: number,
): Promise<{
  readonly asked: number;
  readonly slowestMs: number;
  readonly violations: readonly string[];
}> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  t.teardown(() => agent.destroy());
  const violations: string[] = [];
  const running: Promise<void>[] = [];
  let asked = 0;
  let slowestMs = 0;
  const ask = async (n: number): Promise<void> => {
    const startedMs = performance.now();
    const headers = { "Idempotency-Key": `healthy-${n}`, "Content-Type": "application/json" };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const told = await call(`${url}/healthy`, {
      method: "POST",
      body: "{}",
      headers,
      agent,
      signal,
    }).then(
      ({ status }) => String(status),
      (error: unknown) => String(error),
    );
    slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    if (told !== "201") violations.push(`healthy request ${n}: ${told}`);
  };
  while (Date.now() < over) {
    asked += 1;
    running.push(ask(asked));
    await pause(1000 / PER_SECOND);
  }
  await Promise.all(running);
  return { asked, slowestMs, violations };
}
