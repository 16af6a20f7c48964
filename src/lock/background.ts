/** Work that nobody waits for, kept in sight until it is done, so that closing can wait and no rejection goes unheard. */
import type { Clock } from "../core/ports.ts";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5000;

export class Background {
  readonly #clock: Clock;
  readonly #running = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A failure is the work's own business: it must not matter to anybody by the time it happens. */
  run(work: () => Promise<unknown>): void {
    const ended = (): void => void this.#running.delete(running);
    const running: Promise<void> = work().then(ended, ended);
    this.#running.add(running);
  }

  /** Tries until it is done or `untilMs` is over; while this closes, once more at most. */
  insist(untilMs: number, work: () => Promise<unknown>): void {
    this.run(async () => {
      const { signal } = this.#closing;
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
        try {
          return await work();
        } catch (error) {
          if (signal.aborted || this.#clock.monotonicMs() + pauseMs >= untilMs) throw error;
        }
        await this.#clock.sleep(pauseMs, signal);
      }
    });
  }

  /** Resolves when all is done, also what is started meanwhile. */
  async close(): Promise<void> {
    this.#closing.abort();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
