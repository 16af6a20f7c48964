/** What hostile clients are tried with: rows of the proof. The CI tests of this room run the same. */
import type { ProofRow } from "../proof/row.ts";
import { corpus, RUNS } from "./corpus.ts";
import { fuzz } from "./fuzz.ts";

export const smugglingCorpus: ProofRow = {
  name: "smuggling-corpus",
  claim:
    "smuggling corpus x methods x keep-alive x upstreams, long run on Node 20, 22, 24 and 26; upstream count mismatches",
  unit: "case",
  ci: RUNS.length,
  long: 4 * RUNS.length,
  batch: RUNS.length,
  run: corpus,
};

export const mutatedRequests: ProofRow = {
  name: "mutated-requests",
  claim: "mutated raw requests; desyncs, crashes, hangs",
  unit: "request",
  ci: 50_000,
  long: 5_000_000,
  batch: 200_000,
  run: (first, count) => fuzz(first, count),
};

export const rows: readonly ProofRow[] = [smugglingCorpus, mutatedRequests];
