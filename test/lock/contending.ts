/** Contenders for a few locks, and a check on the file system that no two of them are ever inside at once. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as afterMs } from "node:timers/promises";
import type { HeldLock, LockAnswer, Locks } from "../../src/core/resource-ports.ts";
import type { Clock } from "../../src/core/ports.ts";

export const newToken = (): string => randomBytes(16).toString("hex");

export const RESOURCES = ["a", "b", "c"].map((name) => name.repeat(64));

/** Asks again until it is not busy, after a millisecond or two, as a waiter does. */
export async function lockWhenFree(locks: Locks, id: string, leaseMs: number): Promise<HeldLock> {
  for (;;) {
    const answer: LockAnswer = await locks.tryLock(id, leaseMs);
    if (answer.kind === "held") return answer.lock;
    if (answer.kind === "unavailable") throw new Error(answer.cause);
    await afterMs(1 + Math.random());
  }
}

/**
 * In each round every contender takes one lock, does its work inside, and gives it back. Returns how often somebody
 * else was found inside.
 */
export async function contend(
  locks: Locks,
  place: string,
  rounds: number,
  contenders: number,
): Promise<{ readonly intrusions: number }> {
  let intrusions = 0;
  const work = async (id: string): Promise<void> => {
    const lock = await lockWhenFree(locks, id, 30_000);
    // Only one can make the directory; two who are inside at once meet here, or lose a count.
    const inside = join(place, `${id}.inside`);
    try {
      mkdirSync(inside);
    } catch {
      intrusions += 1;
    }
    const count = readCount(place, id);
    await turns(Math.random() * 3);
    writeFileSync(join(place, id), String(count + 1));
    rmdirSync(inside);
    lock.release();
  };
  for (let round = 0; round < rounds; round++) {
    const one = async (): Promise<void> => {
      await turns(Math.random() * 3);
      await work(RESOURCES[Math.floor(Math.random() * RESOURCES.length)] ?? "");
    };
    await Promise.all(Array.from({ length: contenders }, one));
  }
  return { intrusions };
}

export function readCount(place: string, id: string): number {
  try {
    return Number(readFileSync(join(place, id), "utf8"));
  } catch {
    return 0;
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}

/** Time as it passes. */
export const CLOCK: Clock = {
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    }),
};

/** Time that a test moves: who sleeps, sleeps until it is told that it need not. */
export function clockOf(monotonicMs: () => number): Clock {
  return {
    monotonicMs,
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) resolve();
        signal?.addEventListener("abort", () => resolve());
      }),
  };
}
