/** What the decisions about something stored come to. The stores carry them out inside their transactions. */

/** What a decision wants done with what is stored: `keep` it as it is, `put` a new one, or `delete` it. */
type Change<Stored> =
  | { readonly kind: "keep" }
  | { readonly kind: "put"; readonly record: Stored }
  | { readonly kind: "delete" };

export const KEEP = { kind: "keep" } as const;

export interface DecisionOn<Stored, Answer> {
  readonly answer: Answer;
  readonly change: Change<Stored>;
}
