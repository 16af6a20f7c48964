/** The time that everything in this process goes by. */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "./core/ports.ts";

/**
 * Never falls, and counts the time that a suspended machine slept, which the monotonic clock alone does not: a lease
 * that was over by then must not look alive. A wall clock that is set forward ends leases early, which is safe.
 */
function awakeClock(): () => number {
  const startedAtMs = Date.now() - performance.now();
  let aheadMs = 0;
  return () => {
    const ms = performance.now();
    aheadMs = Math.max(aheadMs, Date.now() - startedAtMs - ms);
    return ms + aheadMs;
  };
}

export const monotonicMs = awakeClock();

/** Resolves after `ms`, or when `signal` aborts. `ref`: keeps the process alive until then. */
export async function pause(ms: number, ref: boolean, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, signal === undefined ? { ref } : { ref, signal });
  } catch (error) {
    // Woken by its signal, as promised; anything else is a defect.
    if (signal?.aborted !== true) throw error;
  }
}

/**
 * Nothing in the flow keeps a process alive: what is served has its sockets, and a graceful stop waits for what goes on
 * in the background for as long as it wants to. Some of that goes on for an hour.
 */
export const clock: Clock = { monotonicMs, sleep: (ms, signal) => pause(ms, false, signal) };

/** For what a stop waits for itself. */
export const waitingClock: Clock = { monotonicMs, sleep: (ms, signal) => pause(ms, true, signal) };
