/**
 * Plants one bug in a copy of this tree and hunts it there. The tree itself is never touched; the copy is gone when
 * the hunt is over, whatever it found.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { RULES, type Rule } from "../checker/history.ts";
import type { Bug, Edit, Hunt } from "./bugs.ts";

export const MOST_SEEDS = 1000;

export interface Found {
  /** Empty where the hunt found nothing. */
  readonly violations: readonly { readonly rule: Rule; readonly text: string }[];
  readonly ms: number;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Hunts a bug until its rule is broken. Rejects where an edit does not fit, or the hunt breaks instead of ending. */
export function hunt({ hunt: kind, rule, edits }: Bug): Promise<Found> {
  return inCopy(edits, kind === "wire" ? [WIRE] : [SIM, rule, String(MOST_SEEDS)]);
}

/** What is found where nothing is planted. */
export function huntNothing(kind: Hunt, seeds: number): Promise<Found> {
  return inCopy([], kind === "wire" ? [WIRE] : [SIM, "none", String(seeds)]);
}

const WIRE = "test/bugs/wire.ts";
const SIM = "test/bugs/sim.ts";

async function inCopy(edits: readonly Edit[], program: readonly string[]): Promise<Found> {
  const dir = mkdtempSync(join(tmpdir(), "planted-"));
  try {
    for (const part of ["src", "test", "config", "package.json", "tsconfig.json"]) {
      cpSync(join(ROOT, part), join(dir, part), { recursive: true });
    }
    symlinkSync(join(ROOT, "node_modules"), join(dir, "node_modules"));
    for (const edit of edits) plant(join(dir, "src"), edit);
    return await run(dir, program);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function plant(src: string, { file, search, replace }: Edit): void {
  const path = join(src, file);
  const source = readFileSync(path, "utf8");
  const parts = source.split(search);
  if (parts.length !== 2) {
    throw new Error(`src/${file} has ${parts.length - 1} places like this, not one:\n${search}`);
  }
  writeFileSync(path, parts.join(replace));
}

async function run(cwd: string, program: readonly string[]): Promise<Found> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, ["--import=tsx", ...program], {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
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
    throw new Error(`${program.join(" ")} ended with ${how}:\n${out}\n${err}`.slice(0, 4000));
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
