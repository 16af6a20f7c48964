/** What one caller may take, and whether it may still be told: quotas of new keys and of live records, and an authorizer that is asked first. */
import t, { type Test } from "tap";
import type { Answer } from "../support/client.ts";
import { sharedRedis, storeSettings, STORES } from "../support/gateway.ts";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/redis-server.ts";
import { DAY_MS, newKey, startScene, type Scene, type SceneSettings } from "../support/scene.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const root = t;
const caller = (name: string) => ({ Authorization: `Bearer ${name}` });
const word = (answer: Answer): string | undefined => answer.header("Idempotency-Status");

/** How many keys have come back at most since then, at one a second. */
const backSince = (startMs: number): number => Math.ceil((performance.now() - startMs) / 1000);

for (const name of STORES) {
  t.test(
    `${name}: new keys beyond the quota are refused before the claim, known ones are not`,
    async (t) => {
      const quotas = { newKeys: { perSecond: 1, burst: 3 } };
      const scene = await startScene(t, root, name, { quotas });
      const headers = caller("a");
      const startMs = performance.now();
      const keys: string[] = [];
      let key = newKey();
      let answer = await scene.ask({ key, headers });
      while (word(answer) === "executed") {
        keys.push(key);
        key = newKey();
        answer = await scene.ask({ key, headers });
      }
      t.ok(keys.length >= 3 && keys.length <= 3 + backSince(startMs), `${keys.length} executed`);
      const id = checkRefusal(t, answer, { code: "quota-exceeded", status: 429, key, record: true, retryAfterS: [1, 1] }); // prettier-ignore
      t.equal(await scene.record(id), undefined, "nothing was claimed");
      for (const known of keys) {
        t.equal(word(await scene.ask({ key: known, headers })), "replayed");
        t.equal(word(await scene.ask({ key: known, headers, body: "{}" })), "key-reused");
      }
      t.equal(word(await scene.ask({ key, headers: caller("b") })), "executed");
      t.equal(scene.upstream.count(), keys.length + 1, "another caller has its own");
      t.match(await scene.gateway.metrics(), /outcome="quota-exceeded"\} 1\n/u);
    },
  );
}

t.test("a hundred new keys at once: no more than the burst are sent", async (t) => {
  const scene = await startScene(t, root, "memory", {
    quotas: { newKeys: { perSecond: 1, burst: 5 } },
  });
  const startMs = performance.now();
  const asked = Array.from({ length: 100 }, () => scene.ask({ key: newKey(), headers: caller("a") })); // prettier-ignore
  const words = (await Promise.all(asked)).map(word);
  const executed = words.filter((each) => each === "executed").length;
  t.ok(executed >= 5 && executed <= 5 + backSince(startMs), `${executed} executed`);
  t.equal(words.filter((each) => each === "quota-exceeded").length, 100 - executed);
  t.equal(scene.upstream.count(), executed);
});

t.test("duplicates that wait or collide take nothing of the quota", async (t) => {
  const scene = await startScene(t, root, "memory", {
    quotas: { newKeys: { perSecond: 1, burst: 2 } },
    defaults: { onInFlight: "wait" },
  });
  const headers = caller("a");
  const [key, next] = [newKey(), newKey()];
  const gate = scene.upstream.hold();
  const first = scene.ask({ key, headers });
  await scene.upstream.arriving(1);
  const waiting = [scene.ask({ key, headers }), scene.ask({ key, headers })];
  for (let n = 0; n < 5; n += 1) {
    t.equal(word(await scene.ask({ key, headers, body: "{}" })), "key-reused");
  }
  const second = scene.ask({ key: next, headers });
  await scene.upstream.arriving(2);
  gate.release();
  t.same((await Promise.all([first, second])).map(word), ["executed", "executed"]);
  t.same((await Promise.all(waiting)).map(word), ["replayed", "replayed"]);
  t.equal(scene.upstream.count(), 2);
});

t.test("a shadow has no quota, and nobody is asked about it", async (t) => {
  const authorizer = await startUpstream(t, { answer: { status: 403 } });
  const scene = await startScene(t, root, "memory", {
    quotas: { newKeys: { perSecond: 1 } },
    defaults: { mode: "shadow", replay: { authorize: authorizer.url } },
  });
  const key = newKey();
  for (const each of [key, key, newKey(), newKey(), newKey()]) {
    t.equal((await scene.ask({ key: each })).status, 201);
  }
  t.equal(scene.upstream.count(), 5);
  t.equal(authorizer.count(), 0);
});

