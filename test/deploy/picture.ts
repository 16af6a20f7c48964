/**
 * Draws the pictures of the dashboard: two built gateways on one Redis under mixed traffic, with troubles that are made, a real
 * Prometheus that scrapes them, and what it answers to every query of every panel. Not a test, and no Grafana.
 *
 *     npm run build && npx tsx test/deploy/picture.ts
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ROOT } from "../support/bundled.ts";
import { call } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { startRedis, until, type RedisServer } from "../support/redis-server.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "../support/upstream.ts";
import { draw, type Found } from "./dashboard-svg.ts";
import { dashboard, filled, type Panel } from "./dashboard.ts";
import { startPrometheus, type Prometheus, type Range, type Series } from "./prometheus.ts";

const SECONDS = Number(process.argv[2] ?? "180");
const POINTS = 60;
/** Grafana would take four scrapes; at one each second that is too few for a line that can be read. */
const RATE_SECONDS = 15;
const OUT = join(ROOT, "docs/images");
let sent = 0;
let lost = false;

interface Scene {
  readonly gateways: readonly { readonly url: string; readonly admin: string }[];
  readonly redis: RedisServer;
  readonly upstream: { current: TestUpstream };
  readonly port: number;
}

await withTeardown(async (t) => {
  const scene = await startScene(t);
  const prometheus = await startPrometheus(
    t,
    scene.gateways.map(({ admin }) => admin),
  );
  await until(async () => (await prometheus.query("idempotency_gateway_ready == 1")).length === 2);
  const begins = Date.now() / 1000;
  const over = troubles(t, scene);
  await traffic(scene, SECONDS * 1000);
  await over;
  const end = Math.floor(Date.now() / 1000);
  const range = { start: Math.ceil(begins), end, step: Math.max(1, Math.round(SECONDS / POINTS)) };
  const found = await ask(prometheus, range);
  const alarms = await alarmsIn(prometheus, range);
  const at = (seconds: number): string =>
    new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
  const picture = {
    title: dashboard.title,
    notes: [
      "Drawn from the dashboard's JSON and the answers of a real Prometheus to its queries, not by Grafana.",
      `Two gateways with two workers each, on one Redis, ${at(range.start)} to ${at(end).slice(11)} UTC; scraped each second, rates over ${RATE_SECONDS} s.`,
      "Made on purpose: answers lost, Redis stopped for 2 s, the upstream gone for 3 s. Dashed: an alert begins to fire.",
    ],
    found,
    range,
    alarms,
  };
  const rare = dashboard.panels.find(({ title }) => title === "Adopting")?.gridPos.y ?? 0;
  const top = dashboard.panels.filter(({ gridPos }) => gridPos.y < rare);
  writeFileSync(join(OUT, "dashboard.svg"), draw({ ...picture, panels: dashboard.panels }));
  writeFileSync(join(OUT, "dashboard-top.svg"), draw({ ...picture, panels: top }));
});

async function startScene(t: Teardown): Promise<Scene> {
  const port = await freePort();
  const redis = await startRedis(t, { args: ["--maxmemory-policy", "noeviction"] });
  const oncall = await startUpstream(t);
  const settings = {
    upstream: { url: `http://127.0.0.1:${port}`, timeout: "5s" },
    workers: 2,
    store: { url: redis.url, timeout: "500ms" },
    notify: { webhook: { url: oncall.url, secrets: [{ env: "SIGNING" }] } },
    routes: [
      { name: "charges", match: { path: "/v1/charges" }, key: { required: true } },
      {
        name: "payments",
        match: { path: "/v1/payments" },
        onUnknown: "probe",
        probe: { path: "/v1/payments/by-key/{key}", as: "gateway" },
      },
      {
        name: "deployments",
        match: { methods: ["PUT"], path: "/deployments/:uuid" },
        key: { from: "path", name: "uuid" },
      },
      { name: "orders", match: { path: "/v1/orders" }, mode: "shadow" },
      { name: "messages", match: { path: "/v1/messages" }, duplicates: { report: true } },
    ],
  };
  const env = { SIGNING: `whsec_${Buffer.alloc(32, 1).toString("base64")}` };
  const upstream = { current: await startCharging(t, port) };
  const config = configured(t, settings);
  const gateways = [
    await startGatewayProcess(t, config, env),
    await startGatewayProcess(t, config, env),
  ];
  return { gateways, redis, upstream, port };
}

