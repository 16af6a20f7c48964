/**
 * A program of the tests as one bundle, like the gateway that is shipped. Node starts it in half the time, and without
 * what tsx adds to every function.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "../../deploy/build/bundle.ts";
import type { Teardown } from "./teardown.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Returns the path of the bundled program, in a directory that goes with the test; throws where it cannot be bundled. */
export async function bundled(t: Teardown, entry: string): Promise<string> {
  const outDir = programDir(t);
  await bundle({ root: ROOT, entry, outDir });
  return join(outDir, builtName(entry));
}

/** Makes a directory for a bundled program that goes with the test, with what a gateway reads beside its code. */
export function programDir(t: Teardown): string {
  // Within the checkout, or it would not find the packages that are not part of it.
  const dir = mkdtempSync(join(ROOT, "node_modules", ".bundled-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const outDir = join(dir, "dist", "app");
  mkdirSync(outDir, { recursive: true });
  cpSync(join(ROOT, "package.json"), join(dir, "package.json"));
  return outDir;
}

/** What the bundle of this program is called. */
export function builtName(entry: string): string {
  return basename(entry).replace(/\.ts$/u, ".cjs");
}
