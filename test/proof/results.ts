/**
 * What has been proven so far, kept in a file, batch by batch: a run that is cut goes on where it was, on another day or
 * another machine. A batch stands there whole or not at all.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { z } from "zod";

const batchSchema = z.strictObject({
  first: z.number().int().nonnegative(),
  count: z.number().int().positive(),
  violations: z.array(z.string()),
  counts: z.record(z.string(), z.number()),
  peaks: z.record(z.string(), z.number()),
  seconds: z.number().nonnegative(),
  /** The commit that was tried, with `+` where the tree had changes. */
  commit: z.string(),
  node: z.string(),
  endedAt: z.iso.datetime(),
});

const resultsSchema = z.record(z.string(), z.array(batchSchema));

export type Batch = z.infer<typeof batchSchema>;
export type Results = Readonly<Record<string, readonly Batch[]>>;

/** Nothing where there is no such file yet. */
export function readResults(file: string): Results {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
  return resultsSchema.parse(JSON.parse(text));
}

export function addBatch(file: string, name: string, batch: Batch): void {
  const before = readResults(file);
  write(file, { ...before, [name]: [...(before[name] ?? []), batch] });
}

/** For a row that found something: after the mend it has to be shown from the beginning. */
export function dropRow(file: string, name: string): void {
  const { [name]: _dropped, ...kept } = readResults(file);
  write(file, kept);
}

/** Replaces the file in one step. */
function write(file: string, results: Results): void {
  const next = `${file}.next`;
  writeFileSync(next, `${JSON.stringify(results, undefined, 1)}\n`);
  renameSync(next, file);
}

export interface Span {
  readonly first: number;
  readonly count: number;
}

/** What is left to do of `long` units, cut into batches. */
export function spansLeft(long: number, batch: number, done: readonly Span[]): readonly Span[] {
  const left: Span[] = [];
  const ordered = done.toSorted((a, b) => a.first - b.first);
  let next = 0;
  for (const { first, count } of [...ordered, { first: long, count: 0 }]) {
    while (next < Math.min(first, long)) {
      const size = Math.min(batch, Math.min(first, long) - next);
      left.push({ first: next, count: size });
      next += size;
    }
    next = Math.max(next, first + count);
  }
  return left;
}
