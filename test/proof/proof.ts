/**
 * The long run: every row's units in batches, each batch a process of its own, several at a time, results kept as they
 * come. Says how far it is, and at the end what was found.
 */
import { execFileSync, fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { addBatch, readResults, spansLeft, type Span } from "./results.ts";
import { findRows, type PlacedRow } from "./rooms.ts";
import type { BatchResult, ProofRow } from "./row.ts";
import { tableOf } from "./table.ts";
import { RUNS_TYPESCRIPT } from "../support/bare-node.ts";

export interface ProofOptions {
  /** Where the rooms are. */
  readonly root: string;
  /** Where the results are kept. */
  readonly file: string;
  /** Only these rows; all where it is empty. */
  readonly names: readonly string[];
  /** Batches at a time. */
  readonly jobs: number;
  /** No batch is begun later than this. */
  readonly minutes: number;
  readonly say: (text: string) => void;
  /** Aborts when the run is to be cut: running batches are ended and not counted. */
  readonly cut: AbortSignal;
}

export interface Proven {
  readonly table: string;
  /** Units that are still to be done. */
  readonly left: number;
  readonly violations: number;
  /** Batches whose machinery broke. */
  readonly broken: number;
}

interface Task extends PlacedRow {
  readonly span: Span;
}

/** @throws where a name is no row's */
export async function prove(options: ProofOptions): Promise<Proven> {
  const { root, file, names, jobs, minutes, cut } = options;
  const all = await findRows(root);
  const chosen = names.length === 0 ? all : names.map((name) => named(all, name));
  const before = readResults(file);
  const tasks = chosen.flatMap(({ room, row }) =>
    spansLeft(row.long, row.batch, before[row.name] ?? []).map((span) => ({ room, row, span })),
  );
  const untilMs = Date.now() + minutes * 60_000;
  const broken: Task[] = [];
  const worker = async (): Promise<void> => {
    for (;;) {
      if (cut.aborted || Date.now() >= untilMs) return;
      const task = tasks.shift();
      if (task === undefined) return;
      if (!(await runTask(task, options))) broken.push(task);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));

  const results = readResults(file);
  const rows = chosen.map(({ row }) => row);
  const batches = rows.flatMap(({ name }) => results[name] ?? []);
  return {
    table: tableOf(rows, results),
    left: rows.reduce((left, row) => left + row.long - doneOf(row, file), 0),
    violations: batches.reduce((total, batch) => total + batch.violations.length, 0),
    broken: broken.length,
  };
}

function named(all: readonly PlacedRow[], name: string): PlacedRow {
  const found = all.find(({ row }) => row.name === name);
  if (found !== undefined) return found;
  throw new Error(
    `No row is called ${name}. There are: ${all.map(({ row }) => row.name).join(", ")}.`,
  );
}

/** Whether the batch came to its end. */
async function runTask(task: Task, { root, file, say, cut }: ProofOptions): Promise<boolean> {
  const { room, row, span } = task;
  const startedMs = Date.now();
  const child = fork(BATCH, [root, room, row.name, String(span.first), String(span.count)], {
    execArgv: READS_TYPESCRIPT ? [] : [RUNS_TYPESCRIPT],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const end = (): boolean => child.kill("SIGKILL");
  cut.addEventListener("abort", end);
  const result = await resultOf(child);
  cut.removeEventListener("abort", end);
  if (cut.aborted) return true;
  const what = `${row.name} ${span.first} to ${span.first + span.count - 1}`;
  if (result === undefined || result.done !== span.count) {
    say(`BROKEN ${what}: ${result === undefined ? "no result" : `${result.done} done`}`);
    return false;
  }
  const seconds = (Date.now() - startedMs) / 1000;
  addBatch(file, row.name, {
    ...span,
    violations: [...result.violations],
    counts: result.counts,
    peaks: result.peaks ?? {},
    seconds,
    commit: commit(),
    node: process.version,
    endedAt: new Date().toISOString(),
  });
  for (const violation of result.violations) say(`VIOLATION ${what}: ${violation}`);
  say(progressOf(row, file, span.count / seconds));
  return true;
}

async function resultOf(child: ChildProcess): Promise<BatchResult | undefined> {
  let result: BatchResult | undefined;
  child.on("message", (message) => {
    result = message as BatchResult;
  });
  const [code] = (await once(child, "close")) as [number | null];
  return code === 0 ? result : undefined;
}

function doneOf({ name }: ProofRow, file: string): number {
  return (readResults(file)[name] ?? []).reduce((done, { count }) => done + count, 0);
}

function progressOf(row: ProofRow, file: string, unitsPerSecond: number): string {
  const done = doneOf(row, file);
  const percent = Math.floor((100 * done) / row.long);
  const leftMinutes = Math.ceil((row.long - done) / unitsPerSecond / 60);
  const violations = (readResults(file)[row.name] ?? []).flatMap((batch) => batch.violations);
  return `${row.name}: ${done} of ${row.long} (${percent} %), ${violations.length} violations, ${unitsPerSecond.toFixed(1)} a second, ${leftMinutes} minutes left at that`;
}

/** Newer versions of Node do, and a simulated seed takes them a third less than with tsx on Node 20. */
const READS_TYPESCRIPT = Boolean(Reflect.get(process.features, "typescript"));

const BATCH = fileURLToPath(new URL("batch.ts", import.meta.url));
const TREE = fileURLToPath(new URL("../../", import.meta.url));

/** What is tried, `+` where the sources differ from the commit. */
function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: TREE, encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "--", "src", "test", "package.json") !== "";
  return git("rev-parse", "--short=10", "HEAD") + (changed ? "+" : "");
}
