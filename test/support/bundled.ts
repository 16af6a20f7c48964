/**
 * A program of the tests as one bundle, like the gateway that is shipped. Node starts it in half the time, and without
 * what tsx adds to every function.
 */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle, type BundleOptions } from "../../deploy/build/bundle.ts";
import type { Teardown } from "./teardown.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Returns the path of the bundled program, in a directory that goes with the test.
 * @throws where it cannot be bundled
 */
export async function bundled(
  t: Teardown,
  entry: string,
  plugins: BundleOptions["plugins"] = [],
): Promise<string> {
  // Within the checkout, or it would not find the packages that are not part of it.
  const dir = mkdtempSync(join(ROOT, "node_modules", ".bundled-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const outDir = join(dir, "dist", "app");
  await bundle({ root: ROOT, entry, outDir, plugins });
  // What a gateway reads beside its code.
  cpSync(join(ROOT, "package.json"), join(dir, "package.json"));
  return join(outDir, basename(entry).replace(/\.ts$/u, ".cjs"));
}
