/** What the console asks of the admin port: the page itself, counters, routes, search by key, and recorded answers. */
import t, { type Test } from "tap";
import { idsOf, readWanted } from "../../src/admin/search.ts";
import { call } from "../support/client.ts";
import { startGateway, type Settings, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";
import { createDesk, CANARY, IDS } from "./desk.ts";
import { startPort } from "./port.ts";

const TOKEN = "s3cret-admin-token";
const UUID = "0d2f4a70-8d0f-4f6e-9c1a-3c5f1d9a7b11";

const ROUTES = [
  { name: "charges", match: { methods: ["POST"], path: "/v1/charges" } },
  {
    name: "slots",
    match: { methods: ["POST"], path: "/v1/slots" },
    key: { from: "body", pointers: ["/date", "/slot"] },
  },
  {
    name: "things",
    match: { methods: ["PUT"], path: "/things/:id" },
    key: { from: "path", name: "id" },
  },
  {
    name: "orders",
    match: { methods: ["POST"], path: "/orders" },
    key: { from: "query", name: "order" },
  },
  { name: "tenants", match: { methods: ["POST"], path: "/t" }, scope: { headers: ["X-Tenant"] } },
  { name: "observed", match: { methods: ["POST"], path: "/observed" }, mode: "shadow" },
];

interface Scene {
  readonly upstream: TestUpstream;
  readonly gateway: TestGateway;
  readonly ask: (path: string, body?: object) => Promise<Record<string, unknown>>;
  /** Sends it, and resolves with the record id that the reply tells. */
  readonly send: (
    target: string,
    headers: Readonly<Record<string, string>>,
    body?: string,
    method?: string,
  ) => Promise<string>;
}

async function setScene(t: Test, admin: Settings | object = {}): Promise<Scene> {
  const upstream = await startUpstream(t, {
    answer: { status: 201, headers: ["Content-Type", "text/plain", "X-Secret", "é"], body: "done" },
  });
  const gateway = await startGateway(t, {
    upstream: { url: upstream.url },
    store: { url: "memory:" },
    admin: { token: TOKEN, ...admin },
    routes: ROUTES,
  });
  return {
    upstream,
    gateway,
    async ask(path, body) {
      const answer = await call(gateway.admin + path, {
        headers: { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" },
        ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
      });
      return { ...answer.json(), httpStatus: answer.status };
    },
    async send(target, headers, body = "x", method = "POST") {
      // As bytes: Node sends the fields as UTF-8 in front of a text.
      const bytes = Buffer.from(body);
      const answer = await call(gateway.url + target, { method, headers, body: bytes });
      return answer.header("idempotency-record") ?? "";
    },
  };
}

t.test(
  "the page needs no token, holds no data, and forbids everything it does not need",
  async (t) => {
    const { ask } = await startPort(t, { token: TOKEN, host: "0.0.0.0" });
    for (const path of ["/", "/console"]) {
      t.match(await ask(path), { status: 302, headers: { location: "console/" }, body: "" });
    }
    const types = {
      "": "text/html",
      "console.css": "text/css",
      "console.js": "text/javascript",
      "icon.svg": "image/svg",
    };
    for (const [file, type] of Object.entries(types)) {
      const { status, headers, body } = await ask(`/console/${file}`);
      t.equal(status, 200, file);
      t.match(headers, {
        "content-type": new RegExp(`^${type}`, "u"),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
      });
      const policy = String(headers["content-security-policy"]);
      t.match(
        policy,
        /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'/u,
      );
      t.match(policy, /frame-ancestors 'none'.*require-trusted-types-for 'script'/u);
      t.notMatch(policy, /unsafe|https?:|\*|data:/u);
      t.notMatch(body, /https?:\/\/(?!www\.w3\.org)/u, `${file} names no other host`);
      t.notMatch(body, /innerHTML|insertAdjacentHTML|document\.write|\beval\(| style=|<script>/u);
    }
    t.equal((await ask("/console/", { method: "POST" })).status, 405);
    t.equal((await ask("/console/", { method: "HEAD" })).body, "");
  },
);

t.test("where no console was built, the port says so", async (t) => {
  const consoleDir = new URL("file:///nowhere/");
  const { ask } = await startPort(t, { consoleDir });
  t.match(await ask("/console/"), { status: 404, json: { detail: /npm run build/u } });
});

t.test("the counters are those of the metrics, by route", async (t) => {
  const { ask, send, upstream, gateway } = await setScene(t);
  for (const key of ["a", "a", "b"]) await send("/v1/charges", { "Idempotency-Key": key });
  await send("/v1/charges", { "Idempotency-Key": "a" }, "another body");
  await send("/observed", { "Idempotency-Key": "a" });
  await gateway.exchanges(5);
  t.equal(upstream.count(), 3);
  const counters = await ask("/v1/counters");
  const routes = counters["routes"] as { route: string }[];
  t.match(
    routes.find(({ route }) => route === "charges"),
    {
      outcomes: { executed: 2, replayed: 1, "key-reused": 1 },
      unknown: { timeout: 0, reset: 0, truncated: 0, crash: 0 },
      duration: { counts: { length: 16 }, boundsSeconds: { length: 15 } },
    },
  );
  t.match(
    routes.find(({ route }) => route === "observed"),
    { wouldBe: { executed: 1 } },
  );
  t.match(counters, {
    inFlight: 0,
    recordedBytes: 8,
    latency: { executed: { counts: { 15: 2 } }, replayed: { counts: { 15: 1 } } },
    store: [{ operation: "claim", errors: 0, duration: { counts: { 13: 5 } } }],
  });
  t.ok(Date.now() / 1000 - Number(counters["startedAtSeconds"]) < 3600);
  t.notHas(counters, "workers", "there is one process");
});

t.test("routes and status say what is in force, and no secret", async (t) => {
  const { ask, upstream } = await setScene(t);
  const { defaults, routes } = await ask("/v1/routes");
  t.match(defaults, { mode: "enforce", retention: { completed: "1d" } });
  t.match(routes, [
    { name: "charges", match: { methods: ["POST"], path: "/v1/charges" }, onUnknown: "by-method" },
  ]);
  const status = await ask("/v1/status");
  t.match(status, {
    ready: true,
    problems: [],
    store: { url: "memory:" },
    upstream: { url: upstream.url },
    quotas: { newKeys: null, liveRecords: null },
    showAnswers: false,
  });
  t.notMatch(JSON.stringify([status, routes, defaults]), TOKEN);
  t.equal(upstream.count(), 0);
});

t.test(
  "a store that does not say how it is holds the status up no longer than readiness",
  async (t) => {
    const { ask } = await startPort(t, { problems: () => new Promise(() => undefined) });
    t.match(await ask("/v1/status"), {
      status: 200,
      json: { ready: false, problems: [/in time/u] },
    });
  },
);

t.test(
  "a record is found by the key and the caller's credentials, wherever the key came from",
  async (t) => {
    const { ask, send, upstream } = await setScene(t);
    const json = { "Content-Type": "application/json" };
    const caller = { authorization: "Bearer jörg" };
    const sent = { Authorization: Buffer.from("Bearer jörg").toString("latin1") };
    const found = async (wanted: object): Promise<unknown> => {
      const { records } = await ask("/v1/records/search", wanted);
      return (records as { id: string }[]).map(({ id }) => id);
    };
    const charge = await send("/v1/charges", { ...sent, "Idempotency-Key": '"a,b;\\"c"' });
    const key = 'a,b;"c';
    t.strictSame(await found({ key, headers: caller }), [charge], "as it is");
    t.strictSame(await found({ key: '"a,b;\\"c"', headers: caller }), [charge], "as it was sent");
    t.strictSame(await found({ key, headers: { AUTHORIZATION: " Bearer jörg " } }), [charge]);
    t.strictSame(
      await found({ key, headers: { authorization: "Bearer x" } }),
      [],
      "another caller's",
    );
    t.strictSame(await found({ key }), [], "nobody's");
    t.strictSame(await found({ key, headers: caller, route: "slots" }), [], "another route's");

    const slot = await send("/v1/slots", json, '{"date":"2026-12-01","slot":7}');
    t.strictSame(await found({ key: ["2026-12-01", "7"] }), [slot], "a number in the body");
    t.strictSame(await found({ key: ["7", "2026-12-01"] }), [], "in the order of the pointers");
    const text = await send("/v1/slots", json, '{"date":"2026-12-01","slot":"7"}');
    t.strictSame(
      new Set((await found({ key: ["2026-12-01", "7"] })) as string[]),
      new Set([slot, text]),
    );

    const thing = await send(`/things/${UUID}`, {}, "x", "PUT");
    t.strictSame(await found({ key: UUID }), [thing], "in the path");
    const order = await send("/orders?order=a%26b", {});
    t.strictSame(await found({ key: "a&b" }), [order], "in the query");
    t.strictSame(await found({ key: "a%26b" }), [order], "in the query, as it stands there");
    const tenant = await send("/t", { "Idempotency-Key": "k", "X-Tenant": "7" });
    t.strictSame(await found({ key: "k", headers: { "x-tenant": "7" } }), [tenant]);
    await send("/observed", { "Idempotency-Key": "seen" });
    t.equal(((await found({ key: "seen" })) as string[]).length, 1, "what a shadow route observed");
    t.equal(upstream.count(), 7);
  },
);

t.test("a key that is looked for stands in no log line and in no answer", async (t) => {
  const { ask, gateway, send, upstream } = await setScene(t);
  await send("/v1/charges", { "Idempotency-Key": "c4n4ry" });
  const answers = [
    await ask("/v1/records/search", { key: "c4n4ry" }),
    await ask("/v1/records/search", { key: "c4n4ry", headers: { authorization: "c4n4ry" } }),
    await ask("/v1/records/search", { key: "c4n4ry", c4n4ry: "c4n4ry" }),
    await ask("/v1/records/search", { key: { c4n4ry: 1 } }),
  ];
  t.match(answers, [
    { records: [{ state: "completed" }] },
    { records: [] },
    { httpStatus: 400 },
    { httpStatus: 400 },
  ]);
  t.notMatch(JSON.stringify([answers, gateway.log]), "c4n4ry");
  t.equal(upstream.count(), 1);
});

t.test("what is no search is refused, and a search never asks the store without end", async (t) => {
  const wrong = ["", "[]", "null", "{}", '{"key":""', '{"key":[]}', '{"key":7}', '{"key":["a",7]}'];
  const more = [
    '{"key":"a","headers":[]}',
    '{"key":"a","headers":{"a":1}}',
    '{"key":"a","route":1}',
  ];
  const many = JSON.stringify({ key: Array.from({ length: 7 }, () => "1") });
  for (const body of [...wrong, ...more, '{"key":"a","x":1}', many]) {
    t.equal(readWanted(body), undefined, body);
  }
  const { gateway } = await setScene(t);
  const [slots] = gateway.config.routes.filter(({ policy }) => policy.route === "slots");
  const policies = Array.from({ length: 200 }, (_, n) => ({ ...slots!.policy, route: `r${n}` }));
  const wanted = { key: ["1", "2"], headers: [], route: undefined };
  t.equal(idsOf(wanted, policies).length, 256);
  const all = gateway.config.routes.map(({ policy }) => policy);
  t.equal(idsOf({ ...wanted, key: ["\ud800"] }, all).length, 2, "half a character names no other");
});

t.test(
  "a recorded answer is shown to nobody unless the configuration says so, and then it is logged",
  async (t) => {
    const closed = await setScene(t);
    const id = await closed.send("/v1/charges?card=1", { "Idempotency-Key": "a" });
    t.match(await closed.ask(`/v1/records/${id}/answer`), {
      httpStatus: 403,
      detail: /showAnswers/u,
    });
    t.equal(closed.upstream.count(), 1);

    const { ask, send, gateway, upstream } = await setScene(t, { showAnswers: true });
    await send("/v1/charges?card=1", { "Idempotency-Key": "a" });
    t.match(await ask(`/v1/records/${id}/answer`), {
      httpStatus: 200,
      target: "/v1/charges?card=1",
      answer: {
        status: 201,
        headers: [
          ["Content-Type", "text/plain"],
          ["X-Secret", "é"],
        ],
        body: { bytes: 4, shownBytes: 4, encoding: "utf-8", content: "done" },
      },
    });
    t.match(
      gateway.log.filter(({ msg }) => msg === "recorded answer shown to an operator"),
      [{ recordId: id, remote: "127.0.0.1" }],
    );
    const none = "0".repeat(64);
    t.match(await ask(`/v1/records/${none}/answer`), { httpStatus: 404, code: "record-absent" });
    t.equal(upstream.count(), 1);
  },
);

t.test("a body is cut to what can be read, and shown in base64 where it is no text", async (t) => {
  const desk = createDesk();
  const record = await desk.inspect(IDS.completed);
  if (record?.state !== "completed") throw new Error("the desk has a completed record");
  let body: Uint8Array | undefined;
  const { ask } = await startPort(t, {
    showAnswers: () => true,
    desk: {
      ...desk,
      inspect: async (id) =>
        id === IDS.completed
          ? { ...record, response: { status: 200, headers: [], body } }
          : desk.inspect(id),
    },
  });
  const shown = async (bytes?: Uint8Array): Promise<unknown> => {
    body = bytes;
    const { json } = await ask(`/v1/records/${IDS.completed}/answer`);
    return (json["answer"] as { body: unknown }).body;
  };
  t.equal(await shown(), null, "none was kept");
  t.match(await shown(Uint8Array.of(0xff, 0)), { encoding: "base64", content: "/wA=" });
  // The cut goes through the last character that would fit.
  const long = `x${"é".repeat(40_000)}`;
  t.match(await shown(Buffer.from(long)), {
    bytes: 80_001,
    shownBytes: 65_536,
    content: long.slice(0, 32_768),
    encoding: "utf-8",
  });
  t.match((await ask(`/v1/records/${IDS.unknown}/answer`)).json, { answer: null });
  t.match((await ask(`/v1/records/${IDS.resolved}/answer`)).json, { answer: null });
  t.match((await ask(`/v1/records/${IDS.unknown}`)).body, /^((?!c0ffee).)*$/su, CANARY);
});
