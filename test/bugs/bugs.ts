/**
 * The planted bugs: for each what it is, the edits that make it, the hunt that must find it, and the rule that it
 * breaks. The edits are exact: a text that is not in its file exactly once is an error, so the list cannot rot.
 */
import type { Rule } from "../checker/history.ts";

export interface Edit {
  /** Under `src/`. */
  readonly file: string;
  readonly search: string;
  readonly replace: string;
}

/** `sim`: 1,000 seeds of the simulation. `wire`: every situation over real sockets and stores, once. */
export type Hunt = "sim" | "wire";

export interface Bug {
  /** Unique; a claim that is wrong. */
  readonly name: string;
  readonly hunt: Hunt;
  readonly rule: Rule;
  readonly edits: readonly Edit[];
}
