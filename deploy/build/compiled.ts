/**
 * A program as V8 has compiled it. What is kept of that beside the program saves a start the parsing and compiling of
 * four megabytes, a third of the whole. Kept code is used for the very bytes that it was made from, where it was made for,
 * or not at all.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { Script } from "node:vm";

export interface Compiled {
  /** False where nothing is kept, or nothing that this program and this Node can use. */
  readonly fromKept: boolean;
  /** Runs it in the place of CommonJS that it is, once. */
  run(): void;
  /** Keeps what is compiled by now, for the next start. */
  keep(): void;
}

const DIGEST_BYTES = 32;

/**
 * `file` is a CommonJS program that requires and never imports; `place` is where it will be when what is compiled now is used.
 * @throws where it cannot be read, or is no JavaScript
 */
export function compile(file: string, place = file): Compiled {
  const program = readFileSync(file);
  const kept = keptOf(file, place, program);
  // The function stands on the first line: places in it are those in the file.
  const script = new Script(`(function (${PARAMETERS}) {${program.toString()}\n})`, {
    filename: place,
    ...(kept !== undefined && { cachedData: kept }),
  });
  return {
    // V8 says no to code of another version, and of other flags.
    fromKept: kept !== undefined && script.cachedDataRejected === false,
    run() {
      const module = { exports: {} };
      const main = script.runInThisContext() as (...args: readonly unknown[]) => void;
      main(module.exports, createRequire(file), module, file, dirname(file));
    },
    keep() {
      const code = script.createCachedData();
      writeFileSync(keptIn(file), Buffer.concat([digestOf(place, program, code), code]));
    },
  };
}

const PARAMETERS = "exports, require, module, __filename, __dirname";

function keptIn(file: string): string {
  return `${file}.compiled`;
}

/**
 * DANGER: V8 compares the length of a program alone, and nothing of the code. An edited program would run as it was
 * before, and a damaged file would run as anything. The digest is over both; and over the place, because the V8 of Node 20
 * tells the places of errors as they were named when the code was made.
 */
function keptOf(file: string, place: string, program: Uint8Array): Buffer | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(keptIn(file));
  } catch {
    // An installation may leave it out.
    return undefined;
  }
  const code = bytes.subarray(DIGEST_BYTES);
  const made = bytes.subarray(0, DIGEST_BYTES);
  return digestOf(place, program, code).equals(made) ? code : undefined;
}

function digestOf(place: string, program: Uint8Array, code: Uint8Array): Buffer {
  return createHash("sha256").update(`${place}\0`).update(program).update(code).digest();
}
