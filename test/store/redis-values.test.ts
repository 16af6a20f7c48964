import t from "tap";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import { RecordCorrupt } from "../../src/core/ports.ts";
import { encodeRecord } from "../../src/store/codec.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { answerOf, claimOf, hex } from "./contract-values.ts";

function openStore(t: Test, url: string): Store {
  const store = createRedisStore({ url, timeoutMs: 2000, keyPrefix: "t:" });
  t.teardown(() => store.close());
  return store;
}

const healthy = (store: Store): Promise<void> =>
  until(async () => (await store.problems()).length === 0);

t.test("rubbish under the key is corrupt for every call, and stays as it is", async (t) => {
  const redis = await startRedis(t);
  const store = openStore(t, redis.url);
  await healthy(store);
  const claim = claimOf();
  const key = `t:{${claim.id}}`;
  const { fingerprint, token, method, target, route, claimedBy } = claim;
  const base = { id: hex(32), fingerprint, token, method, target, route, claimedBy, fence: 1 };
  const times = { createdAtMs: 1, expiresAtMs: 9_000_000_000_000, leaseUntilMs: 8_000_000_000_000 };
  const foreign = encodeRecord({ ...base, ...times, state: "in-flight" });
  const writes: Record<string, string[]> = {
    text: ["SET", key, "canary"],
    "long text": ["SET", key, "canary".repeat(100)],
    "another type": ["HSET", key, "canary", "1"],
    "another id": [
      "EVAL",
      `redis.call('SET', KEYS[1], (ARGV[1]:gsub('..', function(h) return string.char(tonumber(h, 16)) end)))`,
      "1",
      key,
      foreign.toString("hex"),
    ],
  };
  for (const [name, write] of Object.entries(writes)) {
    await redis.cli("DEL", key);
    await redis.cli(...write);
    const dumped = await redis.cli("DUMP", key);
    const calls: Promise<unknown>[] = [
      store.claim(claim),
      store.complete(claim.id, claim.token, answerOf(), 1000),
      store.complete(claim.id, claim.token, answerOf({ body: undefined }), 1000),
      store.release(claim.id, claim.token),
      store.markUnknown(claim.id, claim.token, "reset", 1000),
      store.inspect(claim.id),
      store.forget(claim.id),
      store.resolve(claim.id, "executed", 1000),
    ];
    for (const outcome of await Promise.allSettled(calls)) {
      const error: unknown = outcome.status === "rejected" ? outcome.reason : undefined;
      t.ok(error instanceof RecordCorrupt, name);
      t.notMatch(error instanceof Error && error.stack, /canary/u);
    }
    const page = await store.list({ limit: 10 });
    t.same(page, { records: [], damaged: [claim.id] }, `${name} is listed as damaged`);
    t.equal(await redis.cli("DUMP", key), dumped, `${name} stays`);
  }
});

t.test(
  "a completed record with a small answer costs at most 700 bytes of Redis memory",
  async (t) => {
    const redis = await startRedis(t);
    const store = openStore(t, redis.url);
    await healthy(store);
    const claim = claimOf({ target: "/v1/charges" });
    await store.claim(claim);
    const body = Buffer.alloc(180, "x");
    const headers = [
      ["content-type", "application/json"],
      ["location", "/v1/charges/42"],
    ] as const;
    await store.complete(claim.id, claim.token, answerOf({ headers, body }), 86_400_000);
    const bytes = Number(await redis.cli("MEMORY", "USAGE", `t:{${claim.id}}`, "SAMPLES", "0"));
    t.ok(bytes > 300 && bytes <= 700, `${bytes} bytes`);
  },
);

t.test("Lua and TypeScript write the same bytes for the same record", async (t) => {
  const redis = await startRedis(t);
  const store = openStore(t, redis.url);
  await healthy(store);
  const claim = claimOf({ leaseMs: 4_000_000_000 });
  const stored = async (): Promise<string> =>
    redis.cli(
      "EVAL",
      `return (redis.call('GET', KEYS[1]):gsub('.', function(c) return string.format('%02x', c:byte()) end))`,
      "1",
      `t:{${claim.id}}`,
    );
  // msgpackr writes a large integer as signed, cmsgpack as unsigned: the one difference, and both read both. The seals
  // differ by it, and each is checked where it is read.
  const integers = (bytes: string): string => {
    const value = Buffer.from(bytes.replaceAll("d3000001", "cf000001"), "hex");
    const sealAt = 89 + value.readUInt32BE(1) + value.readUInt32BE(5);
    return value.fill(0, sealAt, sealAt + 16).toString("hex");
  };
  const agree = async (state: string): Promise<void> => {
    const record = await store.inspect(claim.id);
    t.equal(record?.state, state);
    t.equal(
      record && integers(encodeRecord(record).toString("hex")),
      integers(await stored()),
      state,
    );
  };
  await store.claim(claim);
  await agree("in-flight");
  await store.markUnknown(claim.id, claim.token, "truncated", 70_000);
  await agree("unknown");
  await store.complete(claim.id, claim.token, answerOf(), 5_000_000_000);
  await agree("completed");
});
