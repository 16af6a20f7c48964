/** Work that nobody waits for, kept in sight until it is done, so that closing can wait and no rejection goes unheard. */
export class Background {
  readonly #running = new Set<Promise<unknown>>();

  /** A failure is the work's own business: it must not matter to anybody by the time it happens. */
  run(work: () => Promise<unknown>): void {
    const running: Promise<void> = Promise.allSettled([work()]).then(() => {
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** Resolves when all is done, also what is started meanwhile. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
