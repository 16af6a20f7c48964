/**
 * Plants one bug in the hunt's program as it is bundled, and hunts it there. The tree itself is never touched; the
 * program is gone when the hunt is over, whatever it found.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { RULES, type Rule } from "../checker/history.ts";
import { BARE_NODE } from "../support/bare-node.ts";
import { ROOT } from "../support/bundled.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { Bed, type Texts } from "./bed.ts";
import type { Bug, Edit, Hunt } from "./bugs.ts";

export const MOST_SEEDS = 1000;

export interface Found {
  /** Empty where the hunt found nothing. */
  readonly violations: readonly { readonly rule: Rule; readonly text: string }[];
  readonly ms: number;
}

/** The programs of both hunts, to plant bugs in. */
export type Beds = Readonly<Record<Hunt, Bed>>;

export function newBeds(t: Teardown): Beds {
  return { wire: new Bed(t, "test/bugs/wire.ts"), sim: new Bed(t, "test/bugs/sim.ts") };
}

/** Hunts a bug until its rule is broken. Rejects where an edit does not fit, or the hunt breaks instead of ending. */
export function hunt(beds: Beds, { hunt: kind, rule, seed = 0, edits }: Bug): Promise<Found> {
  return kind === "wire"
    ? huntIn(beds.wire, edits)
    : huntIn(beds.sim, edits, rule, MOST_SEEDS, seed);
}

/** What is found where nothing is planted, by the simulation in these seeds. */
export function huntNothing(beds: Beds, kind: Hunt, seeds: readonly number[]): Promise<Found> {
  return kind === "wire" ? huntIn(beds.wire, []) : huntIn(beds.sim, [], "none", 0, ...seeds);
}

async function huntIn(
  bed: Bed,
  edits: readonly Edit[],
  ...args: readonly (string | number)[]
): Promise<Found> {
  const texts = plant(edits);
  return withTeardown(async (t) => run(await bed.plant(t, texts), args.map(String)));
}

/**
 * The edited texts, by the paths of their files.
 * @throws where an edit does not fit in exactly one place
 */
export function plant(edits: readonly Edit[]): Texts {
  const texts = new Map<string, string>();
  for (const { file, search, replace } of edits) {
    const path = join(ROOT, "src", file);
    const parts = (texts.get(path) ?? readFileSync(path, "utf8")).split(search);
    if (parts.length !== 2) {
      throw new Error(`src/${file} has ${parts.length - 1} places like this, not one:\n${search}`);
    }
    texts.set(path, parts.join(replace));
  }
  return texts;
}

/** A thousand seeds take a minute on a busy machine; a hunt that hangs is told by its name. */
const LONGEST_HUNT_MS = 300_000;

async function run(program: string, args: readonly string[]): Promise<Found> {
  const startedMs = performance.now();
  const child = spawn("env", [...BARE_NODE, program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LONGEST_HUNT_MS,
    killSignal: "SIGKILL",
  });
  const [out, err] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit"),
  ]);
  const violations = out.split("\n").flatMap(violationIn);
  const ended = child.exitCode === (violations.length > 0 ? 1 : 0);
  if (!ended) {
    const how = child.exitCode ?? child.signalCode ?? "nothing";
    throw new Error(
      `${program} ${args.join(" ")} ended with ${how}:\n${out}\n${err}`.slice(0, 4000),
    );
  }
  return { violations, ms: performance.now() - startedMs };
}

function violationIn(line: string): Found["violations"] {
  const [, word, told = ""] = /^violation (\S+) (.*)$/u.exec(line) ?? [];
  if (word === undefined) return [];
  const rule = RULES.find((known) => known === word);
  if (rule === undefined) throw new Error(`no rule is called ${word}`);
  return [{ rule, text: told }];
}

/** `undefined` where the bug was caught by the rule that it breaks, whatever else it breaks; else what went wrong. */
export function missed({ rule }: Pick<Bug, "rule">, { violations }: Found): string | undefined {
  if (violations.some((violation) => violation.rule === rule)) return undefined;
  const others = new Set(violations.map((violation) => violation.rule));
  return others.size === 0 ? "not caught" : `caught by ${[...others].join(", ")}, not by ${rule}`;
}
