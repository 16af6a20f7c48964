import t from "tap";
import type { StoreOperation } from "../../src/core/outcome.ts";
import { type Store, StoreUnavailable } from "../../src/core/ports.ts";
import { observeStore } from "../../src/observe/store.ts";

interface Seen {
  readonly operation: StoreOperation;
  readonly seconds: number;
  readonly ok: boolean;
}

function watched(answers: Partial<Store>) {
  const seen: Seen[] = [];
  const calls: unknown[][] = [];
  const inner = new Proxy({} as Store, {
    get: (_, name: keyof Store) =>
      function (this: unknown, ...args: unknown[]) {
        calls.push([name, this === inner, ...args]);
        const answer = answers[name] as ((...args: unknown[]) => unknown) | undefined;
        return answer === undefined ? Promise.resolve(`${name} answered`) : answer(...args);
      },
  });
  const damaged: string[] = [];
  const store = observeStore(inner, {
    storeCall: (operation, seconds, ok) => seen.push({ operation, seconds, ok }),
    damagedRecord: (reason) => damaged.push(reason),
  });
  return { store, seen, calls, damaged };
}

const CLAIM = {
  id: "a",
  token: "b",
  fingerprint: "c",
  method: "POST",
  target: "/",
  route: "r",
  claimedBy: "gateway/1",
  leaseMs: 1,
  unknownRetentionMs: 1,
  onUnknown: "block",
} as const;
const RESPONSE = { status: 200, headers: [], body: undefined };

t.test("each transition is timed under its operation, and its answer passes through", async (t) => {
  const { store, seen, calls } = watched({});
  t.equal(await store.claim(CLAIM), "claim answered");
  t.equal(await store.complete("a", "b", RESPONSE, 5), "complete answered");
  t.equal(await store.release("a", "b"), "release answered");
  t.equal(await store.markUnknown("a", "b", "reset", 5), "markUnknown answered");
  t.strictSame(
    seen.map(({ operation, ok }) => [operation, ok]),
    [
      ["claim", true],
      ["complete", true],
      ["release", true],
      ["mark-unknown", true],
    ],
  );
  t.ok(seen.every(({ seconds }) => seconds >= 0 && seconds < 5));
  t.strictSame(calls, [
    ["claim", true, CLAIM],
    ["complete", true, "a", "b", RESPONSE, 5],
    ["release", true, "a", "b"],
    ["markUnknown", true, "a", "b", "reset", 5],
  ]);
});

t.test("a failure is counted and rethrown as the very same error", async (t) => {
  const broken = new StoreUnavailable("down");
  const { store, seen } = watched({ claim: () => Promise.reject(broken) });
  const error: unknown = await store.claim(CLAIM).catch((caught: unknown) => caught);
  t.equal(error, broken);
  t.strictSame(
    seen.map(({ operation, ok }) => [operation, ok]),
    [["claim", false]],
  );
});

t.test(
  "a store that throws instead of rejecting is counted too, and the caller sees a rejection",
  async (t) => {
    const { store, seen } = watched({
      release: () => {
        throw new StoreUnavailable("down");
      },
    });
    await t.rejects(store.release("a", "b"), { name: "StoreUnavailable" });
    t.equal(seen[0]?.ok, false);
  },
);

t.test(
  "every other method reaches the store with its arguments, as a method of the store",
  async (t) => {
    const { store, seen, calls } = watched({});
    const query = { limit: 3, state: "unknown" } as const;
    t.equal(await store.inspect("a"), "inspect answered");
    t.equal(await store.list(query), "list answered");
    t.equal(await store.forget("a"), "forget answered");
    t.equal(await store.resolve("a", "executed", 7), "resolve answered");
    t.equal(await store.look("a"), "look answered");
    const finding = { kind: "not-executed" } as const;
    t.equal(await store.settleUnknown("a", "b", finding), "settleUnknown answered");
    t.equal(await store.readCell("a"), "readCell answered");
    const value = Buffer.from("v");
    t.equal(await store.writeCell("a", value, 3, 9), "writeCell answered");
    t.equal(await store.watch("a"), "watch answered");
    t.equal(await store.problems(), "problems answered");
    t.equal(await store.close(), "close answered");
    t.strictSame(calls, [
      ["inspect", true, "a"],
      ["list", true, query],
      ["forget", true, "a"],
      ["resolve", true, "a", "executed", 7],
      ["look", true, "a"],
      ["settleUnknown", true, "a", "b", finding],
      ["readCell", true, "a"],
      ["writeCell", true, "a", value, 3, 9],
      ["watch", true, "a"],
      ["problems", true],
      ["close", true],
    ]);
    t.match(seen, [{ operation: "remember", ok: true }], "only writes are measured");
    t.equal(seen.length, 1);
  },
);
