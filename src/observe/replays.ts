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

interface Counter {
  count: number;
  lastAtMs: number;
}

/** 200 bytes each, its id among them: two megabytes. */
const MOST_RECORDS = 10_000;

/**
 * Two generations of half the records each, because keeping one map in the order of the last replay costs a walk over what
 * was moved. At least half as many as are kept at most are those that were replayed last.
 */
export class Replays {
  #young = new Map<string, Counter>();
  /** What was young before. A record that is replayed again is in both, with the same counter. */
  #old: ReadonlyMap<string, Counter> = new Map();
  readonly #by: string;
  readonly #wallMs: () => number;
  readonly #half: number;

  constructor(by: string, wallMs: () => number, most = MOST_RECORDS) {
    this.#by = by;
    this.#wallMs = wallMs;
    this.#half = most / 2;
  }

  replayed(id: string): void {
    const counter = this.#young.get(id) ?? this.#renewed(id);
    counter.count += 1;
    counter.lastAtMs = this.#wallMs();
  }

  /** One or none. */
  of(id: string): readonly ReplayCount[] {
    const counter = this.#young.get(id) ?? this.#old.get(id);
    return counter === undefined ? [] : [{ by: this.#by, ...counter }];
  }

  #renewed(id: string): Counter {
    const counter = this.#old.get(id) ?? { count: 0, lastAtMs: 0 };
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(id, counter);
    return counter;
  }
}
