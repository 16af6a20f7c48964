/**
 * Puts a program and the packages that it uses into one file: Node then starts in half the time, because it does not look
 * for six hundred. CommonJS, because Node takes code that was compiled before for nothing else. Does not minify, and
 * does not check types.
 */
import { isAscii } from "node:buffer";
import { chmodSync, cpSync, mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build, transform, type BuildOptions, type Plugin } from "esbuild";
import { licencesOf } from "./licences.ts";

/** It brings compiled code, which has to stay where it is installed. */
const NATIVE = ["lmdb"];

/** Our sources are modules, which know where they are. */
const MODULE_URL = 'const moduleUrl = require("node:url").pathToFileURL(__filename).href;';

const AS_COMMONJS = {
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node20.18",
  define: { "import.meta.url": "moduleUrl" },
  logLevel: "error",
} as const;

export interface BundleOptions {
  /** Of the checkout. */
  readonly root: string;
  /** The program, below `root`. */
  readonly entry: string;
  /** Where the bundle will run: two below a directory that has our package.json. */
  readonly outDir: string;
  /** Where it is written, if it is moved afterwards; the maps name the sources as seen from `outDir`. */
  readonly writtenTo?: string;
}

/** How a program becomes one file, which is not written; without maps. */
export function programOptions({ root, entry, outDir }: BundleOptions) {
  return {
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: outDir,
    write: false,
    ...AS_COMMONJS,
    outExtension: { ".js": ".cjs" },
    // Its other form asks for its files in a way that no bundler follows.
    alias: { "jsonc-parser": "jsonc-parser/lib/esm/main.js" },
    external: NATIVE,
    // Node 20 lets no code import that was kept.
    supported: { "dynamic-import": false },
    banner: { js: MODULE_URL },
  } satisfies BuildOptions;
}

/**
 * Writes the bundle of a program, with maps that lead back to our own sources, and the Lua scripts beside it. Returns the
 * licences of the packages in it.
 * @throws where something cannot be read or resolved
 */
export async function bundle(options: BundleOptions): Promise<string> {
  const { root, outDir, writtenTo = outDir } = options;
  const { outputFiles, metafile } = await build({
    ...programOptions(options),
    metafile: true,
    sourcemap: "linked",
    sourcesContent: false,
    plugins: [ownSourcesOnly],
  });
  mkdirSync(writtenTo, { recursive: true });
  for (const { path, contents } of outputFiles) {
    writeFileSync(join(writtenTo, basename(path)), contents);
  }
  cpSync(join(root, "src/store/scripts"), join(writtenTo, "scripts"), { recursive: true });
  return licencesOf(root, metafile);
}

/**
 * Rewrites a bundle in ASCII: a start then reads it 10 ms sooner, and keeps half of it in memory. esbuild writes all code
 * like that, but for regular expressions; letters of other kinds in comments become question marks, and columns stay.
 */
export async function rewriteInAscii(file: string): Promise<void> {
  const program = await readFile(file, "utf8");
  const { code } = await transform(program, { minifyWhitespace: true, legalComments: "none" });
  if (isAscii(Buffer.from(code))) writeFileSync(file, program.replaceAll(/[^\0-\x7f]/g, "?"));
}

/** Writes the program that starts the bundle; it is what people call, and no module, which would start later. */
export async function bundleLauncher(root: string, outfile: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: ["deploy/build/launcher.ts"],
    outfile,
    ...AS_COMMONJS,
    banner: { js: `#!/usr/bin/env node\n${MODULE_URL}` },
  });
  chmodSync(outfile, 0o755);
}

/** What `bundleConsole` takes as it is. */
const PAGE_FILES = ["index.html", "console.css", "icon.svg"];

/**
 * Writes the page of the admin port: its program as one module, not minified, so that whoever wants to know what the
 * page does can read it there.
 * @throws where something cannot be read or resolved
 */
export async function bundleConsole(root: string, outDir: string): Promise<void> {
  const dir = join(root, "src/console");
  await build({
    absWorkingDir: dir,
    entryPoints: ["main.ts"],
    outfile: join(outDir, "console.js"),
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    charset: "utf8",
    logLevel: "error",
  });
  for (const file of PAGE_FILES) cpSync(join(dir, file), join(outDir, file));
}

/** A map of its own with a single entry keeps a package's lines out of ours, which would be five times as big. */
const ownSourcesOnly: Plugin = {
  name: "own sources only",
  setup(bundler) {
    bundler.onLoad({ filter: /\/node_modules\/.*\.[cm]?js$/ }, async ({ path }) => ({
      contents: `${await readFile(path, "utf8")}\n//# sourceMappingURL=data:application/json;base64,${ONE_ENTRY}`,
      loader: "js",
    }));
  },
};

const ONE_ENTRY = Buffer.from(
  JSON.stringify({ version: 3, sources: [""], names: [], mappings: "AAAA" }),
).toString("base64");
