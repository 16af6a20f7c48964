/**
 * One row of the proof: something that is tried over and over, and the number of violations, which must be 0. The
 * suite runs `ci` units of it, `npm run proof` runs `long` units, in batches, each batch a process of its own.
 */

export interface ProofRow {
  /** Kebab-case, unique. */
  readonly name: string;
  /** What the table says was tried, and how one unit of it is called. */
  readonly claim: string;
  readonly unit: string;
  readonly ci: number;
  readonly long: number;
  /** Units of one batch; a batch should take between ten seconds and a few minutes. */
  readonly batch: number;
  /**
   * Runs the units `first` to `first + count - 1`. The same numbers do the same again, as far as real processes can:
   * whatever is random comes from the unit's number. Rejects only where the machinery itself is broken.
   */
  run(first: number, count: number): Promise<BatchResult>;
}

export interface BatchResult {
  /** Units that were really done: a batch that did fewer than it was asked to is not counted as whole. */
  readonly done: number;
  /** What was promised and did not hold, each with what is needed to try it again. */
  readonly violations: readonly string[];
  /** What else was counted, added up over all batches (`requests`, `executions`, ...). */
  readonly counts: Readonly<Record<string, number>>;
  /** The largest of each over all batches (`rssMiB`, `p99Ms`, ...). */
  readonly peaks?: Readonly<Record<string, number>>;
}
