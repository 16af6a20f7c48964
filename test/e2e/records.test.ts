/** The records API in front of the real stores: what an operator sees, and what a decision does to the next retry. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Test } from "tap";
import type { Answer } from "../support/client.ts";
import { STORES, tempDir } from "../support/gateway.ts";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { until } from "../support/redis-server.ts";
import { answerByNumber, DAY_MS, newKey, startScene, TARGET, type Scene } from "../support/scene.ts"; // prettier-ignore

const root = t;
const SECRET = "canary-7f3a";

/** A request whose outcome nobody knows; from then on the upstream answers again. */
async function loseOne(t: Test, scene: Scene, key: string): Promise<string> {
  scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
  const lost = await scene.ask({ key });
  t.equal(lost.status, 502);
  answerByNumber(scene.upstream);
  return lost.header("Idempotency-Record") ?? "";
}

function resolve(scene: Scene, id: string, body: string): Promise<Answer> {
  const headers = { "Content-Type": "application/json" };
  return scene.admin(`/v1/records/${id}/resolve`, { method: "POST", headers, body });
}

async function listed(scene: Scene, query: string): Promise<readonly string[]> {
  const { records } = (await scene.admin(`/v1/records${query}`)).json() as { records: { id: string }[] }; // prettier-ignore
  return records.map(({ id }) => id).sort();
}

/** Neither a text nor without a byte that means something elsewhere. */
const PAID = Buffer.from([0x70, 0x61, 0x69, 0x64, 0x0d, 0x0a, 0, 0xff]);
const FIELDS = [
  ["Content-Type", "application/x-receipt"],
  ["Location", `/v1/charges/ch_1?token=${SECRET}`],
  ["Set-Cookie", "a=1"],
  ["set-cookie", "b=é"],
] as const;
const PAID_BY_HAND = JSON.stringify({
  outcome: "executed",
  answer: { status: 202, headers: FIELDS, bodyBase64: PAID.toString("base64") },
});

/** A key that must open what is stored; what is stored without one is an alarm then. */
function encrypted(t: Test) {
  const file = join(tempDir(t), "key");
  writeFileSync(file, `${randomBytes(32).toString("base64")}\n`);
  return { store: { encryption: { keys: [{ id: "one", file }] } } };
}

