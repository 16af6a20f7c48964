/**
 * What a graceful stop waits for: handlers, which outlive their clients, and streams, which may have no end. Knows
 * nothing of what they do.
 */
export class Work {
  #running = 0;
  /** What runs and has not become a stream. */
  #unsettled = 0;
  readonly #waiting = new Set<() => void>();
  readonly #onBroken: (error: unknown) => void;

  /** `onBroken` hears of work that failed although it takes care of its own failures. */
  constructor(onBroken: (error: unknown) => void) {
    this.#onBroken = onBroken;
  }

  /** Runs it. `becomeStream` says that from here on its end need not be waited for. */
  add(run: (becomeStream: () => void) => Promise<void>): void {
    this.#running += 1;
    this.#unsettled += 1;
    let isSettled = false;
    const settle = (): void => {
      if (isSettled) return;
      isSettled = true;
      this.#unsettled -= 1;
      this.#tell();
    };
    void this.#toItsEnd(() => run(settle), settle);
  }

  /** Never rejects: unhandled, that would end the process. */
  async #toItsEnd(run: () => Promise<void>, settle: () => void): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#onBroken(error);
    } finally {
      settle();
      this.#running -= 1;
      this.#tell();
    }
  }

  #tell(): void {
    for (const look of this.#waiting) look();
  }

  /** Resolves when everything that runs has ended or become a stream, also what began during the wait. */
  settled(): Promise<void> {
    return this.#until(() => this.#unsettled === 0);
  }

  /** Resolves when everything has ended. */
  ended(): Promise<void> {
    return this.#until(() => this.#running === 0);
  }

  #until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isSo()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}
