/**
 * What has been measured, workload by workload, and the file that keeps it. A workload that is run again replaces what
 * was there: ratios are only taken within one run.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { median, spread } from "./statistics.ts";

/** Figures by name: `perSecond`, `cpuMicroseconds`, `p99`, … */
export type Figures = Readonly<Record<string, number>>;

export interface Sample {
  readonly contender: string;
  readonly round: number;
  readonly figures: Figures;
}

export interface Measured {
  /** ISO 8601. */
  readonly at: string;
  readonly commit: string;
  readonly machine: string;
  readonly seconds: number;
  readonly samples: readonly Sample[];
}

export type Results = Readonly<Record<string, Measured>>;

export interface Summary {
  readonly median: number;
  readonly spread: number;
  readonly rounds: number;
}

/** `undefined` where this was not measured. */
export function summaryOf(
  measured: Measured | undefined,
  contender: string,
  figure: string,
): Summary | undefined {
  const numbers = (measured?.samples ?? [])
    .filter((sample) => sample.contender === contender)
    .flatMap(({ figures }) => figures[figure] ?? []);
  if (numbers.length === 0) return undefined;
  return { median: median(numbers), spread: spread(numbers), rounds: numbers.length };
}

export function contendersIn(measured: Measured): readonly string[] {
  return [...new Set(measured.samples.map(({ contender }) => contender))];
}

export function figuresIn(measured: Measured): readonly string[] {
  return [...new Set(measured.samples.flatMap(({ figures }) => Object.keys(figures)))];
}

export function readResults(file: string): Results {
  if (!existsSync(file)) return {};
  return JSON.parse(readFileSync(file, "utf8")) as Results;
}

export function writeResults(file: string, results: Results): void {
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}
