/**
 * `npm run bench`: measures the gateway against what else one would put there, on loopback, workload by workload, and
 * writes docs/performance.json, the table in docs/performance.md and docs/performance.svg. `--help` tells its options.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { withTeardown } from "../test/support/teardown.ts";
import { runClosedLoop } from "./closed-loop.ts";
import { CONTENDERS } from "./contenders.ts";
import { commit, machine, missing } from "./machine.ts";
import { runOpenLoop } from "./open-loop.ts";
import { createLineup } from "./lineup.ts";
import { readOptions, USAGE, type Options } from "./options.ts";
import { runEcho, runRecords, runStarts } from "./other-workloads.ts";
import { plotOf } from "./plot.ts";
import { ROOT } from "./processes.ts";
import { readResults, writeResults, type Results, type Sample } from "./results.ts";
import type { Run } from "./run.ts";
import { startSite } from "./site.ts";
import { pageOf, targetTable, workloadTable, withTable, type Titles } from "./table.ts";
import { verdictsOn } from "./targets.ts";
import { WORKLOADS } from "./workloads.ts";

interface Runnable {
  readonly name: string;
  readonly title: string;
  readonly run: (run: Run) => Promise<readonly Sample[]>;
}

const RUNNABLE: readonly Runnable[] = [
  ...WORKLOADS.map((workload): Runnable => {
    const { name, title } = workload;
    return { name, title, run: (run) => runClosedLoop(run, workload) };
  }),
  { name: "latency", title: "open-loop latency at half of the knee", run: runOpenLoop },
  { name: "records", title: "claim latency as the records grow", run: runRecords },
  { name: "start", title: "start to listening", run: runStarts },
  { name: "echo", title: "WebSocket echo, 64 connections", run: runEcho },
];

const TITLES: Titles = {
  contenders: new Map(CONTENDERS.map(({ name, title }) => [name, title])),
  workloads: new Map(RUNNABLE.map(({ name, title }) => [name, title])),
};

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    say(`${USAGE}\nworkloads: ${RUNNABLE.map(({ name }) => name).join(", ")}`);
    say(`contenders: ${CONTENDERS.map(({ name }) => name).join(", ")}`);
    return 0;
  }
  const options = readOptions(args);
  const docs = `${ROOT}docs/`;
  if (options.tableOnly) {
    writeDocs(docs, readResults(`${docs}performance.json`));
    return 0;
  }
  const absent = missing();
  if (absent.length > 0) {
    say(
      `Missing: ${absent.join(", ")}. On Debian: apt-get install --no-install-recommends ${absent.join(" ")}`,
    );
    return 2;
  }
  const began = performance.now();
  const { measured, failed } = await measure(options);
  say(`\n${targetTable(verdictsOn(measured))}`);
  say(`\n${Math.round((performance.now() - began) / 1000)} s`);
  if (!options.print) writeDocs(docs, { ...readResults(`${docs}performance.json`), ...measured });
  for (const failure of failed) say(`failed: ${failure}`);
  return failed.length === 0 ? 0 : 1;
}

interface Outcome {
  readonly measured: Results;
  readonly failed: readonly string[];
}

/** A workload that fails is told at the end; the others are measured all the same. */
async function measure(options: Options): Promise<Outcome> {
  const known = new Set(RUNNABLE.map(({ name }) => name));
  const unknown = options.only.find((name) => !known.has(name));
  if (unknown !== undefined) throw new Error(`there is no workload "${unknown}"`);
  const shared = { commit: commit(), machine: machine(), seconds: options.seconds };
  const results: Record<string, Results[string]> = {};
  const failed: string[] = [];
  await withTeardown(async (whole) => {
    const site = await startSite(whole);
    const lineup = createLineup(whole, site, options);
    for (const { name, title, run } of RUNNABLE) {
      if (options.only.length > 0 && !options.only.includes(name)) continue;
      say(`\n== ${name}: ${title}`);
      try {
        const samples = await run({ site, lineup, options, say });
        if (samples.length === 0) continue;
        results[name] = { at: new Date().toISOString(), ...shared, samples };
        say(workloadTable(results[name], TITLES));
      } catch (error) {
        failed.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
        say(failed.at(-1) ?? "");
      }
    }
  });
  return { measured: results, failed };
}

/** All three are files of the repository, and formatted as all of them are. */
function writeDocs(docs: string, results: Results): void {
  const sorted = Object.fromEntries(
    RUNNABLE.flatMap(({ name }) => {
      const found = results[name];
      return found === undefined ? [] : [[name, found] as const];
    }),
  );
  const [file, page] = [`${docs}performance.json`, `${docs}performance.md`];
  writeResults(file, sorted);
  writeFileSync(page, withTable(readFileSync(page, "utf8"), pageOf(sorted, TITLES)));
  writeFileSync(`${docs}performance.svg`, plotOf(sorted, TITLES));
  execFileSync("npx", ["oxfmt", page, file], { cwd: ROOT, stdio: "inherit" });
}

process.exitCode = await main(process.argv.slice(2));