/** Takes some milliseconds, now and then many, and hangs up on what is to be lost. */
function startCharging(t: Teardown, port: number): Promise<TestUpstream> {
  return startUpstream(t, {
    port,
    respond: async (request, req, res) => {
      if (request.body.includes("lost")) return void req.socket.destroy();
      await delay(6 + 60 * Math.random() ** 6);
      const headers = ["Content-Type", "application/json"];
      writeAnswer(res, { status: 201, headers, body: `{"id":"${request.url.slice(1)}"}` });
    },
  });
}

/** One after the other, each at its part of the time. */
async function troubles(t: Teardown, scene: Scene): Promise<void> {
  const { gateways, redis, upstream, port } = scene;
  const [first] = gateways;
  const part = (share: number): Promise<void> => delay(share * SECONDS * 1000);
  await part(0.2);
  for (const { admin } of gateways) await call(`${admin}/v1/reload`, { method: "POST" });
  await part(0.15);
  await Promise.all([1, 2, 3].map((n) => send(scene, "/v1/charges", `lost-${n}`, "lost")));
  await Promise.all([4, 5, 6].map((n) => send(scene, "/v1/payments", `lost-${n}`, "lost")));
  lost = true;
  await part(0.25);
  await redis.kill("SIGSTOP");
  await delay(2000);
  await redis.kill("SIGCONT");
  await part(0.15);
  await upstream.current.close();
  await delay(3000);
  upstream.current = await startCharging(t, port);
  if (first !== undefined) await call(`${first.admin}/v1/reload`, { method: "POST" });
}

/** By one gateway and the other in turn. */
async function send(scene: Scene, path: string, key: string | undefined, body: string) {
  const { gateways } = scene;
  sent += 1;
  const { url = "" } = gateways[sent % gateways.length] ?? {};
  const method = path.startsWith("/deployments") ? "PUT" : "POST";
  const named = key === undefined ? {} : { "Idempotency-Key": `"${key}"` };
  const headers = { "Content-Type": "application/json", ...named };
  await call(`${url}${path}`, { method, headers, body });
}

/** Charges in waves, retries of some, repeats while they run, keys that are used again, and other routes. */
async function traffic(scene: Scene, forMs: number): Promise<void> {
  const from = performance.now();
  const running: Promise<unknown>[] = [];
  for (let n = 0; performance.now() - from < forMs; n += 1) {
    const wave = Math.sin((performance.now() - from) / 9000);
    const key = `order-${n}`;
    running.push(exchange(scene, n, key));
    if (n % 11 === 0) running.push(send(scene, "/v1/charges", key, "1"));
    if (n % 4 === 0) running.push(send(scene, "/v1/payments", `payment-${n}`, "1"));
    if (n % 6 === 0) running.push(send(scene, `/deployments/${n % 30}`, undefined, "1"));
    if (n % 5 === 0) running.push(send(scene, "/v1/orders", `ordered-${n - (n % 3)}`, "1"));
    if (n % 7 === 0) running.push(send(scene, "/v1/messages", undefined, `${n % 3 === 0 ? 1 : n}`));
    if (n % 90 === 45) running.push(send(scene, "/v1/charges", undefined, "1"));
    await delay(90 + 45 * wave);
  }
  await Promise.all(running);
}

async function exchange(scene: Scene, n: number, key: string): Promise<void> {
  await send(scene, "/v1/charges", key, "1");
  if (n % 3 === 0) await send(scene, "/v1/charges", key, "1");
  if (n % 17 === 0) await send(scene, "/v1/charges", key, "2");
  if (lost && n % 29 === 0) await send(scene, "/v1/charges", "lost-1", "lost");
}

/** What each panel's queries find: over the range, or at its end where the panel shows one number. */
async function ask(prometheus: Prometheus, range: Range): Promise<Found> {
  const found = new Map<Panel, readonly (readonly Series[])[]>();
  for (const panel of dashboard.panels) {
    const answers: (readonly Series[])[] = [];
    for (const { expr } of panel.targets ?? []) {
      const query = filled(expr, `${RATE_SECONDS}s`, `${range.end - range.start}s`);
      answers.push(
        panel.type === "stat"
          ? (await prometheus.query(query, range.end)).map(({ metric, value }) => ({
              metric,
              values: [value],
            }))
          : await prometheus.queryRange(query, range),
      );
    }
    found.set(panel, answers);
  }
  return found;
}

async function alarmsIn(prometheus: Prometheus, range: Range): Promise<readonly number[]> {
  const [annotation] = dashboard.annotations.list;
  const series = await prometheus.queryRange(annotation?.expr ?? "", range);
  return [...new Set(series.map(({ values }) => values[0]?.[0] ?? range.end))];
}
