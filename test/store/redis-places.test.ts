import t from "tap";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import { StoreUnavailable } from "../../src/core/ports.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { startCluster, startRedis, startSentinel, until } from "../support/redis-server.ts";
import { answerOf, claimOf, hex } from "./contract-values.ts";

async function openStore(t: Test, url: string): Promise<Store> {
  const store = createRedisStore({ url, timeoutMs: 2000, keyPrefix: "places:" });
  t.teardown(() => store.close());
  await until(async () => (await store.problems()).length === 0);
  return store;
}

async function worksOn(t: Test, store: Store): Promise<void> {
  const claim = claimOf();
  t.same(await store.claim(claim), { kind: "granted", fence: 1 });
  t.match(await store.complete(claim.id, claim.token, answerOf(), 60_000), { kind: "done" });
  t.match(await store.claim({ ...claim, token: hex(16) }), { kind: "replay" });
}

t.test("a unix socket, with a database number", async (t) => {
  const redis = await startRedis(t);
  await worksOn(t, await openStore(t, `redis+unix://${redis.socket}?db=3`));
  t.equal(await redis.cli("-n", "3", "DBSIZE"), "1");
});

t.test("an ACL user with the least rights, its password percent-encoded", async (t) => {
  const redis = await startRedis(t, {
    acl: [
      "user default off",
      "user gate on >p@ss:/w0rd ~places:* &places:* +@connection +@read +@write +@scripting +publish +subscribe +unsubscribe +info +time",
      "user admin on nopass ~* &* +@all",
    ],
  });
  const url = (user: string): string => redis.url.replace("//", `//${user}@`);
  await worksOn(t, await openStore(t, url("gate:p%40ss%3A%2Fw0rd")));
  const wrong = createRedisStore({ url: url("gate:canary"), timeoutMs: 500, keyPrefix: "places:" });
  t.teardown(() => wrong.close());
  await until(async () => /WRONGPASS/u.test((await wrong.problems()).join()));
  t.same(await wrong.problems(), [
    "Redis refuses the user or password (WRONGPASS): set them in store.url.",
  ]);
});

t.test("rediss with a private authority; without it the certificate is refused", async (t) => {
  const redis = await startRedis(t, { tls: true });
  await worksOn(t, await openStore(t, redis.url));
  const [url = ""] = redis.url.split("?");
  const doubting = createRedisStore({ url, timeoutMs: 500, keyPrefix: "places:" });
  t.teardown(() => doubting.close());
  await until(async () => /CERT|UNABLE/u.test((await doubting.problems()).join()));
  await t.rejects(doubting.claim(claimOf()), StoreUnavailable);
});

t.test("Sentinel: found by name, and the new primary is found after a failover", async (t) => {
  const sentinel = await startSentinel(t);
  const url = `redis+sentinel://127.0.0.1:${sentinel.port}/records/0`;
  const store = await openStore(t, url);
  await worksOn(t, store);
  const before = claimOf();
  await store.claim(before);
  // WAIT would count what its own connection wrote, which is not the store's.
  const key = `places:{${before.id}}`;
  await until(async () => (await sentinel.replica.cli("EXISTS", key)) === "1");
  await sentinel.failover();
  await until(async () => (await store.problems()).length === 0);
  await worksOn(t, store);
  t.match(await store.claim({ ...before, token: hex(16) }), { kind: "busy" });
  t.match(await sentinel.replica.cli("INFO", "replication"), /role:master/u);
});

t.test(
  "Cluster: keys of many slots, all in one listing, waiting and rolls across nodes",
  async (t) => {
    const nodes = await startCluster(t);
    const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const store = await openStore(t, `redis+cluster://${hosts}`);
    const all = Array.from({ length: 60 }, () => claimOf());
    const answers = await Promise.all(all.map((claim) => store.claim(claim)));
    t.ok(answers.every(({ kind }) => kind === "granted"));
    for (const node of nodes) t.ok(Number(await node.cli("DBSIZE")) > 0, "every node has some");
    const listed = new Set<string>();
    let page = await store.list({ limit: 7 });
    for (;;) {
      for (const { id } of page.records) listed.add(id);
      t.ok(page.records.length <= 7);
      if (page.cursor === undefined) break;
      page = await store.list({ limit: 7, cursor: page.cursor });
    }
    t.same([...listed].sort(), all.map(({ id }) => id).sort());
    for (const { id, token } of all.slice(0, 6)) {
      const watch = await store.watch(id);
      const woken = watch.wait(60_000, new AbortController().signal);
      await store.complete(id, token, answerOf(), 60_000);
      await woken;
      watch.close();
    }
    await worksOn(t, store);
    const scope = hex(32);
    const entry = { scope, most: 20, keepMs: 60_000, claimMs: 1, how: "look" } as const;
    for (const { id } of all.slice(0, 20)) await store.enterRoll({ ...entry, id });
    const next = { ...entry, id: hex(32), claimMs: 5000 };
    t.match(await store.enterRoll(next), { kind: "full" }, "records of all nodes are looked for");
    t.equal(await store.forget(all[0]?.id ?? ""), "done");
    t.match(await store.enterRoll(next), { kind: "entered" });
  },
);

t.test(
  "Cluster: closed while its layout is being asked for, nothing is left that runs",
  async (t) => {
    const nodes = await startCluster(t);
    const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(",");
    // The process is this file's own, so that no timer of another file can end meanwhile and hide one of these.
    const running = (kind: string): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === kind).length;
    const timers = running("Timeout");
    const store = await openStore(t, `redis+cluster://${hosts}`);
    for (const node of nodes) await node.kill("SIGSTOP");
    // Who asks for the layout does so on a connection of its own, and nobody answers it now.
    let least = Infinity;
    await until(async () => {
      const sockets = running("TCPSocketWrap");
      least = Math.min(least, sockets);
      return sockets > least;
    });
    await store.close();
    for (const node of nodes) await node.kill("SIGCONT");
    await until(async () => running("TCPSocketWrap") < least);
    await until(async () => running("Timeout") <= timers);
    t.ok(running("Timeout") <= timers, "and no timer");
  },
);

t.test("waiting for replicas is refused with Cluster", async (t) => {
  const options = { url: "redis+cluster://h:1", timeoutMs: 100, keyPrefix: "" };
  t.throws(
    () => createRedisStore({ ...options, replicas: { wait: 1, timeoutMs: 50 } }),
    /Cluster/u,
  );
});
