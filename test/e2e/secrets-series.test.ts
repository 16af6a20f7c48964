/**
 * Nothing that a caller chooses becomes a series: 20,000 distinct keys, paths, callers and methods over sockets. (The
 * metrics room's own test does 100,000 without them.) And what Prometheus scrapes is what Prometheus reads. Long
 * enough for a process of its own.
 */
import { execFile, execFileSync } from "node:child_process";
import root, { type Test } from "tap";
import { call } from "../support/client.ts";
import { startGatewayProcess } from "../support/gateway-process.ts";
import { startGateway, tempDir } from "../support/gateway.ts";
import { connectRaw } from "../support/raw.ts";
import { startUpstream, writeAnswer } from "../support/upstream.ts";

const REQUESTS = 20_000;
const PER_CONNECTION = 100;
const LANES = 2;

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

function bytesOf(n: number, last: boolean): string {
  const { method, path, headers } = KINDS[n % KINDS.length]!;
  const fields = Object.entries({ Host: "a", ...headers(n), "Content-Length": "0" });
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${method} ${path(n)} HTTP/1.1\r\n${lines}${last ? "Connection: close\r\n" : ""}\r\n`;
}

/** Sends requests `from` to `to` down one connection, all at once, and gives the number of answers. */
async function pipelined(t: Test, port: number, from: number, to: number): Promise<number> {
  const client = await connectRaw(t, port);
  const numbers = Array.from({ length: to - from }, (_, at) => from + at);
  client.send(numbers.map((n) => bytesOf(n, n === to - 1)).join(""));
  await client.closed;
  return (
    client
      .rest()
      .toString("latin1")
      .match(/HTTP\/1\.1 \d{3} /g)?.length ?? 0
  );
}

async function load(t: Test, port: number, from: number, count: number): Promise<number> {
  let answers = 0;
  let next = from;
  const lane = async (): Promise<void> => {
    while (next < from + count) {
      const begin = next;
      next = Math.min(begin + PER_CONNECTION, from + count);
      const came = await pipelined(t, port, begin, next);
      answers += came;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return answers;
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
  const warmUp = KINDS.length * 2;
  t.equal(await load(t, gateway.port, 0, warmUp), warmUp);
  const before = seriesOf(await gateway.metrics());
  t.equal(await load(t, gateway.port, warmUp, REQUESTS), REQUESTS);
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
    const replayed = 'requests_total{route="default",method="POST",outcome="replayed"} 3';
    t.ok(exposition.includes(replayed), `${workers} workers, added up`);
    t.strictSame(await promtool(exposition), { code: 0, output: "" }, `${workers} workers`);
  }
});
