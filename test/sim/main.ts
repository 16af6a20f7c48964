/**
 * The simulation from the command line: `npm run sim -- --seeds N [--first F]` tries N seeds and stops at the first
 * that breaks a promise; `--seed S` replays one and prints its trace. Exits 1 where a promise is broken.
 */
import { parseArgs } from "node:util";
import { simulate, outside, type Simulated } from "./simulate.ts";
import { sliceOf } from "./slice.ts";

const USAGE = "npm run sim -- --seeds N [--first F] | --seed S";

const PROGRESS_SEEDS = 1000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string" },
      first: { type: "string", default: "0" },
      seed: { type: "string" },
    },
  });
  const { seed, seeds = "1", first } = values;
  if (![seed ?? "0", seeds, first].every((value) => /^\d{1,9}$/.test(value))) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  if (seed !== undefined) return replay(Number(seed));
  return tryAll(Number(first), Number(seeds));
}

async function replay(seed: number): Promise<number> {
  const simulated = await outside(() => simulate(seed, true));
  print(simulated.trace);
  print([`seed ${seed}: trace ${simulated.hash}`, ...told(simulated)]);
  return simulated.violations.length === 0 ? 0 : 1;
}

async function tryAll(first: number, count: number): Promise<number> {
  const startedMs = performance.now();
  let requests = 0;
  for (let seed = first; seed < first + count; seed += 1) {
    const simulated = await outside(() => simulate(seed));
    requests += simulated.counts["requests"] ?? 0;
    if (simulated.violations.length > 0) {
      const recorded = await outside(() => simulate(seed, true));
      print([...told(simulated), ...sliceOf(recorded)]);
      return 1;
    }
    const done = seed - first + 1;
    if (done % PROGRESS_SEEDS === 0 || done === count) {
      const seconds = (performance.now() - startedMs) / 1000;
      print([
        `${done} seeds, ${requests} requests, 0 violations, ${seconds.toFixed(1)} s, ${((1000 * seconds) / done).toFixed(1)} ms a seed`,
      ]);
    }
  }
  return 0;
}

function told({ seed, violations }: Simulated): string[] {
  return violations.map(({ rule, text }) => `violation ${rule} seed ${seed}: ${text}`);
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

process.exitCode = await main();
