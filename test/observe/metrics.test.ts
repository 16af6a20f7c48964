import { execFile, execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import t from "tap";
import type { ExchangeReport } from "../../src/core/ports.ts";
import { STORE_OPERATIONS } from "../../src/core/outcome.ts";
import { Replays } from "../../src/observe/replays.ts";
import { createMetrics, type Metrics } from "../../src/observe/metrics.ts";
import type { Exposition } from "../../src/observe/snapshots.ts";
import { createHandMetrics } from "../../src/observe/by-hand.ts";
import { withReadiness } from "../../src/observe/readiness.ts";
import { createReloadMetrics } from "../../src/observe/reloads.ts";
import { createWebhookMetrics } from "../../src/observe/webhook.ts";

const REPORT: ExchangeReport = {
  route: "charges",
  method: "POST",
  path: "/v1/charges",
  outcome: "executed",
  status: 201,
  durationMs: 12,
};

const UNKNOWN = { recordId: "0".repeat(64), method: "POST", fence: 1, attempt: "a".repeat(32) };

function metrics(routes: readonly string[] = ["charges", "orders"]): Metrics {
  return createMetrics({ version: "1.2.3", routes });
}

/** Every sample line of the gateway's own metrics. */
async function series(of: Metrics): Promise<readonly string[]> {
  const { body } = await of.exposition();
  return body.split("\n").filter((line) => line.startsWith("idempotency_gateway_"));
}

async function value(of: Metrics, name: string): Promise<number | undefined> {
  const line = (await series(of)).find((sample) => sample.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

const names = (lines: readonly string[]) =>
  lines.map((line) => line.slice(0, line.lastIndexOf(" ")));

function touchAll(of: Metrics): void {
  of.began()();
  of.finished({ ...REPORT, upstreamMs: 5, wouldBe: "replayed" });
  of.unknownOutcome({ ...UNKNOWN, route: "charges", reason: "reset" });
  of.recordedBytes(5);
  for (const operation of STORE_OPERATIONS) {
    of.lostWrite(operation);
    of.storeCall(operation, 0.002, false);
  }
}

t.test(
  "an exchange is counted by route, method and outcome, and its times are observed",
  async (t) => {
    const of = metrics();
    const ended = [of.began(), of.began()];
    t.equal(await value(of, "idempotency_gateway_in_flight"), 2);
    of.finished({ ...REPORT, upstreamMs: 7 });
    of.finished({ ...REPORT, outcome: "replayed" });
    for (const end of ended) end();
    t.equal(await value(of, "idempotency_gateway_in_flight"), 0);
    const labels = 'route="charges",method="POST",outcome=';
    t.equal(await value(of, `idempotency_gateway_requests_total{${labels}"executed"}`), 1);
    t.equal(await value(of, `idempotency_gateway_requests_total{${labels}"replayed"}`), 1);
    const duration = "idempotency_gateway_request_duration_seconds";
    t.equal(await value(of, `${duration}_sum{route="charges",outcome="executed"}`), 0.012);
    const upstream = "idempotency_gateway_upstream_duration_seconds";
    t.equal(await value(of, `${upstream}_count{route="charges"}`), 1, "the replay had no upstream");
    t.equal(await value(of, `${upstream}_sum{route="charges"}`), 0.007);
  },
);

t.test("a shadow route's exchange also counts what it would have been", async (t) => {
  const of = metrics();
  of.began()();
  of.finished({ ...REPORT, outcome: "shadow", wouldBe: "key-reused" });
  const shadow = 'idempotency_gateway_shadow_total{route="charges",outcome="key-reused"}';
  t.equal(await value(of, shadow), 1);
});

t.test("what alerts watch is there at 0 before anything happened", async (t) => {
  const of = metrics();
  for (const operation of ["claim", "complete", "release", "mark-unknown"]) {
    for (const name of ["lost_writes", "store_errors"]) {
      const counter = `idempotency_gateway_${name}_total{operation="${operation}"}`;
      t.equal(await value(of, counter), 0, counter);
    }
  }
  for (const route of ["charges", "orders", "default", "none"]) {
    for (const reason of ["timeout", "reset", "truncated", "crash"]) {
      const labels = `{route="${route}",reason="${reason}"}`;
      t.equal(await value(of, `idempotency_gateway_unknown_outcomes_total${labels}`), 0, labels);
    }
  }
});

t.test(
  "writes lost, outcomes unknown, bytes recorded and store failures are counted",
  async (t) => {
    const of = metrics();
    touchAll(of);
    of.recordedBytes(37);
    t.equal(await value(of, 'idempotency_gateway_lost_writes_total{operation="complete"}'), 1);
    t.equal(await value(of, 'idempotency_gateway_store_errors_total{operation="mark-unknown"}'), 1);
    t.equal(await value(of, "idempotency_gateway_recorded_bytes_total"), 42);
    const unknown = 'idempotency_gateway_unknown_outcomes_total{route="charges",reason="reset"}';
    t.equal(await value(of, unknown), 1);
  },
);

t.test("the build information carries the version and the Node.js it runs on", async (t) => {
  const info = `{version="1.2.3",node="${process.version}"}`;
  t.equal(await value(metrics(), `idempotency_gateway_build_info${info}`), 1);
});

t.test("100,000 distinct paths, record ids, routes and methods add no series", async (t) => {
  const of = metrics(["charges"]);
  const spread = (n: number): void => {
    of.began()();
    of.finished({
      ...REPORT,
      route: n % 2 === 0 ? "charges" : `route-${n}`,
      method: n % 3 === 0 ? "POST" : `M${n}`,
      path: `/v1/charges/${n}`,
      recordId: n.toString(16).padStart(64, "0"),
      fence: n,
      status: 100 + (n % 500),
      upstreamMs: n % 1000,
      cause: `cause ${n}`,
    });
    of.unknownOutcome({ ...UNKNOWN, route: `route-${n}`, reason: "timeout" });
  };
  for (let n = 0; n < 6; n += 1) spread(n);
  const before = await series(of);
  for (let n = 6; n < 100_006; n += 1) spread(n);
  const after = await series(of);
  t.equal(after.length, before.length);
  t.strictSame(names(after), names(before));
  const others =
    'idempotency_gateway_requests_total{route="none",method="OTHER",outcome="executed"}';
  t.ok(((await value(of, others)) ?? 0) > 30_000, "they were counted, together");
});

t.test("the exposition passes promtool check metrics", async (t) => {
  execFileSync("test/support/ensure-promtool.sh", { stdio: ["ignore", "ignore", "inherit"] });
  const of = metrics();
  touchAll(of);
  const { contentType, body } = await everything(of);
  t.equal(contentType, "text/plain; version=0.0.4; charset=utf-8");
  t.strictSame(await promtool(body), { code: 0, output: "" });
});

/** What the admin port answers where all is configured. */
async function everything(of: Metrics): Promise<Exposition> {
  const reloads = await createReloadMetrics().behind(await of.exposition());
  const byHand = await createHandMetrics().behind(await createWebhookMetrics().behind(reloads));
  return withReadiness(byHand, true);
}

function promtool(exposition: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile("promtool", ["check", "metrics"], (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr });
    });
    child.stdin?.end(exposition);
  });
}

