/** What is not guarded: shadow and off, requests without a key, safe methods. The upstream is called every time. */
import { once } from "node:events";
import http from "node:http";
import t from "tap";
import type { Answer } from "../support/client.ts";
import { STORES } from "../support/gateway.ts";
import { until } from "../support/redis-server.ts";
import { BODY, newKey, startScene, TARGET, type Ask } from "../support/scene.ts";
import { startBreakableScene } from "../support/trouble.ts";
import { writeAnswer } from "../support/upstream.ts";

const root = t;

/** The gateway's own fields of a reply. */
function ownFields(answer: Answer): readonly string[] {
  return answer.pairs
    .filter(([name]) => /^idempoten|^stripe-should|^x-should/i.test(name))
    .map(([name, value]) => `${name}: ${value}`);
}

const SHADOW = ["Idempotency-Status: shadow"];

for (const store of STORES) {
  t.test(
    `${store}: a shadow passes everything on and says what it would have answered`,
    async (t) => {
      const defaults = {
        mode: "shadow",
        key: { required: true },
        limits: { requestBytes: "1KiB" },
      };
      const scene = await startScene(t, root, store, { defaults });
      const key = newKey();
      const story: readonly (readonly [string, Ask])[] = [
        ["executed", { key }],
        ["replayed", { key }],
        ["key-reused", { key, body: "{}" }],
        ["key-missing", {}],
        ["key-invalid", { key: "a b" }],
        ["body-too-large", { key: newKey(), body: "x".repeat(1025) }],
        ["body-too-large", { key: newKey(), body: "x".repeat(100_000), headers: { "Transfer-Encoding": "chunked" } }], // prettier-ignore
      ];
      for (const [at, [, ask]] of story.entries()) {
        const answer = await scene.ask(ask);
        t.same([answer.status, answer.body.toString()], [201, `execution ${at + 1}`]);
        // What a shadow sees it notes behind its reply, and then reports.
        await scene.gateway.exchanges(at + 1);
        t.same(ownFields(answer), SHADOW);
        t.equal(scene.upstream.calls[at]?.body.toString(), ask.body ?? BODY, "the body came whole");
        t.same(scene.upstream.calls[at]?.all("Idempotency-Fence"), []);
        t.same(scene.upstream.calls[at]?.all("Idempotency-Key"), ask.key === undefined ? [] : [ask.key]); // prettier-ignore
      }
      t.equal(scene.upstream.count(), story.length);
      const lines = await scene.gateway.exchanges(story.length);
      t.same(
        lines.map(({ outcome, wouldBe }) => [outcome, wouldBe]),
        story.map(([wouldBe]) => ["shadow", wouldBe]),
      );
      const metrics = await scene.gateway.metrics();
      const counted = (outcome: string): string | undefined =>
      new RegExp(`^idempotency_gateway_shadow_total\\{[^}]*outcome="${outcome}"\\} (\\d+)$`, "m").exec(metrics)?.[1]; // prettier-ignore
      t.same(["executed", "replayed", "key-reused", "key-missing", "key-invalid", "body-too-large"].map(counted), ["1", "1", "1", "1", "1", "2"]); // prettier-ignore
    },
  );

  t.test(
    `${store}: a shadow sees duplicates of a running request and holds none of them`,
    async (t) => {
      const scene = await startScene(t, root, store, { defaults: { mode: "shadow", onInFlight: "wait" } }); // prettier-ignore
      const key = newKey();
      const gate = scene.upstream.hold();
      const asked = Array.from({ length: 3 }, () => scene.ask({ key }));
      await scene.upstream.arrived(3);
      gate.release();
      for (const answer of await Promise.all(asked)) t.same(ownFields(answer), SHADOW);
      const told = (await scene.gateway.exchanges(3)).map(({ wouldBe }) => wouldBe).sort();
      t.same(told, ["executed", "in-flight", "in-flight"]);
      t.equal(scene.upstream.count(), 3);
    },
  );

  t.test(
    `${store}: what a shadow saw is forgotten where the upstream did not execute`,
    async (t) => {
      const scene = await startScene(t, root, store, { defaults: { mode: "shadow" } });
      const key = newKey();
      scene.upstream.respond(undefined);
      scene.upstream.answer({ status: 503, headers: ["Retry-After", "3"] });
      for (let tries = 0; tries < 2; tries += 1) {
        const answer = await scene.ask({ key });
        t.same([answer.status, answer.header("Retry-After")], [503, "3"]);
        await scene.gateway.exchanges(tries + 1);
      }
      const told = (await scene.gateway.exchanges(2)).map(({ wouldBe }) => wouldBe);
      t.same(told, ["executed", "executed"]);
      t.equal(scene.upstream.count(), 2);
    },
  );

  t.test(`${store}: a shadow serves while the store is away`, async (t) => {
    const scene = await startBreakableScene(t, root, store, { defaults: { mode: "shadow" } });
    await scene.breakStore();
    const answer = await scene.ask({ key: newKey() });
    t.same([answer.status, ownFields(answer)], [201, SHADOW]);
    t.match((await scene.gateway.exchanges(1))[0], { wouldBe: "store-unavailable" });
    await scene.healStore();
    t.equal(scene.upstream.count(), 1);
  });

  // The memory store has no process of its own that could stand still.
  if (store !== "memory") {
    t.test(`${store}: a store that takes calls and does not answer slows no shadow`, async (t) => {
      const settings = { defaults: { mode: "shadow" }, store: { timeout: "20s" } };
      const scene = await startBreakableScene(t, root, store, settings);
      await scene.stopStore();
      const key = newKey();
      const startedMs = performance.now();
      for (let n = 1; n <= 20; n += 1) {
        const answer = await scene.ask({ key });
        t.same([answer.status, answer.body.toString()], [201, `execution ${n}`]);
      }
      const takenMs = performance.now() - startedMs;
      const seen = scene.gateway.log.filter(({ msg }) => msg === "exchange");
      t.same(seen, [], "all are answered before the store has said a word");
      await scene.healStore();
      const lines = await scene.gateway.exchanges(20);
      const toldMs = lines.reduce((sum, { durationMs }) => sum + Number(durationMs), 0);
      t.ok(toldMs < 2 * takenMs, "what each took is the client's time, not the store's");
      const told = lines.map(({ wouldBe }) => wouldBe);
      t.equal(told.filter((wouldBe) => wouldBe === "executed").length, 1, "and then it is seen");
      t.equal(scene.upstream.count(), 20);
    });
  }

  t.test(
    `${store}: a shadow and an enforcing route do not read each other's records`,
    async (t) => {
      const routes = [
        { name: "watched", match: { methods: ["PUT"], path: TARGET }, mode: "shadow" },
        { name: "guarded", match: { methods: ["POST"], path: TARGET } },
      ];
      const scene = await startScene(t, root, store, { routes });
      const key = newKey();
      t.equal((await scene.ask({ key, method: "PUT" })).header("Idempotency-Status"), "shadow");
      await scene.gateway.exchanges(1);
      t.equal((await scene.ask({ key })).header("Idempotency-Status"), "executed");
      t.equal((await scene.ask({ key })).header("Idempotency-Status"), "replayed");
      t.equal((await scene.ask({ key, method: "PUT" })).header("Idempotency-Status"), "shadow");
      const told = (await scene.gateway.exchanges(4)).map(({ outcome, wouldBe }) => wouldBe ?? outcome); // prettier-ignore
      t.same(told, ["executed", "executed", "replayed", "replayed"]);
      t.equal(scene.upstream.count(), 3);
    },
  );

  t.test(
    `${store}: mode off, no key, and safe methods pass through untouched, every time`,
    async (t) => {
      const routes = [
        { name: "off", match: { path: "/off" }, mode: "off" },
        { name: "posts", match: { path: "/posts" }, key: { required: true } },
      ];
      const scene = await startScene(t, root, store, { routes });
      const key = newKey();
      const passing: readonly Ask[] = [
        { key, target: "/off" },
        { key, target: "/off", body: "{}" },
        { key: "a b", target: "/off" },
        { target: "/off", body: "x".repeat(2 << 20) },
        {},
        { method: "PATCH" },
        { method: "DELETE", body: null },
        { body: "x".repeat(2 << 20) },
        { key, method: "GET", body: null },
        { key, method: "GET", body: null, target: "/posts" },
        { key, method: "HEAD", body: null },
        { key, method: "OPTIONS", body: null },
      ];
      for (const round of [0, 1]) {
        for (const [at, ask] of passing.entries()) {
          const answer = await scene.ask(ask);
          const count = round * passing.length + at + 1;
          t.equal(scene.upstream.count(), count);
          t.same([answer.status, ownFields(answer)], [201, []]);
          t.equal(answer.body.toString(), ask.method === "HEAD" ? "" : `execution ${count}`);
          const sent = scene.upstream.calls.at(-1);
          t.same(sent?.all("Idempotency-Key"), ask.key === undefined ? [] : [ask.key]);
          t.ok(sent?.body.equals(Buffer.from(ask.body ?? (ask.body === null ? "" : BODY))));
        }
      }
      const lines = await scene.gateway.exchanges(2 * passing.length);
      t.ok(lines.every(({ outcome }) => outcome === "passed"));
      const list = (await scene.admin("/v1/records")).json();
      t.same(list["records"], [], "never near the store");
    },
  );

  t.test(`${store}: a safe method is guarded where a route lists it`, async (t) => {
    const routes = [{ name: "reports", match: { methods: ["GET"], path: "/reports" } }];
    const scene = await startScene(t, root, store, { routes });
    const get = { key: newKey(), method: "GET", target: "/reports", body: null };
    t.equal((await scene.ask(get)).header("Idempotency-Status"), "executed");
    t.equal((await scene.ask(get)).header("Idempotency-Status"), "replayed");
    t.equal((await scene.ask({ ...get, key: undefined })).header("Idempotency-Status"), undefined);
    t.equal(scene.upstream.count(), 2);
  });
}

