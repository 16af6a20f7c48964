/**
 * Nothing that a caller chooses becomes a series: 20,000 distinct keys, paths, callers and methods over sockets. (The
 * metrics room's own test does 100,000 without them.) And what Prometheus scrapes is what Prometheus reads.
 */
import { execFile, execFileSync } from "node:child_process";
import http from "node:http";
import root, { type Test } from "tap";
import { call } from "../support/client.ts";
import { startGatewayProcess } from "../support/gateway-process.ts";
import { startGateway, tempDir } from "../support/gateway.ts";
import { startUpstream, writeAnswer } from "../support/upstream.ts";

const REQUESTS = 20_000;
const AT_ONCE = 32;

interface Kind {
  readonly method: string;
  readonly path: (n: number) => string;
  readonly headers: (n: number) => Readonly<Record<string, string>>;
  readonly calls: 0 | 1;
}

const key = (n: number) => ({ "Idempotency-Key": `key-${n}`, Authorization: `Bearer ${n}` });

/** What one request in each round is; all of them differ from each other in all that a caller can choose. */
const KINDS: readonly Kind[] = [
  { method: "POST", path: (n) => `/v1/charges?n=${n}`, headers: key, calls: 1 },
  { method: "PUT", path: (n) => `/deployments/${n}`, headers: () => ({}), calls: 1 },
  { method: "POST", path: (n) => `/p/${n}/q`, headers: key, calls: 1 },
  { method: "DELETE", path: (n) => `/p/${n}`, headers: () => ({}), calls: 1 },
  {
    method: "GET",
    path: (n) => `/reads/${n}?n=${n}`,
    headers: (n) => ({ [`X-${n}`]: "1" }),
    calls: 1,
  },
  {
    method: "POST",
    path: (n) => `/v1/charges/${n}`,
    headers: (n) => ({ "Idempotency-Key": `a b ${n}` }),
    calls: 0,
  },
  { method: "POST", path: (n) => `/later/${n}`, headers: key, calls: 1 },
  { method: "PROPFIND", path: (n) => `/dav/${n}`, headers: key, calls: 1 },
];

function ask(agent: http.Agent, url: string, kind: Kind, n: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const { method, path, headers } = kind;
    const req = http.request(url + path(n), { method, agent, headers: headers(n) });
    req.on("error", reject);
    req.on("response", (res) => res.resume().on("end", resolve).on("error", reject));
    req.end();
  });
}

async function load(agent: http.Agent, url: string, from: number, count: number): Promise<void> {
  let next = from;
  const lane = async (): Promise<void> => {
    for (let n = next++; n < from + count; n = next++)
      await ask(agent, url, KINDS[n % KINDS.length]!, n);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Names and labels of the gateway's own series. */
function seriesOf(exposition: string): readonly string[] {
  return exposition
    .split("\n")
    .filter((line) => line.startsWith("idempotency_gateway_"))
    .map((line) => line.slice(0, line.lastIndexOf(" ")));
}

function callsIn(count: number): number {
  let calls = 0;
  for (let n = 0; n < count; n += 1) calls += KINDS[n % KINDS.length]!.calls;
  return calls;
}

root.test("20,000 distinct keys, paths, callers and fields add no series", async (t) => {
  const upstream = await startUpstream(t);
  upstream.respond(({ url }, _req, res) => {
    writeAnswer(res, { status: url.startsWith("/later") ? 429 : 200 });
  });
  const gateway = await startGateway(t, {
    upstream: { url: upstream.url },
    store: { url: "memory:" },
    routes: [
      { name: "charges", match: { methods: ["POST"], path: "/v1/charges" } },
      {
        name: "deployments",
        match: { path: "/deployments/:id" },
        key: { from: "path", name: "id" },
      },
    ],
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  t.teardown(() => agent.destroy());
  const warmUp = KINDS.length * 2;
  await load(agent, gateway.url, 0, warmUp);
  const before = seriesOf(await gateway.metrics());
  await load(agent, gateway.url, warmUp, REQUESTS);
  const exposition = await gateway.metrics();
  t.strictSame(seriesOf(exposition), before, `${before.length} series, before and after`);
  t.equal(upstream.count(), callsIn(warmUp + REQUESTS), "the upstream was called for each");
  const executed = 'requests_total{route="charges",method="POST",outcome="executed"}';
  const line = exposition.split("\n").find((one) => one.includes(executed)) ?? "";
  t.equal(
    Number(line.split(" ").at(-1)),
    (warmUp + REQUESTS) / KINDS.length,
    "and they were counted",
  );
});

function promtool(exposition: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile("promtool", ["check", "metrics"], (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr });
    });
    child.stdin?.end(exposition);
  });
}

async function scrape(t: Test, workers: number): Promise<string> {
  const upstream = await startUpstream(t);
  const gateway = await startGatewayProcess(t, [
    ...["--upstream", upstream.url, "--store", `file:${tempDir(t)}`, "--workers", String(workers)],
  ]);
  const headers = { "Idempotency-Key": "k" };
  for (let n = 0; n < 4; n += 1) await call(gateway.url, { method: "POST", headers });
  await call(gateway.url);
  t.equal(upstream.count(), 2);
  const answer = await call(`${gateway.admin}/metrics`);
  t.match(answer.header("Content-Type"), /^text\/plain; version=0\.0\.4/);
  return answer.body.toString();
}

root.test("what the built gateway exposes passes promtool check metrics", async (t) => {
  execFileSync("test/support/ensure-promtool.sh", { stdio: ["ignore", "ignore", "inherit"] });
  for (const workers of [1, 2]) {
    const exposition = await scrape(t, workers);
    const replayed = 'requests_total{route="none",method="POST",outcome="replayed"} 3';
    t.ok(exposition.includes(replayed), `${workers} workers, added up`);
    t.strictSame(await promtool(exposition), { code: 0, output: "" }, `${workers} workers`);
  }
});
