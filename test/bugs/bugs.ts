/**
 * What a planted bug is, and the list of all. The edits are exact: a text that is not in its file exactly once is an
 * error, so that the list cannot rot.
 */
import type { Rule } from "../checker/history.ts";
import { LINE_BUGS } from "./line-bugs.ts";
import { PROBE_BUGS } from "./probe-bugs.ts";
import { RESOURCE_BUGS } from "./resource-bugs.ts";
import { WIRE_BUGS } from "./wire-bugs.ts";

export interface Edit {
  /** Under `src/`. */
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

/** `sim`: 1,000 seeds of the simulation. `wire`: every situation over real sockets and stores, once. */
export type Hunt = "sim" | "wire";

export interface Bug {
  /** Unique: what is wrong. */
  readonly name: string;
  readonly hunt: Hunt;
  /** The promise that it breaks. */
  readonly rule: Rule;
  /** Where the simulation has found it: it is looked for there first. Out of date, it costs time and nothing else. */
  readonly seed?: number;
  readonly edits: readonly Edit[];
}

export const BUGS: readonly Bug[] = [...LINE_BUGS, ...RESOURCE_BUGS, ...PROBE_BUGS, ...WIRE_BUGS];