for (const name of STORES) {
  t.test(
    `${name}: live records beyond the quota are refused before the claim, what is recorded is not`,
    async (t) => {
      const scene = await startScene(t, root, name, { quotas: { liveRecords: 2 } });
      const headers = caller("a");
      const keys = [newKey(), newKey()];
      for (const key of keys) t.equal(word(await scene.ask({ key, headers })), "executed");
      const key = newKey();
      const answer = await scene.ask({ key, headers });
      const day = DAY_MS / 1000;
      const id = checkRefusal(t, answer, { code: "quota-exceeded", status: 429, key, record: true, retryAfterS: [day - 60, day] }); // prettier-ignore
      t.equal(await scene.record(id), undefined, "nothing was claimed");
      for (const known of keys) {
        t.equal(word(await scene.ask({ key: known, headers })), "replayed");
        t.equal(word(await scene.ask({ key: known, headers, body: "{}" })), "key-reused");
      }
      t.equal(word(await scene.ask({ key: newKey(), headers: caller("b") })), "executed");
      t.equal(scene.upstream.count(), 3, "another caller has its own");
      const metrics = await scene.gateway.metrics();
      t.match(metrics, /quota_refusals_total\{quota="live-records"\} 1\n/u);
      t.match(metrics, /quota_refusals_total\{quota="new-keys"\} 0\n/u);
      const lines = await scene.gateway.exchanges(8);
      t.match(lines[2], { outcome: "quota-exceeded", cause: "live-records", recordId: id });

      const [first = ""] = keys;
      const gone = (await scene.ask({ key: first, headers })).header("Idempotency-Record");
      const forgotten = await scene.admin(`/v1/records/${gone}`, { method: "DELETE" });
      t.equal(forgotten.status, 204);
      await until(async () => word(await scene.ask({ key, headers })) === "executed");
      t.equal(word(await scene.ask({ key: first, headers })), "quota-exceeded");
      t.equal(scene.upstream.count(), 4);
    },
  );
}

t.test("two gateways on one Redis share the quota: never one more, whoever is asked", async (t) => {
  const store = await storeSettings(root, "redis");
  const settings = { store, quotas: { liveRecords: 7 } };
  const scenes = [
    await startScene(t, root, "redis", settings),
    await startScene(t, root, "redis", settings),
  ] as const;
  const headers = caller("a");
  const keys = Array.from({ length: 60 }, newKey);
  const answers = await Promise.all(keys.map((key, n) => scenes[n % 2 === 0 ? 0 : 1].ask({ key, headers }))); // prettier-ignore
  const executed = keys.filter((_, n) => answers[n]?.status === 201);
  t.equal(executed.length, 7);
  t.equal(answers.filter((each) => word(each) === "quota-exceeded").length, 53);
  for (const [n, key] of executed.entries()) {
    t.equal(word(await scenes[n % 2 === 0 ? 1 : 0].ask({ key, headers })), "replayed");
  }
  t.equal(scenes[0].upstream.count() + scenes[1].upstream.count(), 7);
  const redis = await sharedRedis(root);
  const names = (await redis.cli("KEYS", `${store.keyPrefix}s:*`)).split("\n");
  t.match(names, [new RegExp(`^${store.keyPrefix}s:\\{[0-9a-f]{64}\\}$`, "u")], "a digest");
  t.equal(names.length, 1);
  t.ok(Number(await redis.cli("PTTL", names[0] ?? "")) > DAY_MS, "it ends by itself");
});

t.test("a restart on the same directory keeps the count", async (t) => {
  const store = await storeSettings(root, "embedded");
  const settings = { store, quotas: { liveRecords: 2 } };
  const before = await startScene(t, root, "embedded", settings);
  const keys = [newKey(), newKey()];
  for (const key of keys) t.equal(word(await before.ask({ key })), "executed");
  await before.gateway.stop();
  const after = await startScene(t, root, "embedded", settings);
  t.equal(word(await after.ask({ key: newKey() })), "quota-exceeded");
  for (const key of keys) t.equal(word(await after.ask({ key })), "replayed");
  t.equal(before.upstream.count(), 2);
  t.equal(after.upstream.count(), 0);
});

/** A gateway that asks `authorizer` before it tells of a record. */
function asking(
  t: Test,
  authorizer: Pick<TestUpstream, "url">,
  more: SceneSettings["defaults"] = {},
): Promise<Scene> {
  const replay = { authorize: `${authorizer.url}/may-see?who=asks`, authorizeTimeout: "150ms" };
  return startScene(t, root, "memory", { defaults: { replay, ...more } });
}

