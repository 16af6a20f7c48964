/** What hostile clients are tried with: rows of the proof. The CI tests of this room run the same. */
import type { ProofRow } from "../proof/row.ts";
import { fuzz } from "./fuzz.ts";

const mutatedRequests: ProofRow = {
  name: "mutated-requests",
  claim: "mutated raw requests; desyncs, crashes, hangs",
  unit: "request",
  ci: 50_000,
  long: 5_000_000,
  batch: 200_000,
  run: (first, count) => fuzz(first, count),
};

export const rows: readonly ProofRow[] = [mutatedRequests];
