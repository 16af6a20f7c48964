/** What a Redis that refuses leaves behind: nothing, and it says so, or a claim in doubt for each refused request. */
import t from "tap";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { claimOf, hex } from "./contract-values.ts";

t.test("a claim that Redis refuses by a word is undone: no replicas, no memory", async (t) => {
  const redis = await startRedis(t);
  const store = createRedisStore({ url: redis.url, timeoutMs: 2000, keyPrefix: "x:" });
  t.teardown(() => store.close());
  await until(async () => (await store.problems()).length === 0);
  await redis.cli("CONFIG", "SET", "min-replicas-to-write", "1");
  await t.rejects(store.claim(claimOf()), { message: /NOREPLICAS/u, undone: true });
  await redis.cli("CONFIG", "SET", "min-replicas-to-write", "0");
  await redis.cli("CONFIG", "SET", "maxmemory", "1");
  await t.rejects(store.claim(claimOf()), { name: "StoreFull", undone: true });
  const [scope, id, other] = [hex(32), hex(32), hex(32)];
  const entry = { scope, id, most: 1, keepMs: 60_000, claimMs: 1000, how: "look" } as const;
  await t.rejects(store.enterRoll(entry), { name: "StoreFull", undone: true });
  await redis.cli("CONFIG", "SET", "maxmemory", "0");
  t.equal(await redis.cli("DBSIZE"), "0");
  t.equal((await store.enterRoll(entry)).kind, "entered");
  await redis.cli("CONFIG", "SET", "maxmemory", "1");
  t.equal((await store.enterRoll(entry)).kind, "listed", "what is listed needs no room");
  t.equal((await store.enterRoll({ ...entry, id: other })).kind, "full");
  await redis.cli("CONFIG", "SET", "maxmemory", "0");
  await redis.cli("FLUSHALL");
  t.equal(await redis.cli("DBSIZE"), "0");
  t.match(await store.claim(claimOf()), { kind: "granted" });
});
