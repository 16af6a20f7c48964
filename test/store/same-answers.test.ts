/** The stores in lock step, and that the comparison notices a store which answers otherwise. */
import t from "tap";
import { createMemoryStore } from "../../src/store/memory.ts";
import type { Store } from "../../src/core/ports.ts";
import { rows } from "./rows.ts";
import { exact, inLockStep } from "./same-answers.ts";

for (const row of rows) {
  const { name, claim, ci } = row;
  t.test(`${name}: ${claim}: none`, async (t) => {
    const { done, violations, counts } = await row.run(0, ci);
    t.same(violations, []);
    t.equal(done, ci);
    t.ok((counts["answers compared"] ?? 0) >= ci);
  });
}

const WRONG: Readonly<Record<string, (store: Store) => Partial<Store>>> = {
  "completes whatever token it is given": (store) => ({
    complete: async (id, token, response, retentionMs) => {
      const record = await store.inspect(id);
      return store.complete(id, record?.token ?? token, response, retentionMs);
    },
  }),
  "takes unknown outcomes over": (store) => ({
    claim: (request) => store.claim({ ...request, onUnknown: "resend" }),
  }),
  "forgets nothing": () => ({ forget: async () => "done" }),
  "counts revisions from one": (store) => ({
    readCell: async (id) => {
      const { cell, nowMs } = await store.readCell(id);
      return { cell: cell && { ...cell, revision: 1 }, nowMs };
    },
  }),
  "keeps everything a millisecond longer": (store) => ({
    markUnknown: (id, token, reason, retentionMs) =>
      store.markUnknown(id, token, reason, retentionMs + 1),
  }),
};

for (const [what, wrong] of Object.entries(WRONG)) {
  t.test(`a store that ${what} is noticed`, async (t) => {
    let nowMs = Date.UTC(2026, 0, 1);
    const now = (): number => nowMs;
    const other = createMemoryStore({ now });
    const { violations } = await inLockStep(0, 2000, {
      stores: [createMemoryStore({ now }), { ...other, ...wrong(other) }],
      normal: exact,
      move: (ms) => void (nowMs += ms),
      atOnce: 1,
    });
    t.not(violations.length, 0);
  });
}
