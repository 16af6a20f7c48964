/** The loader of `strip-types.js`: keeps what it has stripped, by content, where other runs find it. */
import { hash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/stripped/", import.meta.url));

/** @type {import("node:module").LoadHook} */
export async function load(url, context, nextLoad) {
  if (!/^file:.*\.ts$/u.test(url)) return nextLoad(url, context);
  const source = readFileSync(fileURLToPath(url), "utf8");
  return { format: "module", source: await stripped(source), shortCircuit: true };
}

/** @param {string} source */
async function stripped(source) {
  const file = `${CACHE}${hash("sha256", source)}.js`;
  try {
    return readFileSync(file, "utf8");
  } catch {
    // Not there yet.
  }
  const { transformSync } = await import("@swc/wasm-typescript");
  const { code } = transformSync(source, { mode: "strip-only" });
  mkdirSync(CACHE, { recursive: true });
  // Written whole or not at all: other processes look at the same time.
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, code);
  renameSync(draft, file);
  return code;
}
