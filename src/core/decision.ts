/** What the decisions about a record come to. The stores carry them out inside their transactions. */
import type { StoredRecord } from "./record.ts";

/** What a decision wants done with the stored record: `keep` it as it is, `put` a new one, or `delete` it. */
type Change =
  | { readonly kind: "keep" }
  | { readonly kind: "put"; readonly record: StoredRecord }
  | { readonly kind: "delete" };

export const KEEP: Change = { kind: "keep" };

export interface Decision<Answer> {
  readonly answer: Answer;
  readonly change: Change;
}
