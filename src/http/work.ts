/**
 * What a graceful stop waits for: handlers, which outlive their clients, and streams, which may have no end. Knows
 * nothing of what they do.
 */
export class Work {
  /** Until its end, and until it ended or became a stream. */
  readonly #running = new Map<Promise<void>, Promise<void>>();

  /** Runs it. `becomeStream` says that from here on its end need not be waited for. It must not reject. */
  add(run: (becomeStream: () => void) => Promise<void>): void {
    let ended = Promise.resolve();
    const settled = new Promise<void>((becomeStream) => {
      ended = run(becomeStream).finally(() => {
        this.#running.delete(ended);
        becomeStream();
      });
    });
    this.#running.set(ended, settled);
  }

  /** Resolves when everything that runs has ended or become a stream. */
  async settled(): Promise<void> {
    let before = -1;
    while (before !== this.#running.size) {
      before = this.#running.size;
      await Promise.all(this.#running.values());
    }
  }

  /** Resolves when everything has ended. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.keys());
  }
}
