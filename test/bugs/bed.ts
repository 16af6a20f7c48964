/**
 * Where bugs are planted: a program of the tests that is bundled again for each of them. What was read and parsed for the
 * last one is used again, and where nothing of a bug is in the bundle, so is the bundle.
 */
import { cpSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { context, type BuildContext, type Plugin } from "esbuild";
import { programOptions } from "../../deploy/build/bundle.ts";
import { builtName, programDir, ROOT } from "../support/bundled.ts";
import type { Teardown } from "../support/teardown.ts";

/** Texts that stand in for those of these files, by absolute path. */
export type Texts = ReadonlyMap<string, string>;

const SCRIPTS = join(ROOT, "src/store/scripts");
const NOTHING: Texts = new Map();

export class Bed {
  readonly #entry: string;
  /** What the bundler is given to read; set for one bundle at a time. */
  #texts: Texts = NOTHING;
  #bundler: Promise<BuildContext<{ write: false }>> | undefined;
  /** The last bundle that was asked for. */
  #last: Promise<unknown> = Promise.resolve();
  #untouched: Promise<Uint8Array> | undefined;

  /** `entry`: the program, below the checkout. */
  constructor(t: Teardown, entry: string) {
    this.#entry = entry;
    t.teardown(async () => {
      await this.#last;
      await (await this.#bundler)?.dispose();
    });
  }

  /** Returns the path of the program with these texts in it, in a directory that goes with the test. */
  async plant(t: Teardown, texts: Texts): Promise<string> {
    const scripts = [...texts].filter(([file]) => file.endsWith(".lua"));
    const code = new Map([...texts].filter(([file]) => !file.endsWith(".lua")));
    const program = await (code.size === 0
      ? (this.#untouched ??= this.#bundled(NOTHING))
      : this.#bundled(code));
    const outDir = programDir(t);
    cpSync(SCRIPTS, join(outDir, "scripts"), { recursive: true });
    for (const [file, lua] of scripts) writeFileSync(join(outDir, "scripts", basename(file)), lua);
    const path = join(outDir, builtName(this.#entry));
    writeFileSync(path, program);
    return path;
  }

  /** One after the other, because the bundler has one set of texts. */
  #bundled(texts: Texts): Promise<Uint8Array> {
    const bundled = this.#last.then(() => this.#rebuild(texts));
    // Whoever asked for it is told why it failed; the next one does not care.
    this.#last = bundled.catch(() => undefined);
    return bundled;
  }

  async #rebuild(texts: Texts): Promise<Uint8Array> {
    this.#texts = texts;
    this.#bundler ??= this.#open();
    const { outputFiles } = await (await this.#bundler).rebuild();
    const [program] = outputFiles;
    if (program === undefined) throw new Error(`the bundle of ${this.#entry} is empty`);
    return program.contents;
  }

  #open(): Promise<BuildContext<{ write: false }>> {
    const outDir = join(ROOT, "node_modules");
    const planted: Plugin = {
      name: "planted",
      setup: (bundler) => {
        bundler.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
          const contents = this.#texts.get(path);
          return contents === undefined ? undefined : { contents, loader: "ts" };
        });
      },
    };
    return context({
      ...programOptions({ root: ROOT, entry: this.#entry, outDir }),
      plugins: [planted],
    });
  }
}
