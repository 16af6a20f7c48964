import { once } from "node:events";
import { createServer, connect as dial } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { performance } from "node:perf_hooks";
import t from "tap";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import { StoreFull, StoreUnavailable } from "../../src/core/ports.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { answerOf, claimOf, hex } from "./contract-values.ts";

function openStore(t: Test, url: string, timeoutMs = 2000): Store {
  const store = createRedisStore({ url, timeoutMs, keyPrefix: "t:" });
  t.teardown(() => store.close());
  return store;
}

const healthy = (store: Store): Promise<void> =>
  until(async () => (await store.problems()).length === 0);

t.test(
  "Redis down at start, up later, killed and back: refused quickly, and it heals",
  async (t) => {
    const redis = await startRedis(t);
    await redis.kill();
    const store = openStore(t, redis.url, 1000);
    await until(async () => /ECONNREFUSED/u.test((await store.problems()).join()));
    const startedMs = performance.now();
    await t.rejects(store.claim(claimOf()), StoreUnavailable);
    t.ok(performance.now() - startedMs < 500, "no offline queue");
    await redis.restart();
    await healthy(store);
    t.match(await store.claim(claimOf()), { kind: "granted" });
    await redis.kill();
    await until(async () => (await store.problems()).length > 0);
    await t.rejects(store.claim(claimOf()), StoreUnavailable);
    const watch = await store.watch(hex(32));
    watch.close();
    await redis.restart();
    await healthy(store);
    t.match(await store.claim(claimOf()), { kind: "granted" });
  },
);

