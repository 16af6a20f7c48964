/**
 * What the workers know of one record's replays: a question that goes to each of them is over when all have answered or ended,
 * or when its time is. Listens to nobody: whoever hears the workers says here what they have told and which have ended.
 */
import type { Recollection, Replayed } from "./admin/records.ts";

/** As a scrape waits: an operator looks at the record, not at this. */
const TIMEOUT_MS = 1000;

interface Question {
  /** Those that have neither answered nor ended. */
  readonly missing: Set<number>;
  readonly told: Replayed[];
  readonly settle: () => void;
}

export class Recalls {
  readonly #open = new Map<number, Question>();
  readonly #timeoutMs: number;
  #asked = 0;

  constructor(timeoutMs = TIMEOUT_MS) {
    this.#timeoutMs = timeoutMs;
  }

  /** `send` puts the question of that number to one worker. Never rejects. */
  ask(
    workers: readonly number[],
    send: (worker: number, question: number) => void,
  ): Promise<Recollection> {
    const number = (this.#asked += 1);
    return new Promise((resolve) => {
      const missing = new Set(workers);
      const told: Replayed[] = [];
      const settle = (): void => {
        clearTimeout(timer);
        this.#open.delete(number);
        resolve({ told, silent: missing.size });
      };
      const timer = setTimeout(settle, this.#timeoutMs);
      this.#open.set(number, { missing, told, settle });
      for (const worker of workers) send(worker, number);
      if (missing.size === 0) settle();
    });
  }

  /** Answers that come too late, or twice, count for nothing. */
  answered(worker: number, number: number, told: readonly Replayed[]): void {
    const question = this.#open.get(number);
    if (question?.missing.delete(worker) !== true) return;
    question.told.push(...told);
    if (question.missing.size === 0) question.settle();
  }

  /** What it knew has ended with it, so it is not silent. */
  ended(worker: number): void {
    for (const { missing, settle } of this.#open.values()) {
      if (missing.delete(worker) && missing.size === 0) settle();
    }
  }
}
