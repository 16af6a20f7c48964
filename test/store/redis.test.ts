import t from "tap";
import type { Store } from "../../src/core/ports.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { storeContract } from "./contract.ts";
import { claimOf } from "./contract-values.ts";

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
