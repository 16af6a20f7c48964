/** Claims that wait for replicas: which count, which are refused, and whom a replica that says nothing delays. */
import { performance } from "node:perf_hooks";
import t from "tap";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import { scriptRunner } from "../../src/store/redis-call.ts";
import { connectForWait, hangUp } from "../../src/store/redis-client.ts";
import { confirmer } from "../../src/store/redis-replicas.ts";
import { createServerClock } from "../../src/store/redis-clock.ts";
import { createOrder } from "../../src/store/redis-order.ts";
import { loadScripts } from "../../src/store/redis-scripts.ts";
import { parseRedisUrl } from "../../src/store/redis-url.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until, type RedisServer } from "../support/redis-server.ts";
import { answerOf, claimOf, hex } from "./contract-values.ts";

const PREFIX = "w:";

async function primaryAndReplica(t: Test) {
  const primary = await startRedis(t);
  const replica = await startRedis(t, { replicaOf: primary });
  await until(async () => (await primary.cli("WAIT", "1", "100")) === "1");
  return { primary, replica };
}

function open(t: Test, { url }: RedisServer, wait: number, waitMs = 1000): Store {
  const replicas = { wait, timeoutMs: waitMs };
  const store = createRedisStore({ url, timeoutMs: 2000, keyPrefix: PREFIX, replicas });
  t.teardown(() => store.close());
  return store;
}

const healthy = (store: Store): Promise<void> =>
  until(async () => (await store.problems()).length === 0);

t.test(
  "one replica there is enough, two are not, and the claim is its owner's to give back",
  async (t) => {
    const { primary, replica } = await primaryAndReplica(t);
    const one = open(t, primary, 1);
    const two = open(t, primary, 2, 50);
    await healthy(one);
    const claim = claimOf();
    t.same(await one.claim(claim), { kind: "granted", fence: 1 });
    t.equal(await replica.cli("EXISTS", `${PREFIX}{${claim.id}}`), "1", "the replica has it");
    t.match(await one.complete(claim.id, claim.token, answerOf(), 60_000), { kind: "done" });
    t.match(await two.claim({ ...claim, token: hex(16) }), { kind: "replay" }, "no claim, no wait");

    const lacking = claimOf();
    await until(async () => /1 of the 2 replicas/u.test((await two.problems()).join()));
    await t.rejects(two.claim(lacking), { message: "Only 1 of 2 replicas have the claim." });
    t.match(await one.claim({ ...lacking, token: hex(16) }), { kind: "busy" }, "it stands");
    t.same(await one.claim(lacking), { kind: "granted", fence: 1 }, "asked again with its token");
    t.equal(await two.release(lacking.id, lacking.token), "done");
  },
);

t.test(
  "no replica is connected: refused, not ready, and it says why; ready once there is one",
  async (t) => {
    const { primary, replica } = await primaryAndReplica(t);
    const store = open(t, primary, 1, 50);
    await healthy(store);
    await replica.kill();
    await until(async () => (await store.problems()).length > 0);
    t.same(await store.problems(), [
      "Redis has 0 of the 1 replicas that claims wait for (store.replicas.wait).",
    ]);
    await t.rejects(store.claim(claimOf()), { message: "Only 0 of 1 replicas have the claim." });
    await replica.restart();
    await healthy(store);
    t.same(await store.claim(claimOf()), { kind: "granted", fence: 1 });
  },
);

t.test(
  "a replica that stays silent delays the claims that wait for it, and nobody else",
  async (t) => {
    const { primary, replica } = await primaryAndReplica(t);
    const store = open(t, primary, 1, 1000);
    await healthy(store);
    const done = claimOf();
    t.match(await store.claim(done), { kind: "granted" });
    t.match(await store.complete(done.id, done.token, answerOf(), 60_000), { kind: "done" });
    const owned = claimOf();
    t.match(await store.claim(owned), { kind: "granted" });

    await replica.kill("SIGSTOP");
    const startedMs = performance.now();
    const refused = Promise.allSettled(Array.from({ length: 20 }, () => store.claim(claimOf())));
    // The claims stand, so those who wait for the replica are many by now.
    await until(async () => Number(await primary.cli("DBSIZE")) >= 22);
    const others: number[] = [];
    for (let n = 0; n < 20; n += 1) {
      const sentMs = performance.now();
      t.match(await store.claim({ ...done, token: hex(16) }), { kind: "replay" });
      t.match(await store.complete(owned.id, owned.token, answerOf(), 60_000), { kind: "done" });
      t.equal(await store.release(hex(32), hex(16)), "lost");
      others.push(performance.now() - sentMs);
    }
    const slowest = Math.max(...others);
    t.ok(slowest < 500, `three other calls took ${slowest.toFixed(1)} ms at most`);
    for (const outcome of await refused) {
      t.match(outcome, { status: "rejected", reason: { name: "StoreUnavailable" } });
    }
    const waitedMs = performance.now() - startedMs;
    t.ok(
      waitedMs >= 1000 && waitedMs < 3500,
      `20 claims were refused after ${waitedMs.toFixed(0)} ms`,
    );
    await replica.kill("SIGCONT");
  },
);

t.test("replicas of a server that does not hold the claim are not counted", async (t) => {
  const { primary, replica } = await primaryAndReplica(t);
  const store = createRedisStore({ url: primary.url, timeoutMs: 2000, keyPrefix: PREFIX });
  t.teardown(() => store.close());
  await healthy(store);
  await replica.cli("REPLICAOF", "NO", "ONE");
  await startRedis(t, { replicaOf: replica });
  await until(async () => (await replica.cli("WAIT", "1", "100")) === "1");
  const claim = claimOf();
  t.match(await store.claim(claim), { kind: "granted" }, "on the old primary");

  // What a failover looks like when one connection has found the new primary and the other has not.
  const client = connectForWait(parseRedisUrl(replica.url), 2000, loadScripts(), (error) =>
    t.error(error),
  );
  t.teardown(() => hangUp(client));
  await until(async () => client.status === "ready");
  const line = {
    client,
    timeoutMs: 2000,
    order: createOrder(client, 2000),
    clock: createServerClock(),
    lastTrouble: () => undefined,
  };
  const run = scriptRunner(line, (id) => `${PREFIX}{${id}}`);
  const confirm = confirmer(client, run, { wait: 1, timeoutMs: 1000 });
  await t.rejects(confirm(claim.id, claim.token), /not on the server whose replicas are asked/u);
});

t.test("another call's answer in place of WAIT's is no number of replicas: refused", async (t) => {
  const primary = await startRedis(t);
  const target = parseRedisUrl(primary.url);
  const client = connectForWait(target, 2000, loadScripts(), (error) => t.error(error));
  t.teardown(() => hangUp(client));
  await until(async () => client.status === "ready");
  const answers: unknown[] = [["done", 1, "x"], undefined, 1];
  client.wait = (() => Promise.resolve(answers.shift())) as typeof client.wait;
  const done = () => Promise.resolve({ word: "done", data: [] });
  const confirm = confirmer(client, done, { wait: 1, timeoutMs: 1000 });
  await t.rejects(confirm(hex(32), hex(16)), { name: "ReplyMisplaced" });
  await t.rejects(confirm(hex(32), hex(16)), { name: "ReplyMisplaced" });
  await confirm(hex(32), hex(16));
});
