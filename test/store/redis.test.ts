import t from "tap";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { storeContract } from "./contract.ts";
import { claimOf } from "./contract-values.ts";

const redis = await startRedis(t);
let prefixes = 0;

storeContract(t, async (t) => {
  const store = createRedisStore({
    url: redis.url,
    timeoutMs: 5000,
    keyPrefix: `contract${(prefixes += 1)}:`,
  });
  t.teardown(() => store.close());
  await until(async () => (await store.problems()).length === 0);
  return {
    store,
    pass: async (ms) => {
      // The server's clock moves by itself: a record that lives exactly this long is there, and then it is gone.
      const hourglass = claimOf({ leaseMs: ms - 1, unknownRetentionMs: 1 });
      await store.claim(hourglass);
      await until(async () => (await store.inspect(hourglass.id)) === undefined);
    },
  };
});
