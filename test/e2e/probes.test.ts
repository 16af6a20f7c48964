/**
 * `onUnknown: probe` with real gateways, stores and sockets: an upstream that executes and then loses its answers, and
 * tells of each key what became of it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { call, type Answer } from "../support/client.ts";
import { printConfig } from "../../src/config/print.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { startGateway, storeSettings, tempDir, type StoreName } from "../support/gateway.ts";
import { until } from "../support/redis-server.ts";
import { newKey, startScene, type Scene } from "../support/scene.ts";
import { startUpstream, writeAnswer, type Responder } from "../support/upstream.ts";

const root = t;
const STORES: readonly StoreName[] = ["embedded", "redis"];
const CALLER = { Authorization: "Bearer canary-of-the-caller" };

type Probe = Readonly<Record<string, unknown>>;

const charges = (probe: Probe, over: Readonly<Record<string, unknown>> = {}) => ({
  routes: [
    {
      name: "charges",
      match: { methods: ["POST"], path: "/v1/charges" },
      onUnknown: "probe",
      probe: { path: "/v1/charges/by-key/{key}", as: "gateway", timeout: "5s", ...probe },
      ...over,
    },
  ],
});

/** Executes each POST and loses the answer of the first `losing`; `tell` answers who asks what became of it. */
function losing(scene: Scene, count: number, tell: Responder): void {
  let posts = 0;
  scene.upstream.respond((asked, req, res) => {
    if (asked.method !== "POST") return tell(asked, req, res);
    posts += 1;
    if (posts <= count) return void req.socket.resetAndDestroy();
    writeAnswer(res, { status: 201, body: `execution ${posts}` });
  });
}

const posts = ({ upstream }: Scene): number =>
  upstream.calls.filter(({ method }) => method === "POST").length;
const asked = ({ upstream }: Scene) => upstream.calls.filter(({ method }) => method === "GET");

/** A request whose answer is lost; its record's id. */
async function lose(t: Test, scene: Scene, key: string): Promise<string> {
  const lost = await scene.ask({ key, headers: CALLER });
  t.equal(lost.status, 502);
  t.equal(lost.header("Idempotency-Status"), "outcome-unknown");
  t.equal(lost.header("Retry-After"), "1");
  return lost.header("Idempotency-Record") ?? "";
}

const retry = (scene: Scene, key: string): Promise<Answer> => scene.ask({ key, headers: CALLER });

const counted = async ({ gateway }: Scene, result: string): Promise<number> => {
  const sample = `idempotency_gateway_probes_total{route="charges",result="${result}"} `;
  const line = (await gateway.metrics()).split("\n").find((text) => text.startsWith(sample));
  return Number(line?.slice(sample.length));
};

const PAID = Buffer.from([0x70, 0x61, 0x69, 0x64, 0, 0xff, 0xfe]);
const tellPaid: Responder = (_asked, _req, res) =>
  writeAnswer(res, { status: 200, headers: ["Content-Type", "text/plain", "X-Charge", "7"], body: PAID }); // prettier-ignore

