import t from "tap";
import { StoreFull } from "../../src/core/ports.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { storeContract } from "./contract.ts";
import { answerOf, claimOf } from "./contract-values.ts";

storeContract(t, async () => {
  let nowMs = 1_700_000_000_000;
  const store = createMemoryStore({ now: () => nowMs });
  return {
    store,
    pass: async (ms) => {
      nowMs += ms;
    },
    another: async () => store,
  };
});

t.test(
  "a full map refuses a new key, keeps every live record, and makes room by expiry",
  async (t) => {
    let nowMs = 1_700_000_000_000;
    const store = createMemoryStore({ now: () => nowMs, maxRecords: 2 });
    const kept = claimOf();
    const short = claimOf({ leaseMs: 50, unknownRetentionMs: 50 });
    await store.claim(kept);
    await store.claim(short);
    await t.rejects(store.claim(claimOf()), StoreFull);
    const done = await store.complete(kept.id, kept.token, answerOf(), 10_000);
    t.equal(done.kind, "done", "a record that is there already needs no room");
    nowMs += 99;
    await t.rejects(store.claim(claimOf()), StoreFull, "unknown is still remembered");
    nowMs += 1;
    t.match(await store.claim(claimOf()), { kind: "granted" });
    t.match(await store.inspect(kept.id), { state: "completed" });
  },
);

t.test("the caller may reuse its buffer after complete", async (t) => {
  const store = createMemoryStore({ now: () => 1 });
  const claim = claimOf();
  await store.claim(claim);
  const body = Buffer.from("first");
  await store.complete(claim.id, claim.token, answerOf({ body }), 1000);
  body.fill(0);
  const record = await store.inspect(claim.id);
  t.match(record, { response: { body: Uint8Array.from(Buffer.from("first")) } });
});
