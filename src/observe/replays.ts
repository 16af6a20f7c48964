/**
 * How often this process has told a recorded answer again, record by record, for whoever looks at one. A replay writes
 * nothing into its record, so this lives as long as the process, and of the records that were replayed last.
 */

export interface ReplayCount {
  /** Which process. */
  readonly by: string;
  readonly count: number;
  /** Epoch milliseconds. */
  readonly lastAtMs: number;
}

/** About two megabytes. */
const MOST_RECORDS = 10_000;

export class Replays {
  /** By record id; the one that was replayed last comes last. */
  readonly #counts = new Map<string, ReplayCount>();
  readonly #by: string;
  readonly #wallMs: () => number;
  readonly #most: number;

  constructor(by: string, wallMs: () => number, most = MOST_RECORDS) {
    this.#by = by;
    this.#wallMs = wallMs;
    this.#most = most;
  }

  replayed(id: string): void {
    const count = (this.#counts.get(id)?.count ?? 0) + 1;
    this.#counts.delete(id);
    this.#counts.set(id, { by: this.#by, count, lastAtMs: this.#wallMs() });
    if (this.#counts.size <= this.#most) return;
    const [longestAgo] = this.#counts.keys();
    if (longestAgo !== undefined) this.#counts.delete(longestAgo);
  }

  /** One or none. */
  of(id: string): readonly ReplayCount[] {
    const count = this.#counts.get(id);
    return count === undefined ? [] : [count];
  }
}
