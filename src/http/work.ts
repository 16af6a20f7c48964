/**
 * What a graceful stop waits for: handlers, which outlive their clients, and streams, which may have no end. Knows
 * nothing of what they do.
 */
export class Work {
  /** Until its end, and until it ended or became a stream. */
  readonly #running = new Map<Promise<void>, Promise<void>>();
  readonly #onBroken: (error: unknown) => void;

  /** `onBroken` hears of work that failed although it takes care of its own failures. */
  constructor(onBroken: (error: unknown) => void) {
    this.#onBroken = onBroken;
  }

  /** Runs it. `becomeStream` says that from here on its end need not be waited for. */
  add(run: (becomeStream: () => void) => Promise<void>): void {
    let ended = Promise.resolve();
    const settled = new Promise<void>((becomeStream) => {
      // The async function makes a rejection of what is thrown at once; unhandled, either would end the process.
      ended = (async () => run(becomeStream))()
        .catch(this.#onBroken)
        .finally(() => {
          this.#running.delete(ended);
          becomeStream();
        });
    });
    this.#running.set(ended, settled);
  }

  /** Resolves when everything that runs has ended or become a stream, also what began during the wait. */
  async settled(): Promise<void> {
    const seen = new Set<Promise<void>>();
    for (;;) {
      const fresh = [...this.#running.values()].filter((settled) => !seen.has(settled));
      if (fresh.length === 0) return;
      await Promise.all(fresh);
      for (const settled of fresh) seen.add(settled);
    }
  }

  /** Resolves when everything has ended. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.keys());
  }
}
