/** The row of this room: whatever an upstream says, only a whole and sound answer is told as one and replayed. */
import type { ProofRow } from "../proof/row.ts";
import { runTrials } from "./trial.ts";

export const rows: readonly ProofRow[] = [
  {
    name: "bad-answers",
    claim: "truncated or malformed upstream answers recorded",
    unit: "answer",
    ci: 10_000,
    long: 500_000,
    batch: 50_000,
    run: runTrials,
  },
];
