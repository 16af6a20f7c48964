/** Traces: what a collector is told of an exchange, what the upstream is told of the trace, and what nobody is told. */
import t, { type Test } from "tap";
import { call } from "../support/client.ts";
import { startCollector, type Collector, type KeptSpan } from "../support/collector.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { startGateway, STORES, storeSettings, tempDir } from "../support/gateway.ts";
import { newKey, startScene, TARGET, type Scene, type SceneSettings } from "../support/scene.ts";
import { startUpstream } from "../support/upstream.ts";

const root = t;

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const OTHER_TRACE = "1bf7651916cd43dd8448eb211c80319d";
const CALLER = "b7ad6b7169203331";
const KEPT = { traceparent: `00-${TRACE}-${CALLER}-01` };
const NOT_KEPT = { traceparent: `00-${TRACE}-${CALLER}-00` };

interface Traced {
  readonly scene: Scene;
  readonly collector: Collector;
  /** Stops the gateway, which sends what it has. */
  readonly spans: () => Promise<readonly KeptSpan[]>;
}

async function traced(
  t: Test,
  store: (typeof STORES)[number],
  settings: SceneSettings = {},
  tracing: Readonly<Record<string, unknown>> = {},
): Promise<Traced> {
  const collector = await startCollector(t);
  const own = { tracing: { endpoint: collector.endpoint, ...tracing } };
  const scene = await startScene(t, root, store, { ...settings, ...own });
  const spans = async (): Promise<readonly KeptSpan[]> => {
    await scene.gateway.stop();
    return collector.spans;
  };
  return { scene, collector, spans };
}

function only(spans: readonly KeptSpan[], name: string): KeptSpan {
  const found = spans.filter((span) => span.name === name);
  const [span] = found;
  if (span === undefined || found.length > 1) throw new Error(`${found.length} spans ${name}`);
  return span;
}

/** The exchanges, in the order in which they ended. */
function exchanges(spans: readonly KeptSpan[]): readonly KeptSpan[] {
  return spans.filter(({ kind }) => kind === 2);
}

/** Routes that tell a repeat in each of the ways there are. */
const TELLING = [
  ["/recorded", {}],
  ["/see-other", { replay: { as: "see-other" } }],
  ["/found", { replay: { as: "found" } }],
  ["/conflict", { replay: { as: "conflict" } }],
  ["/conflict-recorded", { replay: { as: "conflict", conflictBody: "recorded" } }],
  ["/never-recorded", { respond: { record: "never" } }],
] as const;

const TELLING_ROUTES = TELLING.map(([path, policy]) => ({
  name: path.slice(1),
  match: { methods: ["POST"], path },
  ...policy,
}));

t.test("a retry that asks what became of an unknown outcome has a step for it", async (t) => {
  const probe = { path: "/by-key/{key}" };
  const routes = [{ name: "charges", match: { path: TARGET }, onUnknown: "probe", probe }];
  const { scene, collector, spans } = await traced(t, "memory", { routes });
  scene.upstream.respond((asked, req, res) => {
    if (asked.method === "POST") req.socket.resetAndDestroy();
    else res.end("found");
  });
  const key = "secret-key";
  t.equal((await scene.ask({ key })).status, 502);
  const retry = await scene.ask({ key, headers: KEPT });
  t.equal(retry.body.toString(), "found");
  const told = await spans();
  const step = only(told, "probe");
  t.match(step, { traceId: TRACE, kind: 3, attributes: { "idempotency.result": "settled" } });
  t.same(step.parentSpanId, exchanges(told).at(-1)?.spanId);
  t.notMatch(collector.text(), /secret/);
  t.equal(scene.upstream.count(), 2);
});