t.test("a shadow's unknown outcome is listed as such, and takes no answer by hand", async (t) => {
  const scene = await startScene(t, root, "embedded", { defaults: { mode: "shadow" } });
  const key = newKey();
  scene.upstream.respond((_call, _req, res) => writeAnswer(res, { status: 504 }));
  t.equal((await scene.ask({ key })).status, 504);
  const unknown = async () => (await scene.admin("/v1/records?state=unknown")).json()["records"];
  let listed: readonly { readonly id: string }[] = [];
  await until(async () => (listed = (await unknown()) as typeof listed).length === 1);
  const id = listed[0]?.id ?? "";
  t.match(await scene.record(id), { shadow: true });
  const decide = (document: object) =>
    scene.admin(`/v1/records/${id}/resolve`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(document),
    });
  const answer = { status: 201, headers: [], body: "paid" };
  const refused = await decide({ outcome: "executed", answer });
  t.match(refused.json(), { status: 422, detail: /shadow/ });
  t.equal((await decide({ outcome: "executed" })).status, 200);
  t.match(await scene.record(id), { shadow: true, answeredBy: "operator" });
  t.equal(scene.upstream.count(), 1);
});

t.test("a shadow passes an upload on as it comes, and still sees it whole", async (t) => {
  const scene = await startScene(t, root, "memory", { defaults: { mode: "shadow" } });
  const key = newKey();
  for (const wouldBe of ["executed", "replayed"]) {
    const n = scene.upstream.count() + 1;
    const upload = http.request(scene.gateway.url + TARGET, {
      method: "POST",
      headers: { "Idempotency-Key": key, "Content-Type": "application/json" },
    });
    const answered = once(upload, "response");
    upload.write(BODY.slice(0, 5));
    await scene.upstream.arriving(n);
    upload.end(BODY.slice(5));
    const [response] = (await answered) as [http.IncomingMessage];
    response.resume();
    t.equal(
      scene.upstream.calls[n - 1]?.body.toString(),
      BODY,
      "begun before it was there, and whole",
    );
    t.match((await scene.gateway.exchanges(n))[n - 1], { wouldBe });
  }
  t.equal(scene.upstream.count(), 2);
});

