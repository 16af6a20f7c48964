/**
 * What may be told of an error: its name, its code, and where in this program it happened. Never its message and
 * never its other members: a Redis client's error carries the command with keys and whole bodies, a parser's error
 * quotes its input.
 */
import { readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

export interface ErrorDescription {
  readonly name: string;
  readonly code?: string | number;
  /** `src/flow/settle.ts:41:7`, innermost first; frames of libraries and of Node.js are left out. */
  readonly stack?: readonly string[];
  readonly cause?: ErrorDescription;
}

/** The directory above `src` or, when built, above `dist`. */
const ROOT = fileURLToPath(new URL("../../", import.meta.url));

const MAX_FRAMES = 16;
const MAX_CAUSES = 4;

const NAME = /^[A-Za-z][A-Za-z0-9_.]{0,63}$/;
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/;
const FRAME = /^\s+at (?:.*\()?((?:file:\/\/)?\/[^():]+):(\d{1,7}):(\d{1,7})\)?$/;
const PLACE = /^[A-Za-z0-9_./-]{1,200}$/;

export function describeError(error: unknown): ErrorDescription {
  return describe(error, MAX_CAUSES);
}

function describe(error: unknown, causes: number): ErrorDescription {
  if (!(error instanceof Error)) return { name: `thrown ${typeof error}` };
  const { name, message, stack, cause } = error;
  const code: unknown = "code" in error ? error.code : undefined;
  const frames = framesOf(stack, message);
  return {
    name: NAME.test(name) ? name : "Error",
    ...(isCode(code) && { code }),
    ...(frames.length > 0 && { stack: frames }),
    ...(cause !== undefined && causes > 0 && { cause: describe(cause, causes - 1) }),
  };
}

/** `ECONNREFUSED`, `LMDB_FULL`, an errno: words of a fixed vocabulary, so nothing else fits the pattern. */
function isCode(code: unknown): code is string | number {
  return typeof code === "number" || (typeof code === "string" && CODE.test(code));
}

function framesOf(stack: unknown, message: unknown): readonly string[] {
  if (typeof stack !== "string") return [];
  return withoutMessage(stack, message)
    .split("\n")
    .flatMap((line) => place(line) ?? [])
    .slice(0, MAX_FRAMES);
}

/**
 * DANGER: a stack begins with the message, and a message may hold lines that look like frames. It is cut off first;
 * what is left of a forged frame could still only name a place under our own directory.
 */
function withoutMessage(stack: string, message: unknown): string {
  if (typeof message !== "string" || message === "") return stack;
  const at = stack.indexOf(message);
  return at === -1 ? stack : stack.slice(at + message.length);
}

function place(line: string): string | undefined {
  const [, location, row, column] = FRAME.exec(line) ?? [];
  if (location === undefined) return undefined;
  const at = original(location.replace(/^file:\/\//, ""), Number(row), Number(column));
  if (at === undefined || !at.file.startsWith(ROOT)) return undefined;
  const inside = at.file.slice(ROOT.length);
  if (inside.includes("node_modules/") || !PLACE.test(inside)) return undefined;
  return `${inside}:${at.row}:${at.column}`;
}

interface Place {
  readonly file: string;
  readonly row: number;
  readonly column: number;
}

/** Where it is in the sources: what is built is a few files, packages and all, with a map beside each. */
function original(file: string, row: number, column: number): Place | undefined {
  const map = file.startsWith(BUILT) ? mapOf(file) : undefined;
  if (map === undefined) return { file, row, column };
  const entry = map.findEntry(row - 1, column - 1);
  // In a package, or in what the bundler has put around it.
  if (!("originalSource" in entry)) return undefined;
  const { originalSource, originalLine, originalColumn } = entry;
  const source = resolve(file, "..", originalSource);
  return { file: source, row: originalLine + 1, column: originalColumn + 1 };
}

const BUILT = `${ROOT}dist/`;
const maps = new Map<string, SourceMap | undefined>();

function mapOf(file: string): SourceMap | undefined {
  if (!maps.has(file)) maps.set(file, readMap(file));
  return maps.get(file);
}

/** Read once, when the first error is told that comes from there. */
function readMap(file: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8")) as SourceMapPayload);
  } catch {
    // An installation may leave the maps out; then the place in the built file has to do.
    return undefined;
  }
}