for (const store of ["embedded", "redis"] as const) {
  for (const method of ["POST", "PUT"]) {
    t.test(
      `${store}: ${method} resolved with an answer: that is what every retry gets`,
      async (t) => {
        const scene = await startScene(t, root, store, encrypted(t));
        const ask = { key: newKey(), method };
        scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
        const id = (await scene.ask(ask)).header("Idempotency-Record") ?? "";
        const resolved = await resolve(scene, id, PAID_BY_HAND);
        const answer = { status: 202, bytes: PAID.byteLength };
        t.same([resolved.status, resolved.json()], [200, { id, outcome: "executed", answer }]);
        for (let tries = 0; tries < 2; tries += 1) {
          const retry = await scene.ask(ask);
          checkOwn(t, retry, { status: 202, word: "replayed", key: ask.key, record: id, expiresInMs: DAY_MS }); // prettier-ignore
          t.same(retry.body, PAID);
          t.same(retry.pairs.slice(0, FIELDS.length), FIELDS, "in order, case and repeats kept");
        }
        t.equal(
          (await scene.ask({ ...ask, body: "{}" })).header("Idempotency-Status"),
          "key-reused",
        );
        t.equal((await resolve(scene, id, PAID_BY_HAND)).status, 409, "decided");
        t.equal(scene.upstream.count(), 1);
        t.match(await scene.record(id), { state: "completed", status: 202, replayable: true, fence: 1 }); // prettier-ignore
        t.match(await scene.gateway.metrics(), 'unknown_outcomes_total{route="default",reason="reset"} 1'); // prettier-ignore
        const { body } = await scene.admin("/metrics");
        t.match(String(body), 'resolutions_total{outcome="executed"} 1');
        const lines = scene.gateway.log.filter(
          ({ msg }) => msg === "record changed by an operator",
        );
        const about = { action: "resolve", recordId: id, givenStatus: 202, givenBytes: 8 };
        t.match(lines, [
          { ...about, answer: "done" },
          { ...about, answer: "not-unknown" },
        ]);
        t.notMatch(JSON.stringify(scene.gateway.log) + String(body), SECRET);
      },
    );
  }

  t.test(
    `${store}: of operators who decide at once one has decided, and retries get that`,
    async (t) => {
      const scene = await startScene(t, root, store);
      const key = newKey();
      const id = await loseOne(t, scene, key);
      const bodies = Array.from({ length: 8 }, (_, n) => `decision ${n}`);
      const said = bodies.map((body) => ({ status: 201, headers: [], body }));
      const decided = await Promise.all([
        ...said.map((answer) =>
          resolve(scene, id, JSON.stringify({ outcome: "executed", answer })),
        ),
        resolve(scene, id, '{"outcome":"executed"}'),
      ]);
      const done = decided.flatMap(({ status }, n) => (status === 200 ? [n] : []));
      t.equal(done.length, 1);
      t.same(decided.filter(({ status }) => status === 409).length, 8);
      const [winner = -1] = done;
      const retry = await scene.ask({ key });
      if (winner < bodies.length) t.equal(retry.body.toString(), bodies[winner]);
      else t.equal(retry.header("Idempotency-Status"), "not-replayable");
      t.equal(scene.upstream.count(), 1);
      const { body } = await scene.admin("/metrics");
      t.match(String(body), 'resolutions_total{outcome="executed"} 1\n');
    },
  );

  t.test(`${store}: of a route that records no answers none is taken by hand either`, async (t) => {
    const routes = [{ name: "cards", match: { path: TARGET }, respond: { record: "never" } }];
    const scene = await startScene(t, root, store, { routes });
    const key = newKey();
    const id = await loseOne(t, scene, key);
    const refused = await resolve(scene, id, PAID_BY_HAND);
    t.match(refused.json(), { status: 422, code: "answer-not-recordable", detail: /never/ });
    t.equal((await scene.ask({ key })).header("Idempotency-Status"), "outcome-unknown");
    t.equal((await resolve(scene, id, '{"outcome":"executed"}')).status, 200);
    t.equal((await scene.ask({ key })).header("Idempotency-Status"), "not-replayable");
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: no answer by hand frees what the first write owns`, async (t) => {
    const resource = { id: { pointers: ["/slot"] }, once: true, serialize: "reject" };
    const scene = await startScene(t, root, store, {
      upstream: { timeout: "300ms", connectTimeout: "300ms" },
      store: { timeout: "500ms", lease: "4300ms" },
      routes: [{ name: "slots", match: { methods: ["POST"], path: TARGET }, resource }],
    });
    const [key, body] = [newKey(), '{"slot":"19:00"}'];
    scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
    const id = (await scene.ask({ key, body })).header("Idempotency-Record") ?? "";
    answerByNumber(scene.upstream);
    const other = async () => (await scene.ask({ key: newKey(), body })).json()["code"];
    // The upstream may still be at it for as long as the lock's lease.
    await until(async () => (await other()) !== "resource-locked");

    const answer = { status: 303, headers: [["Location", "/v1/charges/7"]], body: "" };
    const elsewhere = await resolve(scene, id, JSON.stringify({ outcome: "executed", answer }));
    t.match(elsewhere.json(), { status: 422, code: "answer-not-recordable", detail: /once/ });
    t.equal(await other(), "outcome-unknown", "nobody else's");
    t.equal((await resolve(scene, id, PAID_BY_HAND)).status, 200);
    t.equal(await other(), "conflict", "taken");
    const retry = await scene.ask({ key, body });
    t.same([retry.status, retry.header("Idempotency-Status")], [202, "replayed"]);
    t.equal(scene.upstream.count(), 1);
  });
}

for (const store of STORES) {
  t.test(`${store}: resolved as not executed: the retry runs, with fence 1 again`, async (t) => {
    const scene = await startScene(t, root, store);
    const key = newKey();
    const id = await loseOne(t, scene, key);
    t.equal((await scene.ask({ key })).status, 409);
    const resolved = await resolve(scene, id, '{"outcome":"not-executed"}');
    t.same([resolved.status, resolved.json()], [200, { id, outcome: "not-executed" }]);
    t.equal(await scene.record(id), undefined);
    const retry = await scene.ask({ key });
    checkOwn(t, retry, { status: 201, word: "executed", key, record: id, expiresInMs: DAY_MS });
    const again = await scene.ask({ key });
    checkOwn(t, again, { status: 201, word: "replayed", key, record: id, expiresInMs: DAY_MS });
    t.equal(scene.upstream.count(), 2);
    const { body } = await scene.admin("/metrics");
    t.match(String(body), 'resolutions_total{outcome="not-executed"} 1');
    t.match(String(body), 'resolutions_total{outcome="executed"} 0');
    t.match(scene.gateway.log.find(({ msg }) => msg === "record changed by an operator"), { action: "resolve", outcome: "not-executed", answer: "done", recordId: id }); // prettier-ignore
  });

  t.test(`${store}: resolved as executed: retries are told so and are not sent`, async (t) => {
    const scene = await startScene(t, root, store);
    const key = newKey();
    const id = await loseOne(t, scene, key);
    t.equal((await resolve(scene, id, '{"outcome":"executed"}')).status, 200);
    t.match(await scene.record(id), {
      state: "completed",
      status: null,
      replayable: false,
      fence: 1,
    });
    for (let tries = 0; tries < 2; tries += 1) {
      checkRefusal(t, await scene.ask({ key }), { code: "not-replayable", status: 409, key, record: id, expiresInMs: DAY_MS, original: { method: "POST", target: TARGET } }); // prettier-ignore
    }
    t.equal((await scene.ask({ key, body: "{}" })).header("Idempotency-Status"), "key-reused");
    t.equal((await resolve(scene, id, '{"outcome":"not-executed"}')).status, 409, "decided");
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: a PUT that was resolved as executed is not sent again either`, async (t) => {
    const scene = await startScene(t, root, store);
    const ask = { key: newKey(), method: "PUT" };
    scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
    const id = (await scene.ask(ask)).header("Idempotency-Record") ?? "";
    t.equal((await resolve(scene, id, '{"outcome":"executed"}')).status, 200);
    t.equal((await scene.ask(ask)).header("Idempotency-Status"), "not-replayable");
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: lists by state, page by page, and shows no secret`, async (t) => {
    const scene = await startScene(t, root, store);
    const unknown = [await loseOne(t, scene, newKey()), await loseOne(t, scene, newKey())].sort();
    const headers = { Authorization: `Bearer ${SECRET}`, Cookie: `c=${SECRET}` };
    const target = `${TARGET}?token=${SECRET}`;
    const done = await scene.ask({ key: `key-${SECRET}`, target, headers, body: `"${SECRET}"` });
    const completed = done.header("Idempotency-Record") ?? "";
    const gate = scene.upstream.hold();
    const running = scene.ask({ key: newKey() });
    await scene.upstream.arrived(4);
    t.same(await listed(scene, "?state=unknown"), unknown);
    t.same(await listed(scene, "?state=completed"), [completed]);
    const [inFlight = ""] = await listed(scene, "?state=in-flight");
    t.same(await listed(scene, ""), [...unknown, completed, inFlight].sort());
    const paged: string[] = [];
    let cursor = "";
    do {
      const query = `?limit=1${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`;
      const page = (await scene.admin(`/v1/records${query}`)).json() as { records: { id: string }[]; cursor?: string }; // prettier-ignore
      paged.push(...page.records.map(({ id }) => id));
      cursor = page.cursor ?? "";
    } while (cursor !== "");
    t.same(paged.sort(), [...unknown, completed, inFlight].sort());

    t.match(await scene.record(unknown[0] ?? ""), { state: "unknown", reason: "reset", route: "default", method: "POST", path: TARGET, query: false, fence: 1 }); // prettier-ignore
    t.match(await scene.record(completed), { state: "completed", status: 201, replayable: true, location: "/v1/charges/1", path: TARGET, query: true }); // prettier-ignore
    t.match(await scene.record(inFlight), { state: "in-flight", leaseUntil: /^\d{4}-/ });
    const shown = (await scene.admin("/v1/records")).body.toString();
    t.notMatch(shown + JSON.stringify(await scene.record(completed)), SECRET);
    t.notMatch(JSON.stringify(scene.gateway.log) + (await scene.gateway.metrics()), SECRET);
    gate.release();
    t.equal((await running).status, 201);
    t.equal(scene.upstream.count(), 4);
  });

  t.test(
    `${store}: forget frees a completed or unknown key, and never a running one`,
    async (t) => {
      const scene = await startScene(t, root, store);
      const [done, lost, running] = [newKey(), newKey(), newKey()];
      const forget = (id: string): Promise<Answer> =>
        scene.admin(`/v1/records/${id}`, { method: "DELETE" });
      const doneId = (await scene.ask({ key: done })).header("Idempotency-Record") ?? "";
      const lostId = await loseOne(t, scene, lost);
      for (const [key, id] of [
        [done, doneId],
        [lost, lostId],
      ] as const) {
        // prettier-ignore
        t.equal((await forget(id)).status, 204);
        t.equal((await forget(id)).status, 404);
        const anew = await scene.ask({ key, body: "{}" });
        checkOwn(t, anew, { status: 201, word: "executed", key, record: id, expiresInMs: DAY_MS });
      }
      const gate = scene.upstream.hold();
      const first = scene.ask({ key: running });
      await scene.upstream.arrived(5);
      const [id = ""] = await listed(scene, "?state=in-flight");
      t.equal((await forget(id)).status, 409);
      t.equal((await resolve(scene, id, '{"outcome":"not-executed"}')).status, 409);
      t.equal((await scene.ask({ key: running })).header("Idempotency-Status"), "in-flight");
      gate.release();
      t.equal((await first).status, 201);
      t.equal((await scene.ask({ key: running })).header("Idempotency-Status"), "replayed");
      t.equal(scene.upstream.count(), 5);
    },
  );

  t.test(`${store}: a decision about an attempt is not taken for the next one's`, async (t) => {
    const scene = await startScene(t, root, store);
    const key = newKey();
    const id = await loseOne(t, scene, key);
    const seen = { attempt: (await scene.record(id))?.["attempt"] };
    const decide = (decision: object) =>
      resolve(scene, id, JSON.stringify({ ...decision, ...seen }));
    t.equal((await decide({ outcome: "not-executed" })).status, 200, "the one who is quicker");
    await loseOne(t, scene, key);
    t.equal(scene.upstream.count(), 2);
    const answer = { status: 201, headers: [], body: "of the first" };
    for (const late of [
      { outcome: "not-executed" },
      { outcome: "executed" },
      { outcome: "executed", answer },
    ]) {
      const told = await decide(late);
      t.match([told.status, told.json()["code"]], [409, "record-overtaken"]);
    }
    const query = `attempt=${String(seen.attempt)}`;
    const forgotten = await scene.admin(`/v1/records/${id}?${query}`, { method: "DELETE" });
    t.match([forgotten.status, forgotten.json()["code"]], [409, "record-overtaken"]);
    t.equal((await scene.ask({ key })).header("Idempotency-Status"), "outcome-unknown");
    t.equal(scene.upstream.count(), 2, "nothing more was sent");
  });

  t.test(`${store}: the operators' port is not reached through the traffic's`, async (t) => {
    const scene = await startScene(t, root, store);
    for (const target of ["/v1/records", "/metrics", "/livez", "/readyz"]) {
      const answer = await scene.ask({ method: "GET", target, body: null });
      t.match(answer.body.toString(), /^execution /, "the upstream's");
    }
    t.equal((await scene.admin("/v1/charges", { method: "POST" })).status, 404);
    t.equal(scene.upstream.count(), 4);
  });

  t.test(`${store}: with a token nothing is shown or changed without it`, async (t) => {
    const token = "operators-only-0123456789";
    const scene = await startScene(t, root, store, { admin: { token } });
    const key = newKey();
    const id = await loseOne(t, scene, key);
    const headers = { Authorization: `Bearer ${token}` };
    t.equal((await scene.admin(`/v1/records/${id}`)).status, 401);
    t.equal((await scene.admin(`/v1/records/${id}`, { method: "DELETE" })).status, 401);
    t.equal((await resolve(scene, id, '{"outcome":"not-executed"}')).status, 401);
    t.equal((await scene.ask({ key })).status, 409, "still unknown");
    t.equal((await scene.admin(`/v1/records/${id}`, { headers })).json()["state"], "unknown");
    t.equal((await scene.admin(`/v1/records/${id}`, { method: "DELETE", headers })).status, 204);
    t.equal((await scene.ask({ key })).status, 201);
    t.equal(scene.upstream.count(), 2);
  });
}

t.test(
  "a DELETE that is told what is remembered replays no record, and its retry does",
  async (t) => {
    const resource = { id: "path", afterDelete: { remember: "1h", delete: "replay" } };
    const match = { methods: ["DELETE"], path: "/things/:id" };
    const scene = await startScene(t, root, "embedded", {
      routes: [{ name: "things", match, resource }],
    });
    const remove = async (key: string) => {
      const answer = await scene.ask({ key, method: "DELETE", target: "/things/1", body: null });
      const record = await scene.record(answer.header("Idempotency-Record") ?? "");
      return [answer.header("Idempotency-Status"), record?.["fence"], record?.["replays"]];
    };
    const key = newKey();
    t.same(await remove(newKey()), ["executed", 1, []]);
    t.same(await remove(key), ["replayed", 1, []]);
    t.match(await remove(key), ["replayed", 1, [{ count: 1 }]]);
    t.equal(scene.upstream.count(), 1);
  },
);
