/**
 * Who waits for which record, inside one process. Stores wake it by id when a record settles; a waiter is also woken
 * after the poll interval, because a notification from elsewhere can get lost. It holds no records and asks no store.
 */
import type { SettleWatch } from "../core/ports.ts";

interface Waiter {
  /** A wake between two waits is kept here, so that none falls through the gap. */
  woken: boolean;
  resolve: (() => void) | undefined;
}

export class SettleHub {
  readonly #pollMs: number;
  readonly #waiters = new Map<string, Set<Waiter>>();

  /** `pollMs`: the longest that one `wait` lasts. */
  constructor(pollMs: number) {
    this.#pollMs = pollMs;
  }

  wake(id: string): void {
    for (const waiter of this.#waiters.get(id) ?? []) {
      waiter.woken = true;
      waiter.resolve?.();
    }
  }

  wakeAll(): void {
    for (const id of this.#waiters.keys()) this.wake(id);
  }

  /** Armed on return. `onLast` is called when the last watch of this id is closed. */
  arm(id: string, onLast?: () => void): SettleWatch {
    const waiter: Waiter = { woken: false, resolve: undefined };
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters.add(waiter));
    return {
      wait: (timeoutMs, gone) => this.#wait(waiter, timeoutMs, gone),
      close: () => {
        waiter.resolve?.();
        if (!waiters.delete(waiter) || waiters.size > 0) return;
        this.#waiters.delete(id);
        onLast?.();
      },
    };
  }

  async #wait(waiter: Waiter, timeoutMs: number, gone: AbortSignal): Promise<void> {
    if (!waiter.woken && !gone.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          gone.removeEventListener("abort", done);
          waiter.resolve = undefined;
          resolve();
        };
        const timer = setTimeout(done, Math.min(timeoutMs, this.#pollMs));
        gone.addEventListener("abort", done);
        waiter.resolve = done;
      });
    }
    waiter.woken = false;
  }
}
