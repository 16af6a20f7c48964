import t from "tap";
import type { Store } from "../../src/core/ports.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { earlierFormat } from "./contract-earlier.ts";
import { storeContract } from "./contract.ts";
import { claimOf, hex } from "./contract-values.ts";

const redis = await startRedis(t);
let prefixes = 0;

storeContract(t, async (t) => {
  prefixes += 1;
  const keyPrefix = `contract${prefixes}:`;
  const open = async (): Promise<Store> => {
    const opened = createRedisStore({ url: redis.url, timeoutMs: 5000, keyPrefix });
    t.teardown(() => opened.close());
    await until(async () => (await opened.problems()).length === 0);
    return opened;
  };
  const store = await open();
  return {
    store,
    another: open,
    pass: async (ms) => {
      // The server's clock moves by itself: a record that lives exactly this long is there, and then it is gone.
      const hourglass = claimOf({ leaseMs: ms - 1, unknownRetentionMs: 1 });
      await store.claim(hourglass);
      await until(async () => (await store.inspect(hourglass.id)) === undefined);
    },
  };
});

earlierFormat(t, async (t) => {
  prefixes += 1;
  const keyPrefix = `earlier${prefixes}:`;
  const store = createRedisStore({ url: redis.url, timeoutMs: 5000, keyPrefix });
  t.teardown(() => store.close());
  await until(async () => (await store.problems()).length === 0);
  const at = (id: string): string => `${keyPrefix}{${id}}`;
  /** redis-cli passes texts, so the bytes go as digits. */
  const SET = `redis.call('SET', KEYS[1], (ARGV[1]:gsub('..', function(h) return string.char(tonumber(h, 16)) end)))`;
  const FIRST = `return redis.call('GETRANGE', KEYS[1], 0, 0):byte()`;
  return {
    store,
    plant: async (id, value) => {
      await redis.cli("EVAL", SET, "1", at(id), value.toString("hex"));
    },
    formatOf: async (id) => Number(await redis.cli("EVAL", FIRST, "1", at(id))),
  };
});

t.test("a crowd that a full roll refuses shares the looks at its records", async (t) => {
  const store = createRedisStore({ url: redis.url, timeoutMs: 5000, keyPrefix: "crowd:" });
  t.teardown(() => store.close());
  await until(async () => (await store.problems()).length === 0);
  const entry = { scope: hex(32), most: 16, keepMs: 60_000, claimMs: 60_000, how: "look" } as const;
  for (let n = 0; n < 16; n += 1) {
    const claim = claimOf();
    t.match(await store.enterRoll({ ...entry, id: claim.id }), { kind: "entered" });
    await store.claim(claim);
  }
  await redis.cli("CONFIG", "RESETSTAT");
  const refused = Array.from({ length: 100 }, () => store.enterRoll({ ...entry, id: hex(32) }));
  const answers = await Promise.all(refused);
  t.ok(answers.every(({ kind }) => kind === "full"));
  const stats = await redis.cli("INFO", "commandstats");
  const sent = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/gu)];
  const calls = sent.reduce((sum, [, each]) => sum + Number(each), 0);
  // Each asks twice. One look is under way when the others come, and one is for all of them.
  t.ok(calls >= 216 && calls <= 250, `${calls} scripts`);
});