for (const store of STORES) {
  t.test(
    `${store}: an exchange is a span with its steps below, in the caller's trace`,
    async (t) => {
      const routes = [
        {
          name: "things",
          match: { path: "/things/:id" },
          resource: { id: "path", serialize: "wait" },
        },
      ];
      const { scene, collector, spans } = await traced(
        t,
        store,
        { routes },
        { serviceName: "front" },
      );
      const key = "secret-key-of-somebody";
      const target = "/things/secret-thing";
      const headers = { ...KEPT, tracestate: "vendor=1", Authorization: "Bearer secret-token" };
      const body = '{"card":"secret-card"}';
      const answer = await scene.ask({ key, method: "PUT", target, headers, body });
      t.equal(answer.header("idempotency-status"), "executed");
      t.equal(scene.upstream.count(), 1);
      const told = await spans();

      const exchange = only(told, "PUT things");
      t.match(exchange, { traceId: TRACE, parentSpanId: CALLER, links: [], failed: false });
      t.equal(exchange.service, "front");
      t.same(exchange.attributes, {
        "http.request.method": "PUT",
        "http.response.status_code": 201,
        "idempotency.route": "things",
        "idempotency.outcome": "executed",
        "idempotency.record": answer.header("idempotency-record"),
        "idempotency.fence": exchange.attributes["idempotency.fence"],
      });
      t.type(exchange.attributes["idempotency.fence"], "number");
      t.same(told.map(({ name }) => name).sort(), [
        "PUT things",
        "claim",
        "forward",
        "lock",
        "settle",
      ]);
      const below = told.filter(({ parentSpanId }) => parentSpanId === exchange.spanId);
      t.equal(below.length, 4, "each step is a child of the exchange");
      t.ok(below.every(({ traceId }) => traceId === TRACE));
      t.same(only(told, "claim").attributes, { "idempotency.result": "granted" });
      t.same(only(told, "lock").attributes, { "idempotency.result": "held" });
      t.same(only(told, "settle").attributes, { "idempotency.result": "recorded" });

      const [sent] = scene.upstream.calls;
      t.same(sent?.all("traceparent"), [`00-${TRACE}-${only(told, "forward").spanId}-01`]);
      t.same(sent?.all("tracestate"), ["vendor=1"]);
      t.notMatch(collector.text(), /secret/, "no key, path, query, field or body is told");
      t.notMatch(collector.text(), /vendor/);
    },
  );

  t.test(
    `${store}: a replay links to the trace that executed, and nobody is told of the note`,
    async (t) => {
      const settings = {
        routes: TELLING_ROUTES,
        admin: { token: "operator-token", showAnswers: true },
      };
      const { scene, spans } = await traced(t, store, settings);
      const forged = `00-${OTHER_TRACE}-${CALLER}-01`;
      scene.upstream.answer({
        status: 201,
        headers: [
          "Location",
          "/made",
          "Idempotency-Trace",
          forged,
          "X-Kept",
          "yes",
          "idempotency-trace",
          forged,
        ],
      });
      scene.upstream.respond(undefined);
      const operator = { Authorization: "Bearer operator-token" };
      for (const [target] of TELLING) {
        const key = newKey();
        const first = await scene.ask({ key, target, headers: KEPT });
        const again = await scene.ask({
          key,
          target,
          headers: { traceparent: `00-${OTHER_TRACE}-${CALLER}-01` },
        });
        for (const answer of [first, again]) {
          t.same(answer.all("idempotency-trace"), [], target);
          t.notMatch(answer.body.toString(), TRACE, target);
        }
        const id = first.header("idempotency-record") ?? "";
        for (const path of [`/v1/records/${id}`, `/v1/records/${id}/answer`]) {
          const shown = await scene.admin(path, { headers: operator });
          t.equal(shown.status, 200, path);
          t.notMatch(shown.body.toString(), /idempotency-trace|0af7651916cd43dd/i, path);
        }
        const stored = await scene.gateway.store.inspect(id);
        const notes =
          stored?.state === "completed"
            ? stored.response?.headers.filter(([name]) => /trace/i.test(name))
            : [];
        t.equal(notes?.length, 1, "the upstream's own fields of that name are not kept");
        t.ok(notes?.[0]?.[1].includes(TRACE));
      }
      t.equal(scene.upstream.count(), TELLING.length);
      for (const sent of scene.upstream.calls) t.same(sent.all("idempotency-trace"), []);
      const told = exchanges(await spans());
      t.equal(told.length, 2 * TELLING.length);
      for (const [target] of TELLING) {
        const [first, again] = told.filter(({ name }) => name === `POST ${target.slice(1)}`);
        t.equal(first?.traceId, TRACE);
        t.same(first?.links, []);
        t.equal(again?.traceId, OTHER_TRACE, "a replay stays in its own caller's trace");
        t.same(again?.links, [{ traceId: TRACE, spanId: first?.spanId }]);
      }
    },
  );
}

t.test("what was noted while traces were kept is not told once they are off", async (t) => {
  const collector = await startCollector(t);
  const upstream = await startUpstream(t);
  const store = { url: `file:${tempDir(t)}` };
  const settings = { upstream: { url: upstream.url }, store };
  const key = newKey();
  const post = (url: string) =>
    call(url + TARGET, {
      method: "POST",
      headers: { "Idempotency-Key": key, ...KEPT },
      body: "{}",
    });
  const before = await startGateway(t, { ...settings, tracing: { endpoint: collector.endpoint } });
  const first = await post(before.url);
  t.equal(first.header("idempotency-status"), "executed");
  await before.stop();
  const after = await startGateway(t, settings);
  const again = await post(after.url);
  t.equal(again.header("idempotency-status"), "replayed");
  t.same(again.all("idempotency-trace"), []);
  t.equal(upstream.count(), 1);
});

