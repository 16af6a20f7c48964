/** The graceful stop: nothing that runs is cut, nothing new is taken, and it ends within a bound whatever happens. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import t, { type Test } from "tap";
import { WebSocket, WebSocketServer } from "ws";
import { call, type Answer, type CallOptions } from "../support/client.ts";
import { tempDir } from "../support/gateway.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "../support/upstream.ts";
import { ask, exchangeWith, gatewayOn } from "./store-places.ts";

const UPSTREAM_TIMEOUT_MS = 1500;

function post({ url }: GatewayProcess, key: string, more: CallOptions = {}): Promise<Answer> {
  const headers = { "Idempotency-Key": key };
  return call(`${url}/charges`, { method: "POST", headers, body: "x", ...more });
}

async function start(q: Test, upstream: TestUpstream, workers: string, timeoutMs = 30_000) {
  const timeout = `${timeoutMs}ms`;
  const again = await gatewayOn(t, q, "embedded", upstream, {
    upstream: { url: upstream.url, timeout, connectTimeout: "1s" },
  });
  const gateway = await again("--workers", workers);
  return { gateway, again };
}

/** What a new connection meets. */
async function connecting(gateway: GatewayProcess): Promise<string> {
  const { hostname, port } = new URL(gateway.url);
  const socket = net.connect(Number(port), hostname);
  try {
    await once(socket, "connect");
    return "connected";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "failed";
  } finally {
    socket.destroy();
  }
}

for (const workers of ["1", "2"]) {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    t.test(`${workers} worker(s), ${signal} to all under load: no call is cut`, async (q) => {
      const upstream = await startUpstream(q);
      upstream.respond((seen, _req, res) =>
        writeAnswer(res, { status: 201, body: `answer to ${seen.all("idempotency-key")[0]}` }),
      );
      const { gateway, again } = await start(q, upstream, workers);
      const gate = upstream.hold();
      const calls = Array.from({ length: 40 }, (_, n) => post(gateway, `load-${n}`));
      await upstream.arrived(40);
      // To the primary and its workers at once, as Ctrl-C in a terminal and service managers do.
      gateway.signalAll(signal);
      await gateway.line("stopping");

      const unready = await ask(
        () => call(`${gateway.admin}/readyz`),
        ({ status }) => status === 503,
      );
      q.match(String(unready.body), /draining/);
      const scrape = await call(`${gateway.admin}/metrics`);
      q.match(String(scrape.body), /^idempotency_gateway_ready 0$/m, "the alert goes by it");
      q.equal((await call(`${gateway.admin}/livez`)).status, 200, "alive while it drains");
      await ask(
        () => connecting(gateway),
        (met) => met === "ECONNREFUSED",
      );
      gate.release();
      const answers = await Promise.all(calls);
      q.same(new Set(answers.map(({ status }) => status)), new Set([201]));
      q.same(
        new Set(answers.map((answer) => answer.header("idempotency-status"))),
        new Set(["executed"]),
      );
      q.equal(await gateway.ended, 0, "exit code");
      q.match(gateway.output.at(-1), /"stopped"/);
      q.same(gateway.stderr, []);

      const next = await again();
      for (const [n, { body }] of answers.entries()) {
        const replay = await post(next, `load-${n}`);
        if (replay.header("idempotent-replayed") !== "true" || !replay.body.equals(body)) {
          q.fail(`load-${n} was not recorded`);
        }
      }
      q.equal(upstream.count(), 40, "upstream calls");
    });
  }

  t.test(`${workers} worker(s): what was sent before the signal is answered`, async (q) => {
    const upstream = await startUpstream(q);
    const { gateway } = await start(q, upstream, workers);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    q.teardown(() => agent.destroy());
    q.equal((await post(gateway, "before", { agent })).status, 200);
    // It takes nothing while it stands still: connections and bytes wait in the operating system.
    gateway.signalAll("SIGSTOP");
    const sent: Promise<void>[] = [];
    const calls = Array.from({ length: 30 }, (_, n) => {
      let onSent = (): void => undefined;
      sent.push(new Promise((resolve) => (onSent = resolve)));
      // The first goes over the connection that is there and idle.
      return post(gateway, `waiting-${n}`, n === 0 ? { agent, onSent } : { onSent });
    });
    await Promise.all(sent);
    gateway.signalAll("SIGTERM");
    gateway.signalAll("SIGCONT");
    const answers = await Promise.all(calls);
    const told = answers.map((answer) => answer.header("idempotency-status"));
    q.same(new Set(told), new Set(["executed"]));
    q.equal(await gateway.ended, 0, "exit code");
    q.equal(upstream.count(), 31, "upstream calls");
  });

  t.test(
    `${workers} worker(s): an upstream that never answers does not hold the stop up`,
    async (q) => {
      const upstream = await startUpstream(q);
      upstream.hold();
      const { gateway, again } = await start(q, upstream, workers, UPSTREAM_TIMEOUT_MS);
      const hanging = post(gateway, "hangs");
      await upstream.arrived(1);
      const askedMs = performance.now();
      q.equal(await gateway.end("SIGTERM"), 0, "exit code");
      q.ok(
        performance.now() - askedMs < UPSTREAM_TIMEOUT_MS + 5000,
        "within the upstream's deadline",
      );
      const answer = await hanging;
      q.same([answer.status, answer.json()["code"]], [504, "outcome-unknown"]);
      const retry = await post(await again(), "hangs");
      q.same([retry.status, retry.json()["code"]], [409, "outcome-unknown"]);
      q.equal(upstream.count(), 1, "upstream calls");
    },
  );

  t.test(
    `${workers} worker(s): an open WebSocket and an event stream end within the bound`,
    async (q) => {
      const sockets = new WebSocketServer({ noServer: true });
      const upstream = await startUpstream(q, {
        onUpgrade: (req, socket, head) =>
          sockets.handleUpgrade(req, socket, head, (ws) =>
            ws.on("message", (data) => ws.send(data)),
          ),
        respond: (_call, _req, res) => {
          res.writeHead(200, { "Content-Type": "text/event-stream" });
          res.write("data: 1\n\n");
        },
      });
      const { gateway, again } = await start(q, upstream, workers, UPSTREAM_TIMEOUT_MS);
      const ws = new WebSocket(gateway.url.replace("http", "ws"));
      q.teardown(() => ws.terminate());
      const closed = new Promise((resolve) => ws.once("close", resolve));
      await once(ws, "open");
      ws.send("echo");
      const [echoed] = (await once(ws, "message")) as [Buffer];
      q.equal(String(echoed), "echo");
      // One stream that passes through, one that is guarded.
      const streams = [
        call(`${gateway.url}/events`),
        call(`${gateway.url}/events`, { method: "POST", headers: { "Idempotency-Key": "stream" } }),
      ].map((stream) => stream.catch(() => "cut"));
      await upstream.arrived(2);

      const askedMs = performance.now();
      q.equal(await gateway.end("SIGTERM"), 0, "exit code");
      q.ok(performance.now() - askedMs < 2 * UPSTREAM_TIMEOUT_MS + 5000, "within the bound");
      await closed;
      q.same(
        await Promise.all(streams),
        ["cut", "cut"],
        "an unfinished stream is not told as whole",
      );
      const retry = await call(`${(await again()).url}/events`, {
        method: "POST",
        headers: { "Idempotency-Key": "stream" },
      });
      q.same([retry.status, retry.json()["code"]], [409, "not-replayable"]);
      q.equal(upstream.count(), 3, "upstream calls, the upgrade included");
    },
  );

  t.test(`${workers} worker(s): a second signal ends it without waiting, exit 1`, async (q) => {
    const upstream = await startUpstream(q);
    const gate = upstream.hold();
    const { gateway, again } = await start(q, upstream, workers);
    const running = post(gateway, "impatient").catch(() => "cut");
    await upstream.arrived(1);
    gateway.signal("SIGINT");
    await gateway.line("stopping");
    gateway.signal("SIGINT");
    await gateway.line("second signal: ending without waiting");
    if (workers === "2") {
      // The primary is gone; its workers finish what they have, and then there is nothing left.
      gate.release();
      q.equal(((await running) as Answer).status, 200);
    }
    q.equal(await gateway.ended, 1, "exit code");
    const retry = await post(await again(), "impatient");
    if (workers === "2") q.equal(retry.header("idempotent-replayed"), "true");
    else q.same([retry.status, retry.json()["code"]], [409, "in-flight"]);
    q.equal(upstream.count(), 1, "upstream calls");
  });
}

