/**
 * Makes the gateway with failpoints runnable: compiles `gateway.ts` and what it imports once per process, into a
 * directory that goes with whoever asked for it. tsx would cost each start another second.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Teardown } from "../support/teardown.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Returns the path of the compiled program. */
export async function compileProgram(t: Teardown): Promise<string> {
  // Within the checkout, or it would not find its packages.
  const outDir = mkdtempSync(join(ROOT, "node_modules", ".crash-"));
  t.teardown(() => rmSync(outDir, { recursive: true, force: true }));
  const settings = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: { noEmit: false, rootDir: ROOT, outDir },
    files: [join(ROOT, "test/crash/gateway.ts")],
    // With its ambient declarations.
    include: [join(ROOT, "src")],
  };
  const project = join(outDir, "tsconfig.json");
  writeFileSync(project, JSON.stringify(settings));
  const manifest = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = join(dirname(manifest), "bin", "tsc");
  // Says what is wrong, and rejects with it, where the program does not compile.
  // Without what the test runner puts into the environment of every child, whatever `env` says: the compiler does not
  // survive it.
  const bare = ["-u", "NODE_OPTIONS", process.execPath];
  await promisify(execFile)("env", [...bare, tsc, "-p", project]);
  // What the gateway reads beside its code.
  cpSync(join(ROOT, "package.json"), join(outDir, "package.json"));
  const scripts = join("src", "store", "scripts");
  cpSync(join(ROOT, scripts), join(outDir, scripts), { recursive: true });
  return join(outDir, "test", "crash", "gateway.js");
}
