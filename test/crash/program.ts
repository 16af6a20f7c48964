/**
 * Makes the gateway with failpoints runnable: compiles `gateway.ts` and what it imports once per process, into a
 * directory that goes with whoever asked for it. tsx would cost each start another second.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Teardown } from "../support/teardown.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Returns the path of the compiled program. */
export function compileProgram(t: Teardown): string {
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
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", project], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the program of the tests does not compile:\n${stdout}`);
  // What the gateway reads beside its code.
  cpSync(join(ROOT, "package.json"), join(outDir, "package.json"));
  const scripts = join("src", "store", "scripts");
  cpSync(join(ROOT, scripts), join(outDir, scripts), { recursive: true });
  return join(outDir, "test", "crash", "gateway.js");
}
