import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import t from "tap";
import type { Store } from "../../src/core/ports.ts";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { claimOf, hex } from "./contract-values.ts";

const DAY_MS = 86_400_000;
const TOKENS = ["0a".repeat(16), "0b".repeat(16), "0c".repeat(16)];
const RESPONSES = [
  {
    status: 201,
    headers: [["A", "1"] as const, ["a", "\u00ff"] as const],
    body: Buffer.from("x\0"),
  },
  { status: 204, headers: [], body: Buffer.alloc(0) },
  { status: 200, headers: [["B", ""] as const], body: undefined },
];

/** What is done to one of three records, the same in every store. */
type Step = (store: Store, ids: readonly string[]) => Promise<unknown>;

const id = fc.nat({ max: 2 });
const owner = fc.constantFrom(...TOKENS);
const step: fc.Arbitrary<[name: string, step: Step]> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        at: id,
        token: owner,
        fingerprint: fc.constantFrom("ab".repeat(32), "ab".repeat(32), "cd".repeat(32)),
        onUnknown: fc.constantFrom("block" as const, "resend" as const),
        // A lease of nothing is over at once: the crash of its owner, without waiting.
        leaseMs: fc.constantFrom(0, DAY_MS, DAY_MS),
      })
      .map(({ at, ...claim }): [string, Step] => [
        `claim ${at} ${JSON.stringify(claim)}`,
        (store, ids) =>
          store.claim(claimOf({ ...claim, id: ids[at] ?? "", unknownRetentionMs: DAY_MS })),
      ]),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(id, owner, fc.nat({ max: 2 }))
      .map(([at, token, n]): [string, Step] => [
        `complete ${at} ${token} ${n}`,
        (store, ids) => store.complete(ids[at] ?? "", token, RESPONSES[n] ?? RESPONSES[0]!, DAY_MS),
      ]),
  },
  fc
    .tuple(id, owner)
    .map(([at, token]): [string, Step] => [
      `release ${at} ${token}`,
      (store, ids) => store.release(ids[at] ?? "", token),
    ]),
  {
    weight: 2,
    arbitrary: fc
      .tuple(id, owner, fc.constantFrom("timeout" as const, "reset" as const))
      .map(([at, token, reason]): [string, Step] => [
        `markUnknown ${at} ${token} ${reason}`,
        (store, ids) => store.markUnknown(ids[at] ?? "", token, reason, DAY_MS),
      ]),
  },
  id.map((at): [string, Step] => [`forget ${at}`, (store, ids) => store.forget(ids[at] ?? "")]),
  fc
    .tuple(id, fc.constantFrom("executed" as const, "not-executed" as const))
    .map(([at, outcome]): [string, Step] => [
      `resolve ${at} ${outcome}`,
      (store, ids) => store.resolve(ids[at] ?? "", outcome, DAY_MS),
    ]),
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        id,
        fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }),
        fc.nat({ max: 3 }),
        // A retention of nothing is over at once.
        fc.constantFrom(0, DAY_MS, DAY_MS),
      )
      .map(([at, value, revision, retentionMs]): [string, Step] => [
        `writeCell ${at} ${value?.length} ${revision} ${retentionMs}`,
        (store, ids) => store.writeCell(ids[at] ?? "", value, revision, retentionMs),
      ]),
  },
  id.map((at): [string, Step] => [`readCell ${at}`, (store, ids) => store.readCell(ids[at] ?? "")]),
  id.map((at): [string, Step] => [`inspect ${at}`, (store, ids) => store.inspect(ids[at] ?? "")]),
);

/** The clocks differ by some milliseconds, so a time says only which of the few durations it is away from now. */
function normal(answer: unknown, startMs: number): unknown {
  if (answer instanceof Uint8Array) return Buffer.from(answer).toString("hex");
  if (Array.isArray(answer)) return answer.map((item) => normal(item, startMs));
  if (typeof answer !== "object" || answer === null) return answer;
  return Object.fromEntries(
    Object.entries(answer).map(([name, value]: [string, unknown]) =>
      name.endsWith("Ms") && typeof value === "number"
        ? [name, `${Math.round((value - startMs) / DAY_MS)} days`]
        : [name, normal(value, startMs)],
    ),
  );
}

t.test("any sequence of operations gets equal answers from memory, LMDB and Redis", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "same-"));
  const redis = await startRedis(t);
  const stores = [
    createMemoryStore({ now: Date.now }),
    createEmbeddedStore({ dir, timeoutMs: 5000 }),
    createRedisStore({ url: redis.url, timeoutMs: 5000, keyPrefix: "same:" }),
  ] as const;
  t.teardown(async () => {
    await Promise.all(stores.map((store) => store.close()));
    rmSync(dir, { recursive: true });
  });
  await until(async () => (await stores[2].problems()).length === 0);
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const ids = [hex(32), hex(32), hex(32)];
      const startMs = Date.now();
      for (const [name, apply] of steps) {
        const answers = await Promise.all(stores.map((store) => apply(store, ids)));
        const [memory, ...others] = answers.map((answer) => normal(answer, startMs));
        for (const other of others) {
          compared += 1;
          if (isDeepStrictEqual(other, memory)) continue;
          throw new Error(`${name}: ${JSON.stringify(other)} is not ${JSON.stringify(memory)}`);
        }
      }
    }),
    { numRuns: 150 },
  );
  t.ok(compared > 1000);
});
