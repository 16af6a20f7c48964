/**
 * Records of the format before this one, as they were written then, in a store that lasts: each goes through what a record
 * of today goes through, and is written in today's format by the first thing that changes it.
 */
import assert from "node:assert/strict";
import type { Test } from "tap";
import type { ListPage, Store } from "../../src/core/ports.ts";
import type { StoredRecord } from "../../src/core/record.ts";
import { answerOf, claimOf, DAY_MS, OTHER } from "./contract-values.ts";

/** A store, and its stored values as bytes. */
export interface Bared {
  readonly store: Store;
  readonly plant: (id: string, value: Buffer) => Promise<void>;
  /** The first byte of what is stored: its format. */
  readonly formatOf: (id: string) => Promise<number>;
}

const FINGERPRINT = "fe".repeat(32);
const TOKEN = "0a".repeat(16);
const BASE = {
  fingerprint: FINGERPRINT,
  fence: 3,
  createdAtMs: 1_763_756_471_123,
  method: "POST",
  target: "/v1/charges",
  route: "charges",
  token: TOKEN,
  expiresAtMs: 4_102_444_800_000,
  claimedBy: "",
};
const IN_FLIGHT: StoredRecord = {
  ...BASE,
  id: "1".repeat(64),
  state: "in-flight",
  leaseUntilMs: 4_099_766_400_000,
};
const COMPLETED: StoredRecord = {
  ...BASE,
  id: "2".repeat(64),
  state: "completed",
  completedAtMs: 1_763_756_471_128,
  response: {
    status: 201,
    headers: [["Location", "/v1/charges/ch_1"]],
    body: Buffer.from('{"id":"ch_1"}\0'),
  },
};
const UNKNOWN: StoredRecord = {
  ...BASE,
  id: "3".repeat(64),
  state: "unknown",
  reason: "reset",
  sinceMs: 1_763_756_471_500,
};

/** Format 2 of these three. */
const FROZEN: readonly (readonly [StoredRecord, string])[] = [
  [
    IN_FLIGHT,
    "AgAAAEEAAAAAERERERERERERERERERERERERERERERERERERERERERH+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/goKCgoKCgoKCgoKCgoKCgqZqWluLWZsaWdodAPTAAABmqgT81PTAAADuyzD2ADTAAADuo0etACkUE9TVKsvdjEvY2hhcmdlc6djaGFyZ2VzoCQDSImfogTq4PqY+SA5ZcQ=",
  ],
  [
    COMPLETED,
    "AgAAAEEAAAAwIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiL+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/goKCgoKCgoKCgoKCgoKCgqZqWNvbXBsZXRlZAPTAAABmqgT81PTAAADuyzD2ADTAAABmqgT81ikUE9TVKsvdjEvY2hhcmdlc6djaGFyZ2VzoJDO7f5jg1BePrO5WwyGymWTzMmRkqhMb2NhdGlvbrAvdjEvY2hhcmdlcy9jaF8xDssmbdMvtSUHsy+ze3/PWlx7ImlkIjoiY2hfMSJ9AA==",
  ],
  [
    UNKNOWN,
    "AgAAAEQAAAAAMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzP+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/goKCgoKCgoKCgoKCgoKCgqZp3Vua25vd24D0wAAAZqoE/NT0wAAA7ssw9gA0wAAAZqoE/TMpFBPU1SrL3YxL2NoYXJnZXOnY2hhcmdlc6VyZXNldKr9aN4HGXvHo4qNgiqZbJU=",
  ],
];

/** `open` brings a store of its own for each test. */
export function earlierFormat(t: Test, open: (t: Test) => Promise<Bared>): void {
  const planted = async (t: Test): Promise<Bared> => {
    const bared = await open(t);
    for (const [{ id }, base64] of FROZEN) await bared.plant(id, Buffer.from(base64, "base64"));
    return bared;
  };
  const again = (record: StoredRecord, fingerprint = FINGERPRINT) =>
    claimOf({ id: record.id, fingerprint });

  t.test("the format before: read, listed and told as what it says", async (t) => {
    const { store, formatOf } = await planted(t);
    for (const [record] of FROZEN) t.same(await store.inspect(record.id), record);
    t.same(await listAll(store), [
      [IN_FLIGHT.id, "in-flight"],
      [COMPLETED.id, "completed"],
      [UNKNOWN.id, "unknown"],
    ]);
    t.match(await store.claim(again(IN_FLIGHT)), { kind: "busy", record: IN_FLIGHT });
    t.same(await store.claim(again(COMPLETED)), { kind: "replay", record: COMPLETED });
    t.same(await store.claim(again(UNKNOWN)), { kind: "unknown", record: UNKNOWN });
    for (const [record] of FROZEN) {
      t.match(await store.claim(again(record, OTHER)), { kind: "mismatch" });
      t.equal(await formatOf(record.id), 2, "looked at, and left as it was");
    }
  });

  t.test("the format before: whatever changes it writes today's", async (t) => {
    const { store, formatOf } = await planted(t);
    const done = await store.complete(IN_FLIGHT.id, TOKEN, answerOf(), DAY_MS);
    t.match(done, { kind: "done" });
    t.match(await store.inspect(IN_FLIGHT.id), { state: "completed", response: answerOf() });
    t.equal(await formatOf(IN_FLIGHT.id), 3);

    t.same(await store.claim({ ...again(UNKNOWN), onUnknown: "resend" }), {
      kind: "granted",
      fence: 4,
    });
    const taken = await store.inspect(UNKNOWN.id);
    assert(taken !== undefined);
    t.match(taken, { state: "in-flight", createdAtMs: BASE.createdAtMs, claimedBy: "gateway/1" });
    t.equal(await formatOf(UNKNOWN.id), 3);
    t.equal(await store.markUnknown(UNKNOWN.id, taken.token, "timeout", DAY_MS), "done");
    t.match(await store.inspect(UNKNOWN.id), { claimedBy: "gateway/1", reason: "timeout" });
    t.equal(await store.forget(COMPLETED.id), "done");
  });

  t.test("the format before: an owner and an operator settle what it says", async (t) => {
    const { store, formatOf } = await planted(t);
    t.equal(await store.markUnknown(IN_FLIGHT.id, TOKEN, "reset", DAY_MS), "done");
    t.match(await store.inspect(IN_FLIGHT.id), { state: "unknown", claimedBy: "" });
    t.equal(await formatOf(IN_FLIGHT.id), 3);
    t.equal(await store.resolve(UNKNOWN.id, "executed", DAY_MS), "done");
    t.match(await store.inspect(UNKNOWN.id), { state: "completed", response: undefined });
    t.match(await store.claim(again(UNKNOWN)), { kind: "replay" });
  });
}

/** By id; rejects where one is damaged. */
async function listAll(store: Store): Promise<readonly (readonly [string, string])[]> {
  const found: [string, string][] = [];
  for (let cursor: string | undefined = ""; cursor !== undefined;) {
    const page: ListPage = await store.list({ limit: 10, ...(cursor !== "" && { cursor }) });
    assert.equal(page.damaged, undefined);
    for (const { id, state } of page.records) found.push([id, state]);
    cursor = page.cursor;
  }
  return found.toSorted();
}
