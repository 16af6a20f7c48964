/**
 * What the flow needs to bound how many live records a caller has, over all gateways that share a store: a roll of them
 * per scope, kept by the same store. No implementation lives here.
 */

/**
 * The roll says which records a scope may have, never which it has: an entry whose record is gone is found when somebody
 * would be refused for it, so whatever ends a record (its time, a release, an operator) leaves the roll alone. Rejects
 * only with `StoreUnavailable`, `StoreFull` or `RecordCorrupt`, like the transitions.
 */
export interface Roll {
  enterRoll(entry: RollEntry): Promise<RollAnswer>;
  /** Takes the record off where none stands there, unless it was entered again since `mark`. */
  strikeRoll(scope: string, id: string, mark: number): Promise<void>;
}

export interface RollEntry {
  /** 64 hex digits each. */
  readonly scope: string;
  readonly id: string;
  /** How many the roll may have. */
  readonly most: number;
  /** How long the record can stand at the longest. The entry ends by itself after that. */
  readonly keepMs: number;
  /** How long its claim may be on its way: until then an entry without a record is left alone. */
  readonly claimMs: number;
  /**
   * `look`: before the claim; what is on the roll already is not written again. `renew`: behind a claim that was granted.
   * `always`: even where the roll is full.
   */
  readonly how: "look" | "renew" | "always";
}

export type RollAnswer =
  /** It was on the roll already. */
  | { readonly kind: "listed" }
  /** `mark`: which entry it is, for `strikeRoll`. */
  | { readonly kind: "entered"; readonly mark: number }
  /** `roomInMs`: when a record of those that were looked at ends by itself, where any stands. */
  | { readonly kind: "full"; readonly roomInMs: number | undefined };