for (const mode of ["shadow", "enforce"]) {
  t.test(
    `${mode}: requests without a key that are executed again are counted and told`,
    async (t) => {
      const defaults = {
        mode,
        duplicates: { report: true, window: "1h" },
        fingerprint: { body: "json" },
      };
      const scene = await startScene(t, root, "memory", { defaults });
      const other = { headers: { Authorization: "Bearer canary-other" } };
      const story: readonly (readonly [number | undefined, Ask, number?])[] = [
        [0, {}],
        [1, {}],
        [2, { body: '{ "amount": 100 }' }],
        [0, other],
        [0, { body: '{"amount":101}' }],
        [0, { target: `${TARGET}?x=1` }],
        [undefined, { key: newKey() }],
        // Not processed, so the one behind it repeats nothing.
        [undefined, { body: '{"amount":7}' }, 503],
        [0, { body: '{"amount":7}' }],
        [undefined, { method: "GET", body: null }],
        [undefined, { body: "x".repeat(2 << 20) }],
      ];
      for (const [at, [, ask, status = 201]] of story.entries()) {
        scene.upstream.respond((_call, _req, res) => writeAnswer(res, { status }));
        const answer = await scene.ask(ask);
        t.equal(answer.status, status);
        if (ask.key === undefined && mode === "enforce") t.same(ownFields(answer), []);
        await scene.gateway.exchanges(at + 1);
      }
      const lines = await scene.gateway.exchanges(story.length);
      t.same(
        lines.map(({ repeats }) => repeats),
        story.map(([repeats]) => repeats),
      );
      t.equal(new Set(lines.slice(0, 3).map(({ keylessId }) => keylessId)).size, 1);
      t.match(lines[1], { keylessId: /^[0-9a-f]{64}$/, repeatedAfterMs: Number });
      const metrics = await scene.gateway.metrics();
      t.match(metrics, 'idempotency_gateway_keyless_requests_total{route="default"} 7');
      t.match(metrics, 'idempotency_gateway_keyless_duplicates_total{route="default"} 2');
      t.equal(scene.upstream.count(), story.length);
      t.notMatch(JSON.stringify(lines), /canary|amount/);
    },
  );
}
