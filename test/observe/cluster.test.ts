import { execFileSync } from "node:child_process";
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import t, { type Test } from "tap";
import { createClusterMetrics } from "../../src/observe/cluster.ts";
import type { Work } from "./fixtures/worker.ts";
import { RUNS_TYPESCRIPT } from "../support/bare-node.ts";

cluster.setupPrimary({
  exec: new URL("./fixtures/worker.ts", import.meta.url).pathname,
  execArgv: [RUNS_TYPESCRIPT],
  serialization: "advanced",
});

const EXECUTED =
  'idempotency_gateway_requests_total{route="charges",method="POST",outcome="executed"}';
const IN_FLIGHT = "idempotency_gateway_in_flight";
const ANSWERING = 'idempotency_gateway_workers{state="answering"}';
const SILENT = 'idempotency_gateway_workers{state="silent"}';

/** Listens all the time: a worker that was stopped says several things in one go. */
function say(worker: Worker, word: string): Promise<void> {
  return new Promise((resolve) => {
    const look = (message: unknown): void => {
      if (message !== word) return;
      worker.off("message", look);
      resolve();
    };
    worker.on("message", look);
  });
}

async function fork(t: Test): Promise<Worker> {
  const worker = cluster.fork();
  t.teardown(() => end(worker));
  await say(worker, "ready");
  return worker;
}

async function end(worker: Worker): Promise<void> {
  if (worker.isDead()) return;
  const exit = once(worker, "exit");
  worker.process.kill("SIGKILL");
  await exit;
}

async function work(worker: Worker, task: Work): Promise<void> {
  const worked = say(worker, "worked");
  worker.send(task);
  await worked;
}

function collect(t: Test, timeoutMs = 10_000) {
  const metrics = createClusterMetrics({ timeoutMs });
  t.teardown(() => metrics.close());
  return async () => {
    const { body } = await metrics.exposition();
    const value = (name: string): number => {
      const line = body.split("\n").find((sample) => sample.startsWith(`${name} `));
      return Number(line?.slice(name.length + 1));
    };
    return { body, value };
  };
}

t.test("one scrape tells the sum of two workers", async (t) => {
  const scrape = collect(t);
  const [one, two] = await Promise.all([fork(t), fork(t)]);
  await work(one, { begin: 3, end: 1 });
  await work(two, { begin: 5, end: 2 });
  const { body, value } = await scrape();
  t.equal(value(EXECUTED), 3);
  t.equal(value(IN_FLIGHT), 5);
  t.equal(value(ANSWERING), 2);
  t.equal(value(SILENT), 0);
  const duration = "idempotency_gateway_request_duration_seconds";
  const labels = 'route="charges",outcome="executed"';
  t.equal(value(`${duration}_sum{${labels}}`), 6);
  t.equal(value(`${duration}_bucket{le="2.5",${labels}}`), 3);
  t.equal(
    value(`idempotency_gateway_build_info{version="1.2.3",node="${process.version}"}`),
    1,
    "the build information is not added up",
  );
  const startedSecondsAgo = Date.now() / 1000 - value("process_start_time_seconds");
  t.ok(startedSecondsAgo > 0 && startedSecondsAgo < 120, "a start time, not a sum of start times");
  t.ok(value("process_resident_memory_bytes") > 0);
  execFileSync("test/support/ensure-promtool.sh", { stdio: ["ignore", "ignore", "inherit"] });
  execFileSync("promtool", ["check", "metrics"], { input: body });
});

t.test("counters do not fall when a worker is killed and replaced; gauges do", async (t) => {
  const scrape = collect(t);
  const one = await fork(t);
  const two = await fork(t);
  await work(one, { begin: 7, end: 4 });
  await work(two, { begin: 1, end: 1 });
  t.equal((await scrape()).value(EXECUTED), 5);
  await end(one);
  const without = await scrape();
  t.equal(without.value(EXECUTED), 5);
  t.equal(without.value(IN_FLIGHT), 0, "what the dead worker had in flight is no longer in flight");
  t.equal(without.value(ANSWERING), 1);
  const three = await fork(t);
  await work(three, { begin: 2, end: 2 });
  t.equal((await scrape()).value(EXECUTED), 7);
  await end(two);
  await end(three);
  const empty = await scrape();
  t.equal(empty.value(EXECUTED), 7, "two departed workers are kept as one sum");
  t.equal(empty.value(ANSWERING), 0);
  t.equal((await scrape()).value(EXECUTED), 7);
});

t.test(
  "a stopped worker holds no scrape up, counts as last seen, and is told as silent",
  async (t) => {
    const scrape = collect(t, 400);
    const [one, two] = await Promise.all([fork(t), fork(t)]);
    await work(one, { begin: 2, end: 2 });
    await work(two, { begin: 3, end: 3 });
    t.equal((await scrape()).value(EXECUTED), 5);
    two.process.kill("SIGSTOP");
    await work(one, { begin: 1, end: 1 });
    const startMs = performance.now();
    const { value } = await scrape();
    t.ok(performance.now() - startMs < 5000, "the scrape was answered");
    t.equal(value(EXECUTED), 6);
    t.equal(value(SILENT), 1);
    t.equal(value(ANSWERING), 1);
    two.process.kill("SIGCONT");
    await work(two, { begin: 1, end: 1 });
    const after = await scrape();
    t.equal(after.value(EXECUTED), 7);
    t.equal(after.value(SILENT), 0, "its late answer to the earlier scrape confuses nothing");
  },
);

t.test("a worker that ends in the middle of a scrape does not cost the time-out", async (t) => {
  const scrape = collect(t, 60_000);
  const one = await fork(t);
  const two = await fork(t);
  await work(one, { begin: 1, end: 1 });
  two.process.kill("SIGSTOP");
  const running = scrape();
  await end(two);
  const { value } = await running;
  t.equal(value(EXECUTED), 1);
  t.equal(value(ANSWERING), 1);
  t.equal(value(SILENT), 0);
});

t.test("no worker: an exposition that says so", async (t) => {
  const { value } = await collect(t)();
  t.equal(value(ANSWERING), 0);
});

t.test("scrapes at the same time share one round of questions", async (t) => {
  const metrics = createClusterMetrics({ timeoutMs: 10_000 });
  t.teardown(() => metrics.close());
  const worker = await fork(t);
  let answers = 0;
  worker.on("message", () => (answers += 1));
  const bodies = await Promise.all(Array.from({ length: 20 }, () => metrics.exposition()));
  t.equal(answers, 1);
  t.equal(new Set(bodies.map(({ body }) => body)).size, 1);
});
