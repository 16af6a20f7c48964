/** The contract of the stores, the rolls: how many live records a scope has, never over, and freed by what ends a record. */
import assert from "node:assert/strict";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import type { RollAnswer, RollEntry } from "../../src/core/roll-ports.ts";
import type { MakeStore } from "./contract-values.ts";
import { answerOf, claimOf, DAY_MS, hex } from "./contract-values.ts";

/** How long a claim may be on its way, where that is to pass. */
const SHORT_MS = 300;

const entryOf = (scope: string, over: Partial<RollEntry> = {}): RollEntry => ({
  scope,
  id: hex(32),
  most: 2,
  keepMs: DAY_MS,
  claimMs: DAY_MS,
  how: "look",
  ...over,
});

/** Enters it and claims it. */
async function live(store: Store, entry: RollEntry): Promise<string> {
  assert.equal((await store.enterRoll(entry)).kind, "entered");
  const claim = claimOf({ id: entry.id });
  assert.equal((await store.claim(claim)).kind, "granted");
  return claim.token;
}

const kinds = (answers: readonly RollAnswer[]): string[] => answers.map(({ kind }) => kind).sort();

export async function rolls(t: Test, makeStore: MakeStore): Promise<void> {
  const { store, pass, another } = await makeStore(t);

  t.test(
    "as many as permitted are entered, the next is not, other scopes have their own",
    async (t) => {
      const [scope, other] = [hex(32), hex(32)];
      const first = entryOf(scope);
      await live(store, first);
      await live(store, entryOf(scope));
      const full = await store.enterRoll(entryOf(scope));
      assert(full.kind === "full" && full.roomInMs !== undefined);
      t.ok(
        full.roomInMs > 100_000 && full.roomInMs <= 120_000,
        "until the lease and the memory of it end",
      );
      t.same(await store.enterRoll(first), { kind: "listed" }, "a retry is on it");
      t.equal((await store.enterRoll(entryOf(other))).kind, "entered");
    },
  );

  t.test("a hundred at once through two clients: never more than permitted", async (t) => {
    const scope = hex(32);
    const other = await another();
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        (n % 2 === 0 ? store : other).enterRoll(entryOf(scope, { most: 30 })),
      ),
    );
    t.equal(answers.filter(({ kind }) => kind === "entered").length, 30);
    t.equal(answers.filter(({ kind }) => kind === "full").length, 70);
  });

  t.test("who asks at once for one record takes one place", async (t) => {
    const scope = hex(32);
    const entry = entryOf(scope);
    const answers = await Promise.all(Array.from({ length: 10 }, () => store.enterRoll(entry)));
    t.same(kinds(answers), ["entered", ...Array.from({ length: 9 }, () => "listed")]);
    t.equal((await store.enterRoll(entryOf(scope))).kind, "entered");
    t.equal((await store.enterRoll(entryOf(scope))).kind, "full");
  });

  t.test(
    "an entry whose claim may be on its way stays, one whose claim never came goes",
    async (t) => {
      const scope = hex(32);
      await store.enterRoll(entryOf(scope, { most: 1, claimMs: SHORT_MS }));
      t.same(await store.enterRoll(entryOf(scope, { most: 1 })), {
        kind: "full",
        roomInMs: undefined,
      });
      await pass(SHORT_MS + 20);
      t.equal((await store.enterRoll(entryOf(scope, { most: 1 }))).kind, "entered");
    },
  );

  t.test("released, forgotten, resolved as not executed, over: each makes room", async (t) => {
    const ended = [];
    for (const end of ["release", "forget", "resolve", "expire"] as const) {
      const scope = hex(32);
      const entry = entryOf(scope, { most: 1, claimMs: SHORT_MS });
      const { id } = entry;
      const token = await live(store, entry);
      if (end === "release") await store.release(id, token);
      if (end === "forget") await store.complete(id, token, answerOf(), DAY_MS);
      if (end === "expire") await store.complete(id, token, answerOf(), SHORT_MS);
      if (end === "resolve") await store.markUnknown(id, token, "reset", DAY_MS);
      if (end !== "release") {
        t.equal((await store.enterRoll(entryOf(scope, { most: 1 }))).kind, "full", `before ${end}`);
      }
      if (end === "forget") t.equal(await store.forget(id), "done");
      if (end === "resolve") t.equal(await store.resolve(id, "not-executed", DAY_MS), "done");
      ended.push({ end, scope });
    }
    await pass(SHORT_MS + 20);
    for (const { end, scope } of ended) {
      t.equal((await store.enterRoll(entryOf(scope, { most: 1 }))).kind, "entered", end);
    }
  });

  t.test(
    "struck at once by its own mark, and not where a record stands or it was entered again",
    async (t) => {
      const scope = hex(32);
      const entry = entryOf(scope, { most: 1, claimMs: DAY_MS });
      const entered = await store.enterRoll(entry);
      assert(entered.kind === "entered");
      const claim = claimOf({ id: entry.id });
      await store.claim(claim);
      await store.strikeRoll(scope, entry.id, entered.mark);
      t.same(await store.enterRoll(entry), { kind: "listed" }, "a record stands there");
      await store.release(claim.id, claim.token);
      await pass(2);
      const again = await store.enterRoll({ ...entry, how: "renew" });
      assert(again.kind === "entered" && again.mark !== entered.mark);
      await store.strikeRoll(scope, entry.id, entered.mark);
      t.same(await store.enterRoll(entry), { kind: "listed" }, "entered again");
      await store.strikeRoll(scope, entry.id, again.mark);
      await store.strikeRoll(scope, entry.id, again.mark);
      t.equal((await store.enterRoll(entryOf(scope, { most: 1 }))).kind, "entered");
    },
  );

  t.test(
    "renewed it counts once and lasts longer; always, it is entered over the limit",
    async (t) => {
      const scope = hex(32);
      const entry = entryOf(scope, { most: 1, keepMs: 300 });
      await live(store, entry);
      t.equal((await store.enterRoll({ ...entry, how: "renew", keepMs: DAY_MS })).kind, "entered");
      await pass(320);
      t.same(await store.enterRoll(entry), { kind: "listed" });
      const more = entryOf(scope, { most: 1, how: "renew" });
      t.equal((await store.enterRoll(more)).kind, "full");
      t.equal((await store.enterRoll({ ...more, how: "always" })).kind, "entered");
      t.same(await store.enterRoll({ ...more, how: "look" }), { kind: "listed" });
      t.equal((await store.enterRoll(entryOf(scope, { most: 2 }))).kind, "full");
      t.equal((await store.enterRoll(entryOf(scope, { most: 3 }))).kind, "entered");
    },
  );

  t.test("an entry ends by itself, whatever became of its record", async (t) => {
    const scope = hex(32);
    const entry = entryOf(scope, { most: 1, keepMs: 70, claimMs: 70 });
    await live(store, entry);
    await pass(90);
    t.equal((await store.enterRoll(entryOf(scope, { most: 1 }))).kind, "entered");
  });

  t.test("an entry that is over lets its own record no further than any other", async (t) => {
    const scope = hex(32);
    const entry = entryOf(scope, { most: 1, keepMs: 70, claimMs: 70 });
    await store.enterRoll(entry);
    await pass(90);
    await live(store, entryOf(scope, { how: "always" }));
    t.equal((await store.enterRoll({ ...entry, keepMs: DAY_MS })).kind, "full");
  });

  t.test("of a roll of 16 all are looked at each time", async (t) => {
    for (let n = 0; n < 4; n += 1) {
      const scope = hex(32);
      const most = 16;
      const entries = Array.from({ length: most }, () => entryOf(scope, { most, claimMs: 1 }));
      const tokens = [];
      for (const entry of entries) tokens.push(await live(store, entry));
      await pass(2);
      const at = n * 5;
      await store.release(entries[at]?.id ?? "", tokens[at] ?? "");
      t.equal((await store.enterRoll(entryOf(scope, { most }))).kind, "entered", `number ${at}`);
    }
  });

  t.test("of a long roll every entry is looked at in the end", async (t) => {
    const scope = hex(32);
    // What is looked at in turn is a multiple of what is looked at once, where a step of two would never meet the rest.
    const most = 56;
    const ids = Array.from({ length: most }, () => hex(32));
    const tokens = await Promise.all(
      ids.map((id) => live(store, entryOf(scope, { id, most, claimMs: SHORT_MS }))),
    );
    await pass(SHORT_MS + 20);
    t.equal((await store.enterRoll(entryOf(scope, { most }))).kind, "full");
    const [id = "", token = ""] = [ids[41], tokens[41]];
    await store.release(id, token);
    let tries = 1;
    while ((await store.enterRoll(entryOf(scope, { most }))).kind === "full") {
      tries += 1;
      assert(tries <= 12, "it is never found");
    }
    t.ok(tries <= 12, `${tries} tries`);
    t.equal((await store.enterRoll(entryOf(scope, { most }))).kind, "full", "one place");
  });
}
