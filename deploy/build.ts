/**
 * Compiles src/ to dist/ and puts the Lua scripts beside the code that loads them. Does not bundle, minify or install.
 *
 * The output is made aside and swapped in by a rename: a failed build leaves the old dist/ alone, a file that has left
 * src/ leaves dist/ too, and a gateway that starts during a build finds a whole one.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
// Within the checkout, because a rename does not cross file systems.
const next = mkdtempSync(join(root, "node_modules", ".build-"));

try {
  compile(next);
  copyScripts(next);
  // mkdtemp leaves a directory that only its owner enters; an image runs as somebody else.
  chmodSync(next, 0o755);
  const main = join(next, "main.js");
  // The package's `bin`: npm sets the bit on install, a checkout has only us.
  if (existsSync(main)) chmodSync(main, 0o755);
  rmSync(dist, { recursive: true, force: true });
  renameSync(next, dist);
} finally {
  rmSync(next, { recursive: true, force: true });
}

function compile(outDir: string): void {
  const manifest = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = join(dirname(manifest), "bin", "tsc");
  const args = [tsc, "-p", join(root, "src"), "--outDir", outDir];
  const { status, error } = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) {
    rmSync(outDir, { recursive: true, force: true });
    process.exit(status ?? 1);
  }
}

function copyScripts(outDir: string): void {
  const scripts = join("store", "scripts");
  const source = join(root, "src", scripts);
  if (existsSync(source)) cpSync(source, join(outDir, scripts), { recursive: true });
}
