/** Where a key comes from, whose it is, what belongs to the fingerprint, and what the upstream is told. */
import t from "tap";
import { STORES } from "../support/gateway.ts";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { DAY_MS, newKey, startScene, TARGET, type Ask, type Scene } from "../support/scene.ts";

const root = t;
const UUID = "123e4567-e89b-42d3-a456-426614174000";

/** The words of the replies to these requests, one after the other. */
async function words(scene: Scene, asks: readonly Ask[]): Promise<readonly (string | undefined)[]> {
  const told: (string | undefined)[] = [];
  for (const ask of asks) told.push((await scene.ask(ask)).header("Idempotency-Status"));
  return told;
}

for (const store of STORES) {
  t.test(
    `${store}: the upstream gets the client's fields, the key and fence 1, and no made-up fence`,
    async (t) => {
      const scene = await startScene(t, root, store);
      const key = '"a-1"';
      const headers = {
        "Idempotency-Fence": ["7", "8"],
        "X-Tenant": "t1",
        "X-Twice": ["1", "2"],
        Authorization: "Bearer secret",
        Connection: "close, X-Hop",
        "X-Hop": "gone",
      };
      await scene.ask({ key, headers, target: `${TARGET}?b=2&a=%41` });
      const [sent] = scene.upstream.calls;
      t.same([sent?.method, sent?.url], ["POST", `${TARGET}?b=2&a=A`]);
      t.same(sent?.body.toString(), '{"amount":100}');
      t.same(sent?.all("Idempotency-Key"), [key]);
      t.same(sent?.all("Idempotency-Fence"), ["1"]);
      t.same(sent?.all("X-Tenant"), ["t1"]);
      t.same(sent?.all("X-Twice"), ["1", "2"]);
      t.same(sent?.all("Authorization"), ["Bearer secret"]);
      t.same(sent?.all("Content-Type"), ["application/json"]);
      t.same(sent?.all("X-Hop"), []);
      t.same(sent?.all("X-Forwarded-For"), ["127.0.0.1"]);
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(`${store}: a fence spelt with an underscore is refused`, async (t) => {
    const scene = await startScene(t, root, store);
    const answer = await scene.ask({ key: newKey(), headers: { Idempotency_Fence: "7" } });
    t.equal(answer.status, 400);
    t.equal(scene.upstream.count(), 0);
  });

  t.test(`${store}: a UUID where the route wants one, in either case`, async (t) => {
    const scene = await startScene(t, root, store, { defaults: { key: { format: "uuid" } } });
    checkRefusal(t, await scene.ask({ key: "abc" }), { code: "key-invalid", status: 400 });
    checkRefusal(t, await scene.ask({ key: `${UUID}0` }), { code: "key-invalid", status: 400 });
    const keys = [UUID, UUID.toUpperCase(), `"${UUID}"`];
    t.same(
      await words(
        scene,
        keys.map((key) => ({ key })),
      ),
      ["executed", "replayed", "replayed"],
    );
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: a key from another header; the standard one means nothing there`, async (t) => {
    const scene = await startScene(t, root, store, { defaults: { key: { name: "X-Request-Id" } } });
    const ask = (id: string, key?: string): Ask => ({ key, headers: { "X-Request-Id": id } });
    t.same(await words(scene, [ask("r1", "a"), ask("r1", "b"), ask("r2", "b")]), [
      "executed",
      "replayed",
      "executed",
    ]);
    t.equal((await scene.ask({ key: "a" })).header("Idempotency-Status"), undefined, "passes");
    t.equal(scene.upstream.count(), 3);
    t.same(scene.upstream.calls[0]?.all("X-Request-Id"), ["r1"]);
  });

  t.test(`${store}: a key from the query`, async (t) => {
    const routes = [{ name: "orders", match: { path: "/orders" }, key: { from: "query", name: "order", required: true } }]; // prettier-ignore
    const scene = await startScene(t, root, store, { routes });
    const [first, again] = [await scene.ask({ target: "/orders?order=7" }), await scene.ask({ target: "/orders?order=7" })]; // prettier-ignore
    const record = checkOwn(t, first, { status: 201, word: "executed", record: true, expiresInMs: DAY_MS }); // prettier-ignore
    checkOwn(t, again, { status: 201, word: "replayed", record, expiresInMs: DAY_MS });
    t.same(scene.upstream.calls[0]?.all("Idempotency-Key"), ['"7"']);
    t.same(
      await words(scene, [
        { target: "/orders?order=8" },
        { target: "/orders?%6frder=8" },
        { target: "/orders?order=8&x=1" },
        { target: "/orders?order=8&order=8" },
        { target: "/orders?order=" },
        { target: "/orders?other=8" },
        { target: "/orders", key: "8" },
      ]),
      ["executed", "replayed", "key-reused", "key-invalid", "key-invalid", "key-missing", "key-missing"], // prettier-ignore
    );
    t.equal(scene.upstream.count(), 2);
  });

  t.test(`${store}: a key from the path means something on its own route only`, async (t) => {
    const routes = ["deployments", "releases"].map((name) => ({
      name,
      match: { methods: ["PUT"], path: `/${name}/:uuid` },
      key: { from: "path", name: "uuid" },
    }));
    const scene = await startScene(t, root, store, { routes });
    const put = (target: string): Ask => ({ method: "PUT", target });
    t.same(
      await words(scene, [
        put(`/deployments/${UUID}`),
        put(`/deployments/${UUID}`),
        put(`/releases/${UUID}`),
        { ...put(`/deployments/${UUID}`), body: "{}" },
        put("/deployments/other"),
      ]),
      ["executed", "replayed", "executed", "key-reused", "executed"],
    );
    t.same(scene.upstream.calls[0]?.all("Idempotency-Key"), [`"${UUID}"`]);
    t.equal((await scene.ask(put("/deployments/a/b"))).header("Idempotency-Status"), undefined);
    t.equal(scene.upstream.count(), 4);
  });

  t.test(`${store}: a key from the body's members`, async (t) => {
    const key = { from: "body", pointers: ["/date", "/slot/no"], required: true };
    const routes = [{ name: "bookings", match: { path: "/bookings" }, key, fingerprint: { body: "json" } }]; // prettier-ignore
    const scene = await startScene(t, root, store, { routes });
    const book = (body: string): Ask => ({ target: "/bookings", body });
    t.same(
      await words(scene, [
        book('{"date":"2026-01-02","slot":{"no":1},"who":"a"}'),
        book('{ "who":"a", "slot":{"no":1.0}, "date":"2026-01-02" }'),
        book('{"date":"2026-01-02","slot":{"no":1},"who":"b"}'),
        book('{"date":"2026-01-02","slot":{"no":"1"},"who":"a"}'),
        book('{"date":"2026-01-02","who":"a"}'),
        book('{"date":null,"slot":{"no":1}}'),
        book('{"date":[],"slot":{"no":1}}'),
        book('{"date":'),
        book('{"date":"d","date":"d","slot":{"no":1}}'),
        book(""),
      ]),
      ["executed", "replayed", "key-reused", "executed", "key-missing", "key-missing", "key-invalid", "body-invalid", "body-invalid", "key-missing"], // prettier-ignore
    );
    t.equal(scene.upstream.count(), 2);
  });

  t.test(`${store}: fingerprint.body json compares by meaning, and loses no digit`, async (t) => {
    const fingerprint = { body: "json", ignore: ["/sentAt", "/meta/try"] };
    const scene = await startScene(t, root, store, { defaults: { fingerprint } });
    const [same, other, key] = ["replayed", "key-reused", "k"];
    const first = '{"a":1,"b":[1,2],"n":10.50,"s":"é","sentAt":1,"meta":{"try":1,"x":0}}';
    const bodies: readonly (readonly [string | undefined, string])[] = [
      ["executed", first],
      [same, '{ "meta":{"x":-0,"try":9},\n"s":"\\u00e9", "n":1.05e1, "b":[1,2], "a":1.0 }'],
      [other, first.replace("[1,2]", "[2,1]")],
      [other, first.replace("10.50", "10.500000000000000000001")],
      [other, first.replace('"a":1', '"a":"1"')],
      [other, first.replace('"a":1', '"a":null')],
      [other, first.replace('"x":0', '"x":1')],
      [other, first.replace('"s"', '"S"')],
      ["body-invalid", first.replace('"a":1', '"a":1,"a":1')],
      ["body-invalid", first.replace('"a":1', '"a":1,"\\u0061":1')],
      ["body-invalid", `${first},`],
      ["body-invalid", first.replace('"a":1', '"a":01')],
    ];
    const told = await words(
      scene,
      bodies.map(([, body]) => ({ key, body })),
    );
    t.same(
      told,
      bodies.map(([word]) => word),
    );
    const suffixed = { key, body: first, headers: { "Content-Type": "application/ld+json" } };
    t.equal((await scene.ask(suffixed)).header("Idempotency-Status"), other, "another media type");
    const charset = { key, body: first, headers: { "Content-Type": "application/JSON; charset=utf-8" } }; // prettier-ignore
    t.equal(
      (await scene.ask(charset)).header("Idempotency-Status"),
      same,
      "its parameters are none",
    );
    t.equal(scene.upstream.count(), 1);
  });

  t.test(
    `${store}: a body that is no JSON: refused with the key, its record and the original's absence`,
    async (t) => {
      const scene = await startScene(t, root, store, { defaults: { fingerprint: { body: "json" }, status: { bodyInvalid: 422 } } }); // prettier-ignore
      const key = newKey();
      for (const body of ["{", '{"a":1,"a":1}', "\u00ff", "// c\n1", "[1,]"]) {
        const refused = await scene.ask({ key, body: Buffer.from(body, "latin1") });
        checkRefusal(t, refused, { code: "body-invalid", status: 422, key, record: true });
      }
      const text = { key, body: "{", headers: { "Content-Type": "text/plain" } };
      t.equal((await scene.ask(text)).status, 201, "compared as bytes");
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(`${store}: fingerprint.headers are part of what is asked for`, async (t) => {
    const scene = await startScene(t, root, store, { defaults: { fingerprint: { headers: ["X-Currency"] } } }); // prettier-ignore
    const key = newKey();
    const ask = (headers: NonNullable<Ask["headers"]>): Ask => ({ key, headers });
    t.same(
      await words(scene, [
        ask({ "X-Currency": "EUR" }),
        ask({ "x-currency": "EUR", "X-Other": "1" }),
        ask({ "X-Currency": "USD" }),
        ask({ "X-Currency": ["EUR", "EUR"] }),
        ask({}),
      ]),
      ["executed", "replayed", "key-reused", "key-reused", "key-reused"],
    );
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: a key belongs to its caller`, async (t) => {
    const scene = await startScene(t, root, store, { defaults: { scope: { headers: ["Authorization", "X-Tenant"] } } }); // prettier-ignore
    const key = newKey();
    const callers: readonly NonNullable<Ask["headers"]>[] = [
      {},
      { Authorization: "Bearer a" },
      { Authorization: "Bearer b" },
      { "X-Tenant": "Bearer a" },
      { Authorization: "Bearer a", "X-Tenant": "1" },
      { Authorization: "" },
      { "X-Api-Key": "no part of this scope" },
    ];
    for (const [at, headers] of callers.entries()) {
      const answer = await scene.ask({ key, headers });
      const mine = at === callers.length - 1 ? 1 : at + 1;
      t.equal(answer.body.toString(), `execution ${mine}`);
      const reused = await scene.ask({ key, headers, body: "{}" });
      t.equal(reused.header("Idempotency-Status"), "key-reused", "the body is the caller's own");
      t.equal(reused.header("Idempotency-Record"), answer.header("Idempotency-Record"));
    }
    for (const [at, headers] of callers.slice(0, -1).entries()) {
      t.equal((await scene.ask({ key, headers })).body.toString(), `execution ${at + 1}`);
    }
    t.equal(scene.upstream.count(), callers.length - 1);
  });

  t.test(`${store}: the first route that matches decides`, async (t) => {
    const routes = [
      { name: "special", match: { methods: ["POST"], path: "/v1/charges/special" }, key: { required: true } }, // prettier-ignore
      { name: "off", match: { path: "/v1/charges/:id" }, mode: "off" },
      { name: "late", match: { path: "/v1/*" }, profile: "ietf", key: { required: true } },
    ];
    const scene = await startScene(t, root, store, { routes });
    const statuses: number[] = [];
    for (const target of ["/v1/charges/special", "/v1/charges/7", "/v1/refunds", "/v2/x"]) {
      statuses.push((await scene.ask({ target })).status);
    }
    t.same(statuses, [428, 201, 400, 201]);
    t.equal((await scene.ask({ target: "/v1/charges/special", method: "PUT" })).status, 201, "off");
    t.equal(scene.upstream.count(), 3);
    const routed = (await scene.gateway.exchanges(5)).map((line) => line["route"]);
    t.same(routed, ["special", "off", "late", "default", "off"]);
  });
}
