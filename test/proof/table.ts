/** The results as a table in Markdown, and its place in a page. */
import { readFileSync, writeFileSync } from "node:fs";
import type { ProofRow } from "./row.ts";
import type { Batch, Results } from "./results.ts";

const figures = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

export function tableOf(rows: readonly ProofRow[], results: Results): string {
  const lines = rows.map((row) => lineOf(row, results[row.name] ?? []));
  return [
    "| what is tried | unit | in CI | long run: done | of | violations | what else was counted | hours | Node, commit |",
    "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | --- |",
    ...lines,
  ].join("\n");
}

function lineOf({ claim, unit, ci, long }: ProofRow, batches: readonly Batch[]): string {
  const done = sum(batches.map(({ count }) => count));
  const violations = sum(batches.map((batch) => batch.violations.length));
  const hours = sum(batches.map(({ seconds }) => seconds)) / 3600;
  const cells = [
    claim,
    unit,
    figures.format(ci),
    figures.format(done),
    figures.format(long),
    done === 0 ? "" : figures.format(violations),
    countedIn(batches),
    done === 0 ? "" : hours.toFixed(2),
    [...new Set(batches.map(({ node, commit }) => `${node} ${commit}`))].join(", "),
  ];
  return `| ${cells.join(" | ")} |`;
}

/** Counts are added up, peaks are the largest. */
function countedIn(batches: readonly Batch[]): string {
  const totals = new Map<string, number>();
  for (const { counts, peaks } of batches) {
    for (const [name, n] of Object.entries(counts)) totals.set(name, (totals.get(name) ?? 0) + n);
    for (const [name, n] of Object.entries(peaks)) {
      totals.set(`${name} at most`, Math.max(totals.get(`${name} at most`) ?? -Infinity, n));
    }
  }
  return [...totals].map(([name, total]) => `${name} ${figures.format(total)}`).join(", ");
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}

const BEGIN = "<!-- proof: begin -->";
const END = "<!-- proof: end -->";

/** Puts the table between the two markers of the page. @throws where the page does not have them */
export function writeTable(page: string, table: string): void {
  const text = readFileSync(page, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`${page} needs ${BEGIN} and ${END}.`);
  writeFileSync(page, `${text.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${text.slice(end)}`);
}