t.test("docs/metrics.md lists every metric with its type and labels, and no other", async (t) => {
  const of = metrics();
  touchAll(of);
  of.serves("0123456789abcdef", ["charges"]);
  const { body } = await everything(of);
  const found = new Map<string, { type: string; labels: Set<string> }>();
  for (const [, name = "", type = ""] of body.matchAll(
    /^# TYPE (idempotency_gateway_\S+) (\S+)$/gm,
  )) {
    found.set(name, { type, labels: new Set() });
  }
  for (const [, sample = "", labels = ""] of body.matchAll(
    /^(idempotency_gateway_\w+)\{(.*)\} /gm,
  )) {
    const metric = found.get(sample) ?? found.get(sample.replace(/_(bucket|sum|count)$/, ""));
    for (const [, label = ""] of labels.matchAll(/(\w+)="/g)) {
      if (label !== "le") metric?.labels.add(label);
    }
  }
  // Appears in the sum over workers only.
  found.set("idempotency_gateway_workers", { type: "gauge", labels: new Set(["state"]) });

  const page = await readFile("docs/metrics.md", "utf8");
  const rows = [...page.matchAll(/^\| `(idempotency_gateway_\w+)` +\| (\w+) +\| ([^|]*?) +\|/gm)];
  const told = rows.map(([, name, type, labels = ""]) => {
    return `${name} ${type} ${[...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).join(",")}`;
  });
  const real = [...found].map(
    ([name, { type, labels }]) => `${name} ${type} ${[...labels].join(",")}`,
  );
  t.strictSame(told.toSorted(), real.toSorted());
});

t.test("replays are counted by record, of those records that were replayed last", async (t) => {
  let nowMs = 1000;
  const replays = new Replays("host/7", () => (nowMs += 1), 2);
  for (const id of ["a", "b", "a", "c"]) replays.replayed(id);
  t.strictSame(replays.of("a"), [{ by: "host/7", count: 2, lastAtMs: 1003 }]);
  t.strictSame(replays.of("b"), [], "the one that was longest ago is forgotten first");
  t.strictSame(replays.of("c"), [{ by: "host/7", count: 1, lastAtMs: 1004 }]);
});

t.test("at least half as many records are known as are kept at most, and never more", async (t) => {
  const replays = new Replays("host/7", () => 1, 10);
  const known = new Set<number>();
  for (let n = 0; n < 40; n += 1) {
    replays.replayed(`${n}`);
    replays.replayed("hot");
    const those = Array.from({ length: n + 1 }, (_, id) => replays.of(`${id}`).length);
    known.add(those.reduce((sum, each) => sum + each, 1));
    t.ok(
      those.slice(-4).every((each) => each === 1),
      "with the hot one, the five that were last",
    );
  }
  t.equal(Math.max(...known), 9, "and the hot one in either half");
  t.match(replays.of("hot"), [{ count: 40 }], "one that is replayed again and again stays");
});

t.test("a replay costs the same, however many records are known", async (t) => {
  const replays = new Replays("host/7", Date.now);
  for (let n = 0; n < 10_000; n += 1) replays.replayed(n.toString(16).padStart(64, "0"));
  const before = process.cpuUsage();
  for (let n = 0; n < 20_000; n += 1) replays.replayed("f".repeat(64));
  const tookMs = process.cpuUsage(before).user / 1000;
  // One map in the order of the last replay takes 500 to 900 ms for this, two generations take 10 to 30.
  t.ok(tookMs < 250, `${tookMs} ms`);
});
