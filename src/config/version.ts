/** Who we are: the package's own directory and its version. Reads the manifest once, at start. */
import { readFileSync } from "node:fs";

/** This file is two levels below it, in `src` as in `dist`. */
export const PACKAGE_ROOT = new URL("../../", import.meta.url);

/** The version that package.json names. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("package.json", PACKAGE_ROOT), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) {
    return String(manifest.version);
  }
  throw new Error("package.json names no version");
}