/** Opens the store beside the gateway, begins to write, and stands still. */
const HOLDER = `
  import { open } from "lmdb";
  const env = open({ path: process.argv[1], encoding: "binary", maxDbs: 8, overlappingSync: false });
  env.transactionSync(() => {
    process.stdout.write("writing");
    process.kill(process.pid, "SIGSTOP");
  });
`;

t.test("a stop ends although another process holds the embedded store", async (q) => {
  const upstream = await startUpstream(q);
  const url = `file:${tempDir(q)}`;
  const config = configured(q, { upstream: { url: upstream.url, timeout: "2s" }, store: { url } });
  const gateway = await startGatewayProcess(q, config);
  const dir = url.slice("file:".length);
  const args = ["--input-type=module", "--eval", HOLDER, dir];
  const holder = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  q.teardown(() => holder.kill("SIGKILL"));
  await once(holder.stdout, "data");
  const refused = await post(gateway, "held-up");
  q.same([refused.status, refused.json()["code"]], [503, "store-unavailable"]);

  q.equal(await gateway.end("SIGTERM"), null, "by its own signal");
  const failed = await gateway.line("the store cannot be closed: ending without it");
  q.match(failed["error"], { code: "STORE_UNAVAILABLE" });
  q.same(
    gateway.output.filter((line) => line.includes("background work failed")),
    [],
  );
  holder.kill("SIGCONT");
  await once(holder, "exit");
  const retry = await post(await startGatewayProcess(q, config), "held-up");
  q.equal(retry.header("idempotency-status"), "executed");
  q.equal(upstream.count(), 1, "upstream calls");
});

t.test(
  "a client that keeps its connection is told to close it, and its last call is answered",
  async (q) => {
    const upstream = await startUpstream(q);
    const { gateway } = await start(q, upstream, "1");
    const gate = upstream.hold();
    const agent = new http.Agent({ keepAlive: true });
    q.teardown(() => agent.destroy());
    const running = post(gateway, "keeps-alive", { agent });
    await upstream.arrived(1);
    const ended = gateway.end("SIGTERM");
    await gateway.line("stopping");
    gate.release();
    const answer = await running;
    q.equal(answer.header("connection"), "close");
    q.equal(answer.status, 200);
    await gateway.lines(1, exchangeWith("executed"));
    q.equal(await ended, 0);
    q.equal(upstream.count(), 1, "upstream calls");
  },
);