for (const store of STORES) {
  t.test(`${store}: 2xx: every retry gets that answer, byte for byte; executed once`, async (t) => {
    const scene = await startScene(t, root, store, charges({ as: "caller" }));
    losing(scene, 1, tellPaid);
    const key = newKey();
    const id = await lose(t, scene, key);
    const replies = [await retry(scene, key), await retry(scene, key), await retry(scene, key)];
    for (const reply of replies) {
      t.equal(reply.status, 200);
      t.equal(reply.header("Idempotency-Status"), "replayed");
      t.equal(reply.header("X-Charge"), "7");
      t.same(reply.body, PAID);
    }
    t.equal(posts(scene), 1);
    t.equal(asked(scene).length, 1);
    t.same(asked(scene)[0]?.all("Authorization"), [CALLER.Authorization]);
    t.same(asked(scene)[0]?.all("Idempotency-Key"), []);
    t.match(await scene.record(id), {
      state: "completed",
      status: 200,
      replayable: true,
      fence: 1,
    });
    const line = scene.gateway.log.find(({ msg }) => msg === "unknown outcome probed");
    t.match(line, { level: "info", recordId: id, route: "charges", result: "executed", probe: 1 });
    t.equal(await counted(scene, "executed"), 1);
    const metrics = await scene.gateway.metrics();
    t.match(metrics, 'upstream_duration_seconds_count{route="charges"} 1\n', "one guarded call");
  });

  t.test(`${store}: without a retry it is settled as well`, async (t) => {
    const scene = await startScene(t, root, store, charges({}));
    losing(scene, 1, tellPaid);
    const key = newKey();
    const id = await lose(t, scene, key);
    await scene.inState(id, "completed");
    t.same(asked(scene)[0]?.all("Authorization"), [], "with nothing of the caller");
    t.same((await retry(scene, key)).body, PAID);
    t.equal(posts(scene), 1);
    t.equal(asked(scene).length, 1);
  });

  t.test(
    `${store}: 404 frees the key when it counts, not before; the retry executes`,
    async (t) => {
      const scene = await startScene(t, root, store, charges({ releaseAfter: "3s" }));
      losing(scene, 1, (_asked, _req, res) => writeAnswer(res, { status: 404 }));
      const key = newKey();
      const id = await lose(t, scene, key);
      const early = await retry(scene, key);
      t.equal(early.status, 409);
      t.equal(early.header("x-should-retry"), "true");
      t.equal(posts(scene), 1);
      t.equal(await counted(scene, "not-executed"), 0);
      await scene.forgotten(id);
      const late = await retry(scene, key);
      t.equal(late.status, 201);
      t.equal(late.header("Idempotency-Status"), "executed");
      t.equal(late.body.toString(), "execution 2");
      t.equal((await retry(scene, key)).header("Idempotency-Status"), "replayed");
      t.equal(posts(scene), 2);
      t.equal(await counted(scene, "not-executed"), 1);
      t.ok((await counted(scene, "kept")) >= 1);
    },
  );

  t.test(`${store}: 500 and silence keep it unknown, with the profile's status`, async (t) => {
    const scene = await startScene(t, root, store, charges({ as: "caller", timeout: "100ms" }, { status: { outcomeUnknown: 425 } })); // prettier-ignore
    let silent = false;
    losing(scene, 2, (_asked, _req, res) => {
      if (!silent) writeAnswer(res, { status: 500 });
    });
    const [refused, unheard] = [newKey(), newKey()];
    const id = await lose(t, scene, refused);
    t.equal((await retry(scene, refused)).status, 425);
    silent = true;
    await lose(t, scene, unheard);
    t.equal((await retry(scene, unheard)).status, 425);
    t.match(await scene.record(id), { state: "unknown" });
    t.equal(posts(scene), 2);
    t.equal(asked(scene).length, 2);
    t.same([await counted(scene, "kept"), await counted(scene, "failed")], [1, 1]);
  });

  t.test(`${store}: an operator who is faster than the probe is not overruled`, async (t) => {
    const scene = await startScene(t, root, store, charges({ as: "caller" }));
    losing(scene, 1, tellPaid);
    const key = newKey();
    const id = await lose(t, scene, key);
    const gate = scene.upstream.hold();
    const waiting = retry(scene, key);
    await scene.upstream.arrived(2);
    const headers = { "Content-Type": "application/json" };
    const body = '{"outcome":"executed"}';
    const resolving = { method: "POST", headers, body };
    t.equal((await scene.admin(`/v1/records/${id}/resolve`, resolving)).status, 200);
    gate.release();
    t.equal((await waiting).header("Idempotency-Status"), "not-replayable");
    t.match(await scene.record(id), { state: "completed", status: null });
    t.equal(await counted(scene, "overtaken"), 1);
    t.equal(posts(scene), 1);
  });

  t.test(`${store}: after a restart the first retry asks; secrets are told nobody`, async (t) => {
    const file = join(tempDir(t), "credential");
    writeFileSync(file, "Bearer canary-of-the-gateway\n");
    const headers = [
      { name: "Authorization", file },
      { name: "Accept", value: "application/json" },
    ];
    const settings = charges({ path: "/operations?key={key}", headers });
    const stores = await storeSettings(root, store);
    const scene = await startScene(t, root, store, { ...settings, store: stores });
    losing(scene, 1, (_asked, _req, res) => writeAnswer(res, { status: 503 }));
    const key = '"canary-a/../b?c=d&e=%41#\\"f"';
    const id = await lose(t, scene, key);
    t.equal((await retry(scene, key)).status, 409);
    await scene.gateway.stop();
    losing(scene, 0, tellPaid);
    const upstream = { url: scene.upstream.url };
    const next = await startGateway(t, {
      ...settings,
      store: { ...stores, timeout: "2s" },
      upstream,
    });
    const call2 = { method: "POST", headers: { "Content-Type": "application/json", "Idempotency-Key": key, ...CALLER }, body: '{"amount":100}' }; // prettier-ignore
    const found = await call(`${next.url}/v1/charges`, call2);
    t.same(found.body, PAID);
    t.equal(found.header("Idempotency-Record"), id);
    t.equal(posts(scene), 1);
    const last = asked(scene).at(-1);
    t.equal(last?.url, "/operations?key=canary-a%2F..%2Fb%3Fc%3Dd%26e%3D%2541%23%22f");
    t.same(last?.all("Authorization"), ["Bearer canary-of-the-gateway"]);
    t.same(last?.all("Accept"), ["application/json"]);
    const routes = await call(`${next.admin}/v1/overview`);
    const told = [
      JSON.stringify([scene.gateway.log, next.log]),
      await next.metrics(),
      printConfig(next.config),
      routes.body.toString(),
    ].join("\n");
    t.match(told, file, "where it stands may be shown");
    t.notMatch(told, /canary/u);
  });
}

