/**
 * Puts a program and the packages that it uses into a few files: Node then starts in half the time, because it looks
 * for a dozen files and not for six hundred. Does not minify, and does not check types.
 */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build, type Plugin as BundlePlugin } from "esbuild";
import { licencesOf } from "./licences.ts";

export type { BundlePlugin };

/** It brings compiled code, which has to stay where it is installed. */
const NATIVE = ["lmdb"];

export interface BundleOptions {
  /** Of the checkout. */
  readonly root: string;
  /** The program, below `root`. */
  readonly entry: string;
  /** Where the bundle will run: two below a directory that has our package.json. */
  readonly outDir: string;
  /** Where it is written, if it is moved afterwards; the maps name the sources as seen from `outDir`. */
  readonly writtenTo?: string;
  readonly plugins?: readonly BundlePlugin[];
}

/**
 * Writes the bundle of a program, with maps that lead back to our own sources, and the Lua scripts beside it. Returns the
 * licences of the packages in it.
 * @throws where something cannot be read or resolved
 */
export async function bundle(options: BundleOptions): Promise<string> {
  const { root, entry, outDir, writtenTo = outDir, plugins = [] } = options;
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outdir: outDir,
    write: false,
    metafile: true,
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20.18",
    // Its other form asks for its files in a way that no bundler follows.
    alias: { "jsonc-parser": "jsonc-parser/lib/esm/main.js" },
    external: NATIVE,
    sourcemap: "linked",
    sourcesContent: false,
    // For packages that are CommonJS.
    banner: {
      js: 'import { createRequire as newRequire } from "node:module"; const require = newRequire(import.meta.url);',
    },
    logLevel: "error",
    plugins: [...plugins, ownSourcesOnly],
  });
  mkdirSync(writtenTo, { recursive: true });
  for (const { path, contents } of outputFiles) {
    writeFileSync(join(writtenTo, basename(path)), contents);
  }
  cpSync(join(root, "src/store/scripts"), join(writtenTo, "scripts"), { recursive: true });
  return licencesOf(root, metafile);
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
const ownSourcesOnly: BundlePlugin = {
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
