/** The rows of the stores: random operations that all of them have to answer alike, on real servers and real files. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import type { BatchResult, ProofRow } from "../proof/row.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { byDays, exact, inLockStep, SEQUENCE } from "./same-answers.ts";

const PATIENT_MS = 10_000;

function newDir(t: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), "same-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

export const rows: readonly ProofRow[] = [
  {
    name: "store-answers",
    claim: "random operations on memory, LMDB and Redis at once: answers that differ",
    unit: "operations",
    ci: 5000,
    long: 500_000,
    batch: 50_000,
    run: (first, count) =>
      withTeardown(async (t) => {
        const redis = await startRedis(t);
        const stores = [
          createMemoryStore({ now: Date.now }),
          createEmbeddedStore({ dir: newDir(t), timeoutMs: PATIENT_MS }),
          createRedisStore({ url: redis.url, timeoutMs: PATIENT_MS, keyPrefix: "same:" }),
        ] as const;
        t.teardown(() => Promise.all(stores.map((store) => store.close())));
        await until(async () => (await stores[2].problems()).length === 0);
        return inLockStep(first, count, { stores, normal: byDays, atOnce: 25 });
      }),
  },
  {
    name: "store-clock",
    claim: "random operations on memory and LMDB with a clock that moves: answers that differ",
    unit: "operations",
    ci: 1000,
    long: 50_000,
    batch: 10_000,
    run: (first, count) =>
      withTeardown(async (t) => {
        // A clock for each, because a sequence that moves it moves it for all that run beside it.
        const share = Math.ceil(count / LANES / SEQUENCE) * SEQUENCE;
        const lanes = Array.from({ length: LANES }, (_, lane) =>
          moving(t, first + lane * share, Math.max(0, Math.min(share, count - lane * share))),
        );
        return sumOf(await Promise.all(lanes));
      }),
  },
];

const LANES = 10;

async function moving(t: Teardown, first: number, count: number): Promise<BatchResult> {
  let nowMs = Date.UTC(2026, 0, 1);
  const now = (): number => nowMs;
  const stores = [
    createMemoryStore({ now }),
    createEmbeddedStore({ dir: newDir(t), timeoutMs: PATIENT_MS, now }),
  ];
  t.teardown(() => Promise.all(stores.map((store) => store.close())));
  const move = (ms: number): void => void (nowMs += ms);
  return inLockStep(first, count, { stores, normal: exact, move, atOnce: 1 });
}

function sumOf(results: readonly BatchResult[]): BatchResult {
  const compared = results.map(({ counts }) => counts["answers compared"] ?? 0);
  return {
    done: results.reduce((sum, { done }) => sum + done, 0),
    violations: results.flatMap(({ violations }) => violations),
    counts: { "answers compared": compared.reduce((sum, n) => sum + n, 0) },
  };
}
