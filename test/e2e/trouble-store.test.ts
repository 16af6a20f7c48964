/**
 * A store that stops answering at each step of an exchange, and comes back: what callers are told meanwhile, what the
 * record says afterwards, and that the upstream is called once. Not for memory, which cannot be parted from its gateway.
 */
import t from "tap";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { until } from "../support/redis-server.ts";
import { answerByNumber, DAY_MS, newKey, TARGET } from "../support/scene.ts";
import { startBreakableScene } from "../support/trouble.ts";
import { writeAnswer } from "../support/upstream.ts";

const root = t;

for (const store of ["embedded", "redis"] as const) {
  t.test(
    `${store}: it stops before the claim: refused; a claim that arrives late is given back, and the retry executes`,
    async (t) => {
      const scene = await startBreakableScene(t, root, store);
      const key = newKey();
      await scene.stopStore();
      const refused = await scene.ask({ key });
      const record = checkRefusal(t, refused, { code: "store-unavailable", status: 503, key, record: true, retryAfterS: [1, 1] }); // prettier-ignore
      t.equal(scene.upstream.count(), 0);
      await scene.healStore();
      // Long before the lease is over, which is 40 seconds here.
      const beganMs = performance.now();
      let retry = await scene.ask({ key });
      await until(async () => {
        if (retry.status === 409) retry = await scene.ask({ key });
        return retry.status !== 409;
      });
      t.ok(performance.now() - beganMs < 20_000, "the key was not held for a lease");
      checkOwn(t, retry, { status: 201, word: "executed", key, record, expiresInMs: DAY_MS });
      t.equal((await scene.ask({ key })).header("Idempotency-Status"), "replayed");
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(
    `${store}: it stops before the answer is recorded: told, and recorded once it is back`,
    async (t) => {
      const scene = await startBreakableScene(t, root, store);
      const key = newKey();
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      await scene.stopStore();
      gate.release();
      const record = checkOwn(t, await first, {
        status: 201,
        word: "not-recorded",
        key,
        record: true,
      });
      await scene.healStore();
      await scene.inState(record, "completed");
      const replay = await scene.ask({ key });
      checkOwn(t, replay, { status: 201, word: "replayed", key, record, expiresInMs: DAY_MS });
      t.equal(replay.body.toString(), "execution 1");
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(
    `${store}: it stops before the outcome is marked unknown: the reason is kept, and nothing is sent again`,
    async (t) => {
      const scene = await startBreakableScene(t, root, store);
      const key = newKey();
      scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      await scene.stopStore();
      gate.release();
      const record = checkRefusal(t, await first, { code: "outcome-unknown", status: 502, key, record: true }); // prettier-ignore
      await scene.healStore();
      answerByNumber(scene.upstream);
      await scene.inState(record, "unknown");
      t.match(await scene.record(record), { reason: "reset", fence: 1 });
      checkRefusal(t, await scene.ask({ key }), { code: "outcome-unknown", status: 409, key, record, expiresInMs: 3 * DAY_MS }); // prettier-ignore
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(`${store}: it stops before the key is released: free once it is back`, async (t) => {
    const scene = await startBreakableScene(t, root, store);
    const key = newKey();
    scene.upstream.respond((_call, _req, res) => writeAnswer(res, { status: 429 }));
    const gate = scene.upstream.hold();
    const first = scene.ask({ key });
    await scene.upstream.arrived(1);
    await scene.stopStore();
    gate.release();
    const record = checkOwn(t, await first, { status: 429, word: "released", key, record: true });
    await scene.healStore();
    await scene.forgotten(record);
    answerByNumber(scene.upstream);
    const retry = await scene.ask({ key });
    checkOwn(t, retry, { status: 201, word: "executed", key, record, expiresInMs: DAY_MS });
    t.equal(scene.upstream.count(), 2);
  });

  t.test(
    `${store}: it stops while a duplicate waits: it is refused, by bypass too, and never sent`,
    async (t) => {
      const defaults = { onInFlight: "wait", onStoreError: "bypass" };
      const scene = await startBreakableScene(t, root, store, { defaults });
      const key = newKey();
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      const waiting = scene.ask({ key });
      // Its first claim and, once it watches, its second: now it waits.
      await until(async () => {
        const counted = /store_duration_seconds_count\{operation="claim"\} (\d+)/;
        const { body } = await scene.admin("/metrics");
        return Number(counted.exec(body.toString())?.[1]) >= 3;
      });
      await scene.stopStore();
      checkRefusal(t, await waiting, { code: "in-flight", status: 409, key, record: true, retryAfterS: [1, 15], original: { method: "POST", target: TARGET } }); // prettier-ignore
      t.equal(scene.upstream.count(), 1);
      await scene.healStore();
      gate.release();
      t.equal((await first).body.toString(), "execution 1");
      t.equal((await scene.ask({ key })).body.toString(), "execution 1");
      t.equal(scene.upstream.count(), 1);
    },
  );
}