/** Refused, with nothing of what was recorded. */
function isDenied(t: Test, answer: Answer, key: string) {
  checkRefusal(t, answer, { code: "replay-denied", status: 403, key, record: true });
  t.notMatch(answer.body.toString() + String(answer.pairs), /execution|charges\/1|\b201\b/u);
}

t.test(
  "a caller that has been revoked gets nothing; one that has not gets its answer",
  async (t) => {
    const authorizer = await startUpstream(t, { answer: { status: 204 } });
    const scene = await asking(t, authorizer, { scope: { headers: ["X-Account"] } });
    const key = newKey();
    const headers = { "X-Account": "a", Authorization: "Bearer t", Cookie: "c=1", "X-Other": "o" };
    const first = await scene.ask({ key, headers });
    t.equal(word(first), "executed");
    t.equal(authorizer.count(), 0, "nobody is asked about what executes");
    const again = await scene.ask({ key, headers });
    checkOwn(t, again, { status: 201, word: "replayed", key, record: true, expiresInMs: DAY_MS });
    t.equal(again.body.toString(), first.body.toString());
    const [seen] = authorizer.calls;
    t.match(seen, { method: "GET", url: "/may-see?who=asks" });
    t.equal(seen?.body.length, 0);
    const sent = ["X-Account", "Authorization", "Cookie", "X-Forwarded-Method", "X-Forwarded-Uri"];
    t.same(sent.map((field) => seen?.all(field)), [["a"], ["Bearer t"], ["c=1"], ["POST"], ["/v1/charges"]]); // prettier-ignore
    t.same(
      ["X-Other", "Idempotency-Key"].map((field) => seen?.all(field)),
      [[], []],
    );

    for (const status of [401, 403, 404, 302, 500]) {
      authorizer.answer({ status, headers: ["Location", `${authorizer.url}/elsewhere`], body: "canary" }); // prettier-ignore
      isDenied(t, await scene.ask({ key, headers }), key);
    }
    isDenied(t, await scene.ask({ key, headers, body: "{}" }), key);
    t.ok(
      authorizer.calls.every(({ url }) => url.startsWith("/may-see")),
      "no redirect is followed",
    );
    authorizer.answer({ status: 200, body: "x".repeat(200_000) });
    t.equal(word(await scene.ask({ key, headers })), "replayed", "its body says nothing");
    t.equal(word(await scene.ask({ key, headers, body: "{}" })), "key-reused");
    t.equal(authorizer.count(), 9);
    t.equal(scene.upstream.count(), 1);
  },
);

t.test("in flight and unknown are told to nobody else either", async (t) => {
  const authorizer = await startUpstream(t, { answer: { status: 403 } });
  const scene = await asking(t, authorizer, { onUnknown: "block" });
  const [running, lost] = [newKey(), newKey()];
  const gate = scene.upstream.hold();
  const first = scene.ask({ key: running });
  await scene.upstream.arriving(1);
  isDenied(t, await scene.ask({ key: running }), running);
  gate.release();
  t.equal((await first).status, 201);
  scene.upstream.respond((_call, req) => void req.socket.destroy());
  t.equal(word(await scene.ask({ key: lost })), "outcome-unknown", "its own caller is told");
  isDenied(t, await scene.ask({ key: lost }), lost);
  t.equal(scene.upstream.count(), 2);
});

t.test("nobody answers whether it may: 503, nothing is told and nothing sent", async (t) => {
  const closed = { url: `http://127.0.0.1:${await freePort()}` };
  const silent = await startUpstream(t);
  const gate = silent.hold();
  t.teardown(() => gate.release());
  for (const [authorizer, cause] of [
    [closed, "ECONNREFUSED"],
    [silent, "deadline-over"],
  ] as const) {
    const scene = await asking(t, authorizer);
    const key = newKey();
    t.equal(word(await scene.ask({ key })), "executed");
    const refused = await scene.ask({ key });
    checkRefusal(t, refused, { code: "access-unchecked", status: 503, key, record: true, retryAfterS: [1, 1] }); // prettier-ignore
    t.notMatch(refused.body.toString(), /execution|charges/u);
    t.match((await scene.gateway.exchanges(2)).at(-1), { level: "warn", cause });
    t.equal(scene.upstream.count(), 1);
  }
});
