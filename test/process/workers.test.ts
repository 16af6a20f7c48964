/** Several workers behave as one gateway: whichever takes the request, and whichever is killed. */
import { mkdirSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import http from "node:http";
import { hostname } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { call, type Answer, type CallOptions } from "../support/client.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
  type Line,
} from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startUpstream } from "../support/upstream.ts";
import { ask, exchangeWith, gatewayOn, LASTING } from "./store-places.ts";

const listening = (line: Line): boolean => line["msg"] === "worker listening";

function post({ url }: { readonly url: string }, key: string, more: CallOptions = {}) {
  const headers = { "Idempotency-Key": key };
  return call(`${url}/charges`, { method: "POST", headers, body: "amount=100", ...more });
}

/** A sum over all series of a metric whose labels contain `labels`. */
async function metric(gateway: GatewayProcess, name: string, labels = ""): Promise<number> {
  const lines = String((await call(`${gateway.admin}/metrics`)).body).split("\n");
  return lines
    .filter((line) => line.startsWith(name) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** Two connections that lead to different workers: which of them takes one is chance, so it is looked up. */
async function connections(q: Test, gateway: GatewayProcess): Promise<readonly http.Agent[]> {
  const byWorker = new Map<unknown, http.Agent>();
  for (let n = 0; byWorker.size < 2; n += 1) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    q.teardown(() => agent.destroy());
    // Refused for its key, so that the upstream does not hear of it; without a body, so that its connection stays.
    const headers = { "Idempotency-Key": '""' };
    await call(`${gateway.url}/probe-${n}`, { method: "POST", headers, agent });
    const [line] = await gateway.lines(1, ({ path }) => path === `/probe-${n}`);
    byWorker.set(line?.["worker"], agent);
  }
  return [...byWorker.values()];
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

t.test("no client waits for a worker that dies before it has its connection", async (q) => {
  const upstream = await startUpstream(q);
  const start = await gatewayOn(t, q, "embedded", upstream);
  const gateway = await start("--workers", "2");
  const [doomed] = await gateway.lines(2, listening);
  process.kill(Number(doomed?.["pid"]), "SIGSTOP");
  const calls = Array.from({ length: 20 }, (_, n) => post(gateway, `early-${n}`));
  await gateway.lines(1, exchangeWith("executed"));
  process.kill(Number(doomed?.["pid"]), "SIGKILL");
  const answers = await Promise.all(calls);
  const told = answers.map((answer) => answer.header("idempotency-status"));
  q.same(new Set(told), new Set(["executed"]));
  q.equal(upstream.count(), 20, "upstream calls");
});

t.test("a worker that is stopped holds no look at a record up, and is counted in it", async (q) => {
  const upstream = await startUpstream(q, { answer: { status: 201 } });
  const start = await gatewayOn(t, q, "embedded", upstream);
  const gateway = await start("--workers", "2");
  const [one, two] = await connections(q, gateway);
  const first = await post(gateway, "a", { agent: one! });
  for (const agent of [one!, two!]) {
    const again = await post(gateway, "a", { agent });
    q.equal(again.header("idempotency-status"), "replayed");
  }
  const look = async () => {
    const id = first.header("idempotency-record") ?? "";
    const { replays, silentProcesses } = (await call(`${gateway.admin}/v1/records/${id}`)).json();
    return { replays: replays as readonly object[], silentProcesses };
  };
  const [stopped, other] = (await gateway.lines(2, listening)).map(({ pid }) => Number(pid));
  process.kill(stopped!, "SIGSTOP");
  const sinceMs = performance.now();
  const by = `${hostname()}/${other}`;
  for (const { replays, silentProcesses } of await Promise.all(Array.from({ length: 40 }, look))) {
    q.match(replays, [{ by, count: 1 }]);
    q.same([replays.length, silentProcesses], [1, 1]);
  }
  q.ok(performance.now() - sinceMs < 4000, "a second, and what 40 requests take");

  process.kill(stopped!, "SIGCONT");
  const both = await ask(look, ({ silentProcesses }) => silentProcesses === undefined);
  q.equal(both.replays.length, 2, "what comes late is not counted as of another question");
  process.kill(stopped!, "SIGSTOP");
  const last = look();
  process.kill(stopped!, "SIGKILL");
  q.match(await last, { replays: [{ by, count: 1 }], silentProcesses: undefined }, "it has ended");
  q.equal(await gateway.end("SIGTERM"), 0);
  q.notMatch(gateway.stderr.join("\n"), /MaxListenersExceededWarning/);
  q.equal(upstream.count(), 1, "upstream calls");
});

for (const store of LASTING) {
  t.test(
    `${store}: one worker executes, the other replays, and the metrics are sums`,
    async (q) => {
      const upstream = await startUpstream(q, { answer: { status: 201 } });
      const start = await gatewayOn(t, q, store, upstream);
      const gateway = await start("--workers", "2");
      const [one, two] = await connections(q, gateway);
      for (let n = 0; n < 10; n += 1) {
        const [first, second] = n % 2 === 0 ? [one, two] : [two, one];
        await post(gateway, `shared-${n}`, { agent: first! });
        const replay = await post(gateway, `shared-${n}`, { agent: second! });
        q.equal(replay.header("idempotency-status"), "replayed");
      }
      const executed = await gateway.lines(10, exchangeWith("executed"));
      const replayed = await gateway.lines(10, exchangeWith("replayed"));
      for (const { recordId, worker } of executed) {
        const other = replayed.find((line) => line["recordId"] === recordId);
        q.notSame(other?.["worker"], worker, "executed and replayed by different workers");
      }
      await post(gateway, "shared-0", { agent: one! });
      await post(gateway, "shared-0", { agent: two! });
      const { recordId, worker: owner } = executed[0] ?? {};
      const record = (await call(`${gateway.admin}/v1/records/${String(recordId)}`)).json();
      const names = new Map(
        (await gateway.lines(2, listening)).map(({ worker, pid }) => [
          worker,
          `${hostname()}/${String(pid)}`,
        ]),
      );
      q.equal(record["claimedBy"], names.get(owner));
      const replays = record["replays"] as readonly { by: string; count: number }[];
      q.same(
        new Map(replays.map(({ by, count }) => [by, count])),
        new Map([...names].map(([worker, by]) => [by, worker === owner ? 1 : 2])),
      );
      const total = "idempotency_gateway_requests_total";
      q.equal(await metric(gateway, total, 'outcome="executed"'), 10);
      q.equal(await metric(gateway, total, 'outcome="replayed"'), 12);
      q.equal(upstream.count(), 10, "upstream calls");
    },
  );

  // A waiter looks by itself every 100 ms on the embedded store and every 1000 ms on Redis: half of that on average.
  t.test(
    `${store}: a duplicate that waits at the other worker is woken, not polled for`,
    async (q) => {
      const upstream = await startUpstream(q, { answer: { status: 201, body: "once" } });
      const start = await gatewayOn(t, q, store, upstream, { defaults: { onInFlight: "wait" } });
      const gateway = await start("--workers", "2");
      const [one, two] = await connections(q, gateway);
      const latencies: number[] = [];
      for (let n = 1; n <= 15; n += 1) {
        const gate = upstream.hold();
        const timed = async (agent: http.Agent): Promise<readonly [Answer, number]> => {
          const answer = await post(gateway, `wait-${n}`, { agent });
          return [answer, performance.now()];
        };
        const owner = timed(one!);
        await upstream.arrived(n);
        const waiter = timed(two!);
        await ask(
          () => metric(gateway, "idempotency_gateway_in_flight"),
          (inFlight) => inFlight === 2,
        );
        gate.release();
        const [[executed, executedMs], [replayed, replayedMs]] = await Promise.all([owner, waiter]);
        q.same(
          [executed, replayed].map((answer) => answer.header("idempotency-status")),
          ["executed", "replayed"],
        );
        q.ok(executed.body.equals(replayed.body));
        latencies.push(replayedMs - executedMs);
      }
      q.equal(await metric(gateway, "idempotency_gateway_in_flight"), 0);
      const told = latencies.map((ms) => ms.toFixed(1)).join(", ");
      q.comment(`woken after (ms): ${told}; median ${median(latencies).toFixed(1)}`);
      q.ok(median(latencies) < 40, "woken by notification");
      q.equal(upstream.count(), 15, "upstream calls");
    },
  );

  t.test(`${store}: kill -9 of one worker of two: replaced, and service goes on`, async (q) => {
    const upstream = await startUpstream(q, { answer: { status: 201 } });
    const start = await gatewayOn(t, q, store, upstream);
    const gateway = await start("--workers", "2");
    const [one, two] = await connections(q, gateway);
    await post(gateway, "before", { agent: one! });
    const gate = upstream.hold();
    // With its connection, this call belongs to the worker that will be killed.
    const victim = post(gateway, "victim", { agent: two! }).catch(() => "cut off");
    await upstream.arrived(2);
    const [before] = await gateway.lines(1, exchangeWith("executed"));
    const workers = await gateway.lines(2, listening);
    const killed = workers.find(({ worker }) => worker !== before?.["worker"]);
    process.kill(Number(killed?.["pid"]), "SIGKILL");
    q.equal(await victim, "cut off");
    gate.release();

    await gateway.line("worker ended; starting another");
    const unready = await call(`${gateway.admin}/readyz`);
    q.equal(unready.status, 503);
    q.match(String(unready.body), /1 of 2 workers not listening/);
    for (const key of ["before", "between"]) {
      const answer = await post(gateway, key);
      q.equal(answer.header("idempotency-status"), key === "before" ? "replayed" : "executed");
    }
    const busy = await post(gateway, "victim");
    q.same([busy.status, busy.json()["code"]], [409, "in-flight"]);

    const [, , replacement] = await gateway.lines(3, listening);
    await ask(
      () => call(`${gateway.admin}/readyz`),
      ({ status }) => status === 200,
    );
    await ask(
      () => post(gateway, "before"),
      () =>
        gateway.output.some((line) =>
          line.includes(`"worker":${String(replacement?.["worker"])},"route"`),
        ),
    );
    q.equal(upstream.count(), 3, "upstream calls");
    q.equal(await gateway.end("SIGTERM"), 0);
  });

  t.test(
    `${store}: kill -9 of the primary: workers finish, record and end; another starts`,
    async (q) => {
      const upstream = await startUpstream(q, { answer: { status: 201, body: "once" } });
      const gate = upstream.hold();
      const start = await gatewayOn(t, q, store, upstream);
      const gateway = await start("--workers", "2");
      const running = post(gateway, "orphaned");
      await upstream.arrived(1);
      gateway.signal("SIGKILL");

      // The port is free at once, although the worker is still busy with its call.
      const at = new URL(gateway.url).host;
      const next = await ask(
        () => start("--workers", "2", "--listen", at).catch(() => undefined),
        (started) => started !== undefined,
      );
      q.equal(next?.url, gateway.url);
      const busy = await post(gateway, "orphaned");
      q.same([busy.status, busy.json()["code"]], [409, "in-flight"]);

      gate.release();
      const answer = await running;
      q.same([answer.status, answer.header("idempotency-status")], [201, "executed"]);
      q.equal(await gateway.ended, null, "killed, and no worker is left");
      const replay = await post(gateway, "orphaned");
      q.same([String(replay.body), replay.header("idempotency-status")], ["once", "replayed"]);
      q.equal(upstream.count(), 1, "upstream calls");
    },
  );
}

t.test("a worker that is replaced opens no other store than the others have", async (q) => {
  const upstream = await startUpstream(q);
  const dir = join(tempDir(q), "store");
  const config = configured(q, {
    listen: { host: "127.0.0.1", port: 0 },
    admin: { host: "127.0.0.1", port: 0 },
    upstream: { url: upstream.url },
    store: { url: `file:${dir}` },
    workers: 2,
  });
  const gateway = await startGatewayProcess(q, config);
  q.equal((await post(gateway, "a")).header("idempotency-status"), "executed");
  const [doomed] = await gateway.lines(2, listening);

  renameSync(dir, `${dir}.away`);
  mkdirSync(dir);
  process.kill(Number(doomed?.["pid"]), "SIGKILL");
  await gateway.line("worker did not start");
  for (let n = 0; n < 5; n += 1) q.equal((await post(gateway, "a")).status, 503);
  q.equal(upstream.count(), 1, "nobody executes what was executed");
  q.same(readdirSync(dir), [], "no other store was made");

  rmdirSync(dir);
  renameSync(`${dir}.away`, dir);
  await gateway.lines(3, listening);
  for (let n = 0; n < 5; n += 1) {
    q.equal((await post(gateway, "a")).header("idempotency-status"), "replayed");
  }
  q.equal(upstream.count(), 1, "upstream calls");
});
