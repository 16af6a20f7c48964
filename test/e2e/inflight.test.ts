/** Duplicates of a request that is still running: refused or held, and one call whatever happens. */
import t from "tap";
import { call } from "../support/client.ts";
import { STORES } from "../support/gateway.ts";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { DAY_MS, newKey, startScene, TARGET, type Scene } from "../support/scene.ts";

const root = t;
const WAITERS = 20;
const ORIGINAL = { method: "POST", target: TARGET };

/** Resolves when the gateway has begun as many exchanges that have not ended. */
async function inFlight(scene: Scene, wanted: number): Promise<void> {
  for (;;) {
    const { body } = await call(`${scene.gateway.admin}/metrics`);
    if (new RegExp(`^idempotency_gateway_in_flight ${wanted}$`, "m").test(body.toString())) return;
  }
}

for (const store of STORES) {
  t.test(
    `${store}: reject: every duplicate is refused at once, and there is one call`,
    async (t) => {
      const scene = await startScene(t, root, store);
      const key = newKey();
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      const duplicates = await Promise.all(
        Array.from({ length: WAITERS }, () => scene.ask({ key })),
      );
      for (const answer of duplicates) {
        checkRefusal(t, answer, { code: "in-flight", status: 409, key, record: true, retryAfterS: [1, 5], original: ORIGINAL }); // prettier-ignore
      }
      gate.release();
      t.equal((await first).body.toString(), "execution 1");
      t.equal((await scene.ask({ key })).body.toString(), "execution 1");
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(
    `${store}: wait: ${WAITERS} duplicates get the one answer, and there is one call`,
    async (t) => {
      const scene = await startScene(t, root, store, { defaults: { onInFlight: "wait" } });
      const key = newKey();
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      const waiting = Array.from({ length: WAITERS }, () => scene.ask({ key }));
      await inFlight(scene, WAITERS + 1);
      const other = await scene.ask({ key, body: "{}" });
      checkRefusal(t, other, {
        code: "key-reused",
        status: 409,
        key,
        record: true,
        original: ORIGINAL,
      });
      gate.release();
      const answer = await first;
      const record = checkOwn(t, answer, { status: 201, word: "executed", key, record: true, expiresInMs: DAY_MS }); // prettier-ignore
      for (const replay of await Promise.all(waiting)) {
        checkOwn(t, replay, { status: 201, word: "replayed", key, record, expiresInMs: DAY_MS });
        t.same(replay.body, answer.body);
      }
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(`${store}: wait: after waitTimeout the duplicate is refused after all`, async (t) => {
    const defaults = { onInFlight: "wait", waitTimeout: "100ms" };
    const scene = await startScene(t, root, store, { defaults });
    const key = newKey();
    const gate = scene.upstream.hold();
    const first = scene.ask({ key });
    await scene.upstream.arrived(1);
    const beganMs = performance.now();
    const refused = await scene.ask({ key });
    const waitedMs = performance.now() - beganMs;
    t.ok(waitedMs >= 99 && waitedMs < 10_000, `waited ${Math.round(waitedMs)} ms`);
    checkRefusal(t, refused, { code: "in-flight", status: 409, key, record: true, retryAfterS: [1, 5], original: ORIGINAL }); // prettier-ignore
    gate.release();
    t.equal((await first).status, 201);
    t.equal(scene.upstream.count(), 1);
  });

  t.test(
    `${store}: wait: a released key goes to one of the waiters, one call at a time`,
    async (t) => {
      const scene = await startScene(t, root, store, { defaults: { onInFlight: "wait" } });
      const key = newKey();
      let running = 0;
      let most = 0;
      const statuses = [503, 429, 201];
      scene.upstream.respond(async (_call, _req, res) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((turn) => setImmediate(turn));
        running -= 1;
        res.writeHead(statuses.shift() ?? 500).end();
      });
      const gate = scene.upstream.hold();
      const asked = Array.from({ length: 6 }, () => scene.ask({ key }));
      await scene.upstream.arrived(1);
      await inFlight(scene, 6);
      gate.release();
      const answers = await Promise.all(asked);
      const count = (status: number, word: string): number =>
        answers.filter((a) => a.status === status && a.header("Idempotency-Status") === word)
          .length;
      t.same(
        [
          count(503, "released"),
          count(429, "released"),
          count(201, "executed"),
          count(201, "replayed"),
        ],
        [1, 1, 1, 3],
      );
      t.equal(most, 1);
      t.equal(scene.upstream.count(), 3);
    },
  );

  t.test(
    `${store}: wait: an outcome that becomes unknown is told to every waiter, nothing is sent again`,
    async (t) => {
      const scene = await startScene(t, root, store, { defaults: { onInFlight: "wait" } });
      const key = newKey();
      scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      const waiting = Array.from({ length: 5 }, () => scene.ask({ key }));
      await inFlight(scene, 6);
      gate.release();
      const record = checkRefusal(t, await first, { code: "outcome-unknown", status: 502, key, record: true }); // prettier-ignore
      for (const refused of await Promise.all(waiting)) {
        checkRefusal(t, refused, { code: "outcome-unknown", status: 409, key, record, expiresInMs: 3 * DAY_MS }); // prettier-ignore
      }
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(`${store}: wait: waiters that hang up, the first one too, change nothing`, async (t) => {
    const scene = await startScene(t, root, store, { defaults: { onInFlight: "wait" } });
    const key = newKey();
    const gate = scene.upstream.hold();
    const leaving = new AbortController();
    const { signal } = leaving;
    const first = t.rejects(scene.ask({ key, signal }));
    await scene.upstream.arrived(1);
    const gone = Array.from({ length: 4 }, () => t.rejects(scene.ask({ key, signal })));
    const stays = scene.ask({ key });
    await inFlight(scene, 6);
    leaving.abort();
    await Promise.all([first, ...gone]);
    await inFlight(scene, 2);
    gate.release();
    const answer = await stays;
    checkOwn(t, answer, { status: 201, word: "replayed", key, record: true, expiresInMs: DAY_MS });
    t.equal(answer.body.toString(), "execution 1");
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: Retry-After follows what the route's upstream has been taking`, async (t) => {
    const scene = await startScene(t, root, store);
    const warm = scene.upstream.hold();
    const slow = scene.ask({ key: newKey() });
    await scene.upstream.arrived(1);
    const beganMs = performance.now();
    // Real time has to pass here, and what passes it is the wait for a record to be forgotten elsewhere.
    const clock = await startScene(t, root, "memory", { defaults: { retention: { completed: "2s" } } }); // prettier-ignore
    const done = await clock.ask({ key: newKey() });
    await clock.forgotten(done.header("Idempotency-Record") ?? "");
    warm.release();
    await slow;
    const tookS = (performance.now() - beganMs) / 1000;
    const key = newKey();
    const gate = scene.upstream.hold();
    const first = scene.ask({ key });
    await scene.upstream.arrived(2);
    const usual = Math.ceil(tookS);
    checkRefusal(t, await scene.ask({ key }), { code: "in-flight", status: 409, key, record: true, retryAfterS: [2, usual + 1], original: ORIGINAL }); // prettier-ignore
    gate.release();
    await first;
    t.equal(scene.upstream.count(), 2);
  });
}
