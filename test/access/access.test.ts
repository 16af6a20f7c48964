/** The access room on a clock that the test moves: when a caller's new keys come back, and when an issuer's keys are renewed. */
import { setImmediate as nextTurn } from "node:timers/promises";
import t from "tap";
import { KeySet, KeysUnavailable } from "../../src/access/key-set.ts";
import { createQuota } from "../../src/access/quota.ts";

const MINUTE_MS = 60_000;

t.test("a caller's new keys come back steadily, up to the burst", async (t) => {
  let nowMs = 0;
  const quota = createQuota({ perSecond: 10, burst: 3, monotonicMs: () => nowMs });
  const takes = (n: number) => Array.from({ length: n }, () => quota.take("a"));
  t.same(takes(3), [undefined, undefined, undefined]);
  t.equal(quota.take("a"), 100, "the time until there is one");
  t.equal(quota.take("b"), undefined, "another caller has its own");
  nowMs += 60;
  t.equal(Math.round(quota.take("a") ?? 0), 40, "asking costs nothing");
  nowMs += 40;
  t.same(takes(2), [undefined, 100]);
  nowMs += 3_600_000;
  t.same(takes(4), [undefined, undefined, undefined, 100], "never more than the burst");
});

t.test("what was not used comes back, what was used unasked is owed", async (t) => {
  const quota = createQuota({ perSecond: 1, burst: 2, monotonicMs: () => 0 });
  quota.giveBack("a");
  t.same([quota.take("a"), quota.take("a"), quota.take("a")], [undefined, undefined, 1000]);
  quota.giveBack("a");
  t.same([quota.take("a"), quota.take("a")], [undefined, 1000], "once");
  quota.owe("a");
  t.equal(quota.take("a"), 2000);
});

t.test("of too many callers the one that was idle longest is forgotten", async (t) => {
  const quota = createQuota({ perSecond: 1, burst: 1, monotonicMs: () => 0, most: 2 });
  t.same(
    ["a", "b"].map((scope) => quota.take(scope)),
    [undefined, undefined],
  );
  quota.giveBack("a");
  t.equal(quota.take("a"), undefined);
  t.equal(quota.take("c"), undefined, "b is forgotten now");
  t.same(
    ["a", "c"].map((scope) => quota.take(scope)),
    [1000, 1000],
  );
  t.equal(quota.take("b"), undefined);
});

/** A key set whose loads are counted and answered by the test, each with its number. */
function newKeySet() {
  let nowMs = 0;
  let loads = 0;
  let broken: Error | undefined;
  let held: Promise<void> | undefined;
  const set = new KeySet(
    async () => {
      loads += 1;
      const mine = loads;
      await held;
      if (broken !== undefined) throw broken;
      return mine;
    },
    () => nowMs,
  );
  return {
    set,
    loads: () => loads,
    pass: (ms: number) => void (nowMs += ms),
    fail: (error: Error | undefined) => void (broken = error),
    hold: () => {
      let release = (): void => undefined;
      held = new Promise((resolve) => (release = resolve));
      return () => release();
    },
  };
}

t.test(
  "keys are loaded once for all who need them, renewed in the background, and end",
  async (t) => {
    const { set, loads, pass, fail, hold } = newKeySet();
    const release = hold();
    const both = Promise.all([set.current(), set.current(), set.afterMiss()]);
    release();
    t.same(await both, [1, 1, 1]);
    pass(10 * MINUTE_MS);
    t.equal(await set.current(), 1);
    t.equal(loads(), 1);
    pass(1);
    t.equal(await set.current(), 1, "nobody waits for the renewal");
    await nextTurn();
    t.equal(await set.current(), 2);
    fail(new KeysUnavailable("ECONNREFUSED"));
    pass(60 * MINUTE_MS);
    t.equal(await set.current(), 2, "an issuer that is away does no harm for a while");
    pass(1);
    await t.rejects(set.current(), { name: "KeysUnavailable", cause: "ECONNREFUSED" });
    fail(undefined);
    pass(MINUTE_MS);
    t.equal(await set.current(), loads());
  },
);

t.test("a key that nobody has is looked for now and then, not with every token", async (t) => {
  const { set, loads, pass, fail } = newKeySet();
  t.equal(await set.current(), 1);
  t.equal(await set.afterMiss(), 2, "at once, the first time");
  t.equal(await set.afterMiss(), undefined);
  pass(9999);
  t.equal(await set.afterMiss(), undefined);
  pass(1);
  fail(new TypeError("canary"));
  await t.rejects(set.afterMiss(), { name: "KeysUnavailable", cause: "no-key-set" });
  await t.rejects(set.afterMiss(), KeysUnavailable, "nobody can say that there is none");
  t.equal(loads(), 3);
  fail(undefined);
  pass(10_000);
  t.equal(await set.afterMiss(), 4);
});

t.test("after a failure the issuer is left alone for a moment", async (t) => {
  const { set, loads, pass, fail } = newKeySet();
  fail(new KeysUnavailable("status-503"));
  await t.rejects(set.current(), KeysUnavailable);
  pass(249);
  await t.rejects(set.current(), KeysUnavailable);
  t.equal(loads(), 1);
  fail(undefined);
  pass(1);
  t.equal(await set.current(), 2);
});