t.test(
  "without a collector the caller's fields pass as they came, and nothing is noted",
  async (t) => {
    const scene = await startScene(t, root, "memory");
    const headers = { traceparent: "not a traceparent", tracestate: "vendor=1" };
    const answer = await scene.ask({ key: newKey(), headers });
    await scene.ask({ method: "GET", body: null, headers: KEPT });
    await scene.ask({ key: newKey() });
    t.same(
      scene.upstream.calls.map((sent) => sent.all("traceparent")),
      [["not a traceparent"], [KEPT.traceparent], []],
    );
    t.same(scene.upstream.calls[0]?.all("tracestate"), ["vendor=1"]);
    const stored = await scene.gateway.store.inspect(answer.header("idempotency-record") ?? "");
    t.notMatch(JSON.stringify(stored), /idempotency-trace/);
    t.equal(scene.upstream.count(), 3);
  },
);

t.test("a trace begins here where the caller names none that can be continued", async (t) => {
  const { scene, spans } = await traced(t, "memory");
  const bad = [
    "not a traceparent",
    `00-${"0".repeat(32)}-${CALLER}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `00-${TRACE}-${CALLER}-01-more`,
    `ff-${TRACE}-${CALLER}-01`,
    `00-${TRACE.toUpperCase()}-${CALLER}-01`,
  ];
  for (const traceparent of bad) {
    await scene.ask({ key: newKey(), headers: { traceparent, tracestate: "vendor=1" } });
  }
  await scene.ask({
    key: newKey(),
    headers: { traceparent: [KEPT.traceparent, KEPT.traceparent] },
  });
  await scene.ask({ key: newKey(), headers: { traceparent: `01-${TRACE}-${CALLER}-01-more` } });
  t.equal(scene.upstream.count(), bad.length + 2);
  const told = exchanges(await spans());
  const continued = told.at(-1);
  t.equal(continued?.traceId, TRACE, "a later version is continued by what is known of it");
  for (const [at, span] of told.slice(0, -1).entries()) {
    t.equal(span.parentSpanId, undefined);
    t.not(span.traceId, TRACE);
    const sent = scene.upstream.calls[at];
    t.equal(sent?.all("traceparent").length, 1);
    t.ok(sent?.all("traceparent")[0]?.startsWith(`00-${span.traceId}-`));
    t.same(sent?.all("tracestate"), [], "a state of no trace is not passed on");
  }
});

t.test("what passes through, is watched or is read belongs to the trace as well", async (t) => {
  const routes = [
    { name: "watched", match: { path: "/watched" }, mode: "shadow" },
    {
      name: "pages",
      match: { path: "/pages/:id" },
      resource: { id: "path", precondition: "honour" },
    },
  ];
  const { scene, collector, spans } = await traced(t, "memory", { routes });
  scene.upstream.respond(undefined);
  scene.upstream.answer({ headers: ["ETag", '"this"'] });
  await scene.ask({ method: "GET", target: "/any?token=secret", body: null, headers: KEPT });
  await scene.ask({ key: newKey(), target: "/watched", headers: KEPT });
  await scene.ask({ method: "HEAD", target: "/pages/1", body: null, headers: KEPT });
  await scene.ask({
    key: newKey(),
    method: "PUT",
    target: "/pages/1",
    headers: { ...KEPT, "If-Match": '"other"' },
  });
  t.equal(scene.upstream.count(), 4, "the PUT was judged by a look, and not sent");
  const told = await spans();
  t.same(
    exchanges(told).map(({ name, attributes }) => [name, attributes["idempotency.outcome"]]),
    [
      ["GET none", "passed"],
      ["POST watched", "shadow"],
      ["HEAD pages", "passed"],
      ["PUT pages", "precondition-failed"],
    ],
  );
  t.notMatch(collector.text(), /secret/);
  const calls = told.filter(({ kind }) => kind === 3);
  t.same(
    calls.map(({ name }) => name),
    ["forward", "forward", "read", "read"],
  );
  t.same(
    scene.upstream.calls.map((sent) => sent.all("traceparent")),
    calls.map(({ spanId }) => [`00-${TRACE}-${spanId}-01`]),
  );
});

t.test("a failure is marked as one, with its cause", async (t) => {
  const { scene, spans } = await traced(t, "memory", { upstream: { timeout: "5s" } });
  scene.upstream.respond((_call, req) => void req.socket.destroy());
  const unknown = await scene.ask({ key: newKey(), headers: KEPT });
  t.equal(unknown.header("idempotency-status"), "outcome-unknown");
  scene.upstream.respond(undefined);
  scene.upstream.answer({ status: 500 });
  const answered = await scene.ask({ key: newKey(), headers: KEPT });
  t.equal(answered.status, 500);
  t.equal(scene.upstream.count(), 2);
  const told = await spans();
  const [first, second] = exchanges(told);
  t.match(first, {
    failed: true,
    attributes: { "idempotency.outcome": "outcome-unknown", "http.response.status_code": 502 },
  });
  t.match(second, { failed: true, attributes: { "http.response.status_code": 500 } });
  const [lost, refused] = told.filter(({ name }) => name === "forward");
  t.match(lost, {
    failed: true,
    attributes: { "idempotency.result": "unknown", "idempotency.cause": String },
  });
  t.match(refused, {
    failed: true,
    attributes: { "idempotency.result": "answered", "http.response.status_code": 500 },
  });
});

t.test("a sample of 0 sends nothing of its own, and a caller's decision is followed", async (t) => {
  const { scene, collector, spans } = await traced(t, "memory", {}, { sample: 0 });
  const key = newKey();
  await scene.ask({ key });
  t.match(scene.upstream.calls[0]?.all("traceparent")[0], /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  await scene.ask({ key });
  await scene.ask({ key: newKey(), headers: NOT_KEPT });
  t.match(
    scene.upstream.calls[1]?.all("traceparent")[0],
    new RegExp(`^00-${TRACE}-(?!${CALLER})[0-9a-f]{16}-00$`),
  );
  t.equal(collector.requests.length, 0);
  await scene.ask({ key, headers: KEPT });
  t.equal(scene.upstream.count(), 2);
  const told = exchanges(await spans());
  t.equal(told.length, 1, "the caller's kept trace alone");
  t.match(told[0], { traceId: TRACE, attributes: { "idempotency.outcome": "replayed" } });
  t.same(told[0]?.links, [], "an execution that no trace holds is not linked to");
});

t.test(
  "no request notices that the collector is down, refuses or hangs, and a stop ends",
  async (t) => {
    const gone = await startCollector(t);
    await gone.close();
    const refusing = await startCollector(t, () => 400);
    const hanging = await startCollector(t, () => undefined);
    for (const collector of [gone, refusing, hanging]) {
      const scene = await startScene(t, root, "memory", {
        tracing: { endpoint: collector.endpoint },
      });
      const key = newKey();
      const asked = [
        await scene.ask({ key }),
        await scene.ask({ key }),
        await scene.ask({ key: newKey() }),
      ];
      t.same(
        asked.map((answer) => answer.header("idempotency-status")),
        ["executed", "replayed", "executed"],
      );
      t.equal(scene.upstream.count(), 2);
      await scene.gateway.stop();
      t.ok(scene.gateway.log.every(({ level }) => level !== "error"));
      if (collector !== refusing) {
        const late = "the collector has not taken the last traces in time";
        t.equal(scene.gateway.log.filter(({ msg }) => msg === late).length, 1);
        continue;
      }
      const [line, ...more] = scene.gateway.log.filter(
        ({ msg }) => msg === "traces could not be exported",
      );
      t.match(line, { level: "warn", spansLost: 10 });
      t.same(more, []);
    }
  },
);

t.test(
  "the built gateway sends what it has when it is stopped, workers too, with the collector's own fields",
  async (t) => {
    const collector = await startCollector(t);
    const upstream = await startUpstream(t);
    const { url } = await storeSettings(root, "embedded");
    const args = configured(t, {
      upstream: { url: upstream.url },
      store: { url },
      workers: 2,
      tracing: { endpoint: collector.endpoint },
    });
    const gateway = await startGatewayProcess(t, args, {
      OTEL_EXPORTER_OTLP_HEADERS: "x-tenant=one",
    });
    const headers = { "Idempotency-Key": newKey(), ...KEPT };
    for (let asked = 0; asked < 2; asked += 1) {
      await call(gateway.url + TARGET, { method: "POST", headers, body: "{}" });
    }
    t.equal(upstream.count(), 1);
    t.equal(await gateway.end("SIGTERM"), 0);
    const told = exchanges(collector.spans);
    t.same(told.map(({ attributes }) => attributes["idempotency.outcome"]).sort(), [
      "executed",
      "replayed",
    ]);
    t.same([...new Set(collector.requests.map((request) => request.headers["x-tenant"]))], ["one"]);
  },
);
