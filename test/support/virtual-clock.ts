/** Time that stands still until a test moves it. */
import type { Clock } from "../../src/core/ports.ts";

interface Sleeper {
  readonly atMs: number;
  readonly wake: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  readonly #sleepers = new Set<Sleeper>();

  monotonicMs(): number {
    return this.#nowMs;
  }

  /** How many sleep right now. */
  sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const sleeper: Sleeper = { atMs: this.#nowMs + ms, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", wake);
    });
  }

  /** Wakes every sleeper whose time comes, in order, and lets each do its work before the next. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await quiet();
    for (;;) {
      const due = [...this.#sleepers].filter(({ atMs }) => atMs <= untilMs);
      const [first] = due.toSorted((a, b) => a.atMs - b.atMs);
      if (first === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, first.atMs);
      first.wake();
      await quiet();
    }
    this.#nowMs = untilMs;
    await quiet();
  }

  /** Time passes and nobody gets to run: a paused process. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }
}

/** Resolves when everything that is ready to run has run. */
export async function quiet(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
}
