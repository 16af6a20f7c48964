/**
 * Runs spin on one model: Promela to C, C to a verifier, and the verifier over every state that can be reached. Whatever
 * ended before it had seen all of them is said to be no whole search, and is not a pass. Judges nothing else.
 */
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Model } from "./models.ts";

export interface Search {
  /** The first property that was found broken, or what else was: `invalid end state`. */
  readonly broken: string | undefined;
  /** Every state was seen: no depth, memory or time cut the search short. */
  readonly whole: boolean;
  readonly states: number;
  readonly depth: number;
  readonly memoryMiB: number;
  readonly seconds: number;
  /** What the verifier said, for whoever has to look into it. */
  readonly report: string;
}

const HERE = import.meta.dirname;
/** Deeper than any run: a search that wants to go deeper says so, and does not count. */
const DEPTH = 100_000;
const MEMORY_MIB = 10_000;

/** @throws Error when the model is no Promela, or a tool is missing. */
export async function search(model: Model): Promise<Search> {
  const dir = await mkdtemp(join(tmpdir(), "model-"));
  try {
    for (const file of ["protocol.pml", "record.pml"]) {
      await copyFile(join(HERE, file), join(dir, file));
    }
    await run(dir, "spin", [...model.defines.map((name) => `-D${name}`), "-a", "protocol.pml"]);
    // A variant's search is over at once, so there the compiler is what takes the time.
    const effort = model.breaks === undefined ? "-O1" : "-O0";
    const flags = ["-DSAFETY", "-DCOLLAPSE", `-DMEMLIM=${MEMORY_MIB}`];
    await run(dir, "gcc", [effort, "-w", ...flags, "-o", "pan", "pan.c"]);
    return readReport(await run(dir, join(dir, "pan"), ["-n", `-m${DEPTH}`, "-w22"]));
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** What a program printed. The verifier also exits 0 when it has found something. */
function run(cwd: string, program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr);
      else reject(new Error(`${program} ${args.join(" ")}: ${error.message}\n${stdout}${stderr}`));
    });
  });
}

export function readReport(report: string): Search {
  const errors = numberIn(report, /errors: (\d+)/u);
  const broken =
    /assertion violated\s+!\((\w+)\)/u.exec(report)?.[1] ??
    /pan:\d+: (.+?) \(at depth/u.exec(report)?.[1];
  if (errors > 0 && broken === undefined) throw new Error(`Something is broken:\n${report}`);
  return {
    broken,
    whole:
      errors === 0 &&
      !/search depth too small|Search not completed|reached -DMEMLIM|out of memory|hash-compact|bit ?state/iu.test(
        report,
      ),
    states: numberIn(report, /([\d.e+]+) states, stored/u),
    depth: numberIn(report, /depth reached (\d+)/u),
    memoryMiB: numberIn(report, /([\d.]+)\s+total actual memory usage/u),
    seconds: numberIn(report, /elapsed time ([\d.e+]+) seconds/u),
    report,
  };
}

function numberIn(report: string, pattern: RegExp): number {
  const found = Number(pattern.exec(report)?.[1]);
  if (Number.isNaN(found))
    throw new Error(`The verifier did not say ${pattern.source}:\n${report}`);
  return found;
}