t.test(
  "a paused server: every call is refused at the time-out, close does not hang, and it heals",
  async (t) => {
    const redis = await startRedis(t);
    const store = openStore(t, redis.url, 200);
    const other = openStore(t, redis.url, 200);
    await healthy(store);
    await healthy(other);
    await redis.kill("SIGSTOP");
    const claim = claimOf();
    const calls: Record<string, () => Promise<unknown>> = {
      claim: () => store.claim(claim),
      complete: () => store.complete(claim.id, claim.token, answerOf(), 1000),
      release: () => store.release(claim.id, claim.token),
      markUnknown: () => store.markUnknown(claim.id, claim.token, "reset", 1000),
      inspect: () => store.inspect(claim.id),
      list: () => store.list({ limit: 10 }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const startedMs = performance.now();
      await t.rejects(call(), StoreUnavailable, name);
      const tookMs = performance.now() - startedMs;
      t.ok(tookMs < 400, `${name}: ${Math.round(tookMs)} ms`);
    }
    t.not((await store.problems()).length, 0);
    await other.close();
    await t.rejects(other.claim(claim), StoreUnavailable, "after close");
    await redis.kill("SIGCONT");
    await healthy(store);
    t.match(await store.claim(claimOf()), { kind: "granted" });
  },
);

t.test("the wrong eviction policy, and a replica, are told with what to do", async (t) => {
  const redis = await startRedis(t, { args: ["--maxmemory-policy", "volatile-ttl"] });
  const evicting = openStore(t, redis.url);
  const [policy = ""] = await settledProblems(evicting);
  t.match(policy, /volatile-ttl.*set maxmemory-policy to noeviction/u);
  const replica = await startRedis(t, { replicaOf: redis });
  const reading = openStore(t, replica.url);
  t.match((await settledProblems(reading)).join(), /is a slave, not a primary/u);
  await until(async () => /link_status:up/u.test(await replica.cli("INFO", "replication")));
  await t.rejects(reading.claim(claimOf()), StoreUnavailable);
});

async function settledProblems(store: Store): Promise<readonly string[]> {
  let problems: readonly string[] = [];
  await until(async () => {
    problems = await store.problems();
    return !/does not answer|did not answer/u.test(problems.join());
  });
  return problems;
}

t.test(
  "memory is full: new claims and bodies are refused, replays and bare completions are not",
  async (t) => {
    const redis = await startRedis(t, { args: ["--maxmemory-policy", "noeviction"] });
    const store = openStore(t, redis.url);
    await healthy(store);
    const done = claimOf();
    const claim = claimOf();
    const lost = claimOf();
    for (const each of [done, claim, lost]) await store.claim(each);
    await store.complete(done.id, done.token, answerOf(), 60_000);
    await redis.cli("CONFIG", "SET", "maxmemory", "1");
    await t.rejects(store.complete(claim.id, claim.token, answerOf(), 60_000), StoreFull);
    await t.rejects(store.claim(claimOf()), StoreFull);
    const bare = await store.complete(claim.id, claim.token, answerOf({ body: undefined }), 60_000);
    t.equal(bare.kind, "done");
    t.equal(await store.markUnknown(lost.id, lost.token, "reset", 60_000), "done");
    t.equal(await store.resolve(lost.id, "executed", 60_000), "done");
    t.match(await store.claim({ ...done, token: hex(16) }), { kind: "replay" });
    t.match(await store.claim({ ...claim, fingerprint: "cd".repeat(32) }), { kind: "mismatch" });
  },
);

/** Forwards to `port`; `mute` swallows the server's replies and then breaks the connections. */
async function lossyProxy(
  t: Test,
  port: number,
): Promise<{ url: string; mute: () => void; break: () => void }> {
  const sockets = new Set<Socket>();
  let muted = false;
  const proxy = createServer((client) => {
    const server = dial(port, "127.0.0.1");
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => sockets.delete(socket));
    }
    client.pipe(server);
    server.on("data", (reply: Buffer) => void (muted || client.write(reply)));
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const broken = (): void => {
    muted = false;
    for (const socket of sockets) socket.destroy();
  };
  t.teardown(() => {
    broken();
    proxy.close();
  });
  return {
    url: `redis://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    mute: () => void (muted = true),
    break: broken,
  };
}

t.test("a lost reply: the script ran once, and asking again with the token says so", async (t) => {
  const redis = await startRedis(t);
  const proxy = await lossyProxy(t, redis.port);
  const store = openStore(t, proxy.url);
  const direct = openStore(t, redis.url);
  await healthy(store);
  await healthy(direct);
  // The first claim of all learns the server's clock, with two calls.
  await store.claim(claimOf());
  const claim = claimOf();
  const expected = { claim: { kind: "granted", fence: 1 }, complete: { kind: "done" } };
  const calls = {
    claim: () => store.claim(claim),
    complete: () => store.complete(claim.id, claim.token, answerOf(), 60_000),
  };
  for (const [name, state] of [
    ["claim", "in-flight"],
    ["complete", "completed"],
  ] as const) {
    proxy.mute();
    const failed = t.rejects(async () => calls[name](), StoreUnavailable);
    await until(async () => (await direct.inspect(claim.id))?.state === state);
    proxy.break();
    await failed;
    await healthy(store);
    t.match(await calls[name](), expected[name], `${name} again`);
  }
  t.match(await direct.inspect(claim.id), { state: "completed", fence: 1 });
});

t.test("scripts that were flushed are sent again, and a claim is one round trip", async (t) => {
  const redis = await startRedis(t);
  const store = openStore(t, redis.url);
  await healthy(store);
  await store.claim(claimOf());
  await redis.cli("SCRIPT", "FLUSH");
  t.match(await store.claim(claimOf()), { kind: "granted" });
  await redis.cli("CONFIG", "RESETSTAT");
  const claim = claimOf();
  await store.claim(claim);
  await store.complete(claim.id, claim.token, answerOf(), 1000);
  const stats = await redis.cli("INFO", "commandstats");
  const sent = [...stats.matchAll(/cmdstat_(eval|evalsha|script\|?\w*):calls=(\d+)/gu)];
  t.equal(
    sent.reduce((sum, [, , calls]) => sum + Number(calls), 0),
    2,
    stats,
  );
});

t.test("a user who may run nothing: no secret is in any error", async (t) => {
  const redis = await startRedis(t, { acl: ["user default on nopass ~* &* +@all -eval -evalsha"] });
  const store = openStore(t, redis.url);
  await until(async () => (await store.problems()).length === 0);
  const claim = claimOf({ target: "/canary", route: "canary", method: "CANARY" });
  const headers = [["Set-Cookie", "canary"]] as const;
  const calls: Promise<unknown>[] = [
    store.claim(claim),
    store.complete(claim.id, claim.token, answerOf({ headers, body: Buffer.from("canary") }), 1000),
  ];
  for (const outcome of await Promise.allSettled(calls)) {
    const error: unknown = outcome.status === "rejected" ? outcome.reason : undefined;
    t.ok(error instanceof StoreUnavailable);
    if (!(error instanceof Error)) continue;
    t.equal(error.message, "Redis did not do it (NOPERM).");
    t.same(Object.keys(error).sort(), ["code", "name"]);
    t.equal(error.cause, undefined);
    t.notMatch(error.stack, /canary/iu);
  }
});