t.test("kill -9 behind the upstream's work: the retry asks when the lease is over", async (t) => {
  const { routes } = charges({});
  const upstream = await startUpstream(t);
  upstream.respond((seen, req, res) => {
    // The work is done, and its answer never comes.
    if (seen.method === "GET") return tellPaid(seen, req, res);
  });
  const args = configured(t, {
    routes,
    upstream: { url: upstream.url, timeout: "500ms", connectTimeout: "500ms" },
    store: { url: `file:${tempDir(t)}`, lease: "2s" },
  });
  const gateway = await startGatewayProcess(t, args);
  const asking = { method: "POST", headers: { "Content-Type": "text/plain", "Idempotency-Key": "k" }, body: "a" }; // prettier-ignore
  const first = t.rejects(call(`${gateway.url}/v1/charges`, asking));
  await upstream.arrived(1);
  await gateway.end("SIGKILL");
  await first;
  const next = await startGatewayProcess(t, args);
  const told: string[] = [];
  await until(async () => {
    const answer = await call(`${next.url}/v1/charges`, asking);
    told.push(answer.header("Idempotency-Status") ?? "none");
    return answer.body.equals(PAID);
  });
  t.same([...new Set(told)], ["in-flight", "replayed"]);
  t.equal(upstream.calls.filter(({ method }) => method === "POST").length, 1);
  t.equal(upstream.count(), 2);
  t.match(await next.line("unknown outcome probed"), { result: "executed", probe: 1 });
});

t.test("a key that would lead elsewhere is not asked about, and stays unknown", async (t) => {
  const scene = await startScene(t, root, "memory", charges({ as: "caller" }));
  losing(scene, 9, tellPaid);
  for (const key of ['".."', '"../../admin"', '"a\\\\b"', '"."']) {
    await lose(t, scene, key);
    t.equal((await retry(scene, key)).status, 409, key);
  }
  t.equal(asked(scene).length, 0);
  t.equal(posts(scene), 4);
  t.equal(await counted(scene, "kept"), 4);
});

t.test("sites that share an upstream: the one is asked that the request was for", async (t) => {
  const scene = await startScene(t, root, "memory", charges({ as: "caller", releaseAfter: "1s" }));
  losing(scene, 1, (seen, req, res) => {
    if (seen.all("Host")[0] === "shop.example") return tellPaid(seen, req, res);
    writeAnswer(res, { status: 404, body: "no such site" });
  });
  const [key, headers] = [newKey(), { ...CALLER, Host: "shop.example" }];
  const lost = await scene.ask({ key, headers });
  await until(async () => {
    const record = await scene.record(lost.header("Idempotency-Record") ?? "");
    return Date.now() - Date.parse(String(record?.["since"])) > 1000;
  });
  t.same((await scene.ask({ key, headers })).body, PAID);
  t.equal(posts(scene), 1);
});

t.test("a stop does not wait for a probe", async (t) => {
  const scene = await startScene(t, root, "memory", charges({ timeout: "1h" }));
  losing(scene, 1, () => undefined);
  await lose(t, scene, newKey());
  await until(async () => asked(scene).length === 1);
  const startedMs = performance.now();
  await scene.gateway.stop();
  t.ok(performance.now() - startedMs < 20_000);
  t.equal(scene.gateway.log.filter(({ level }) => level === "error").length, 0);
  t.equal(posts(scene), 1);
});
