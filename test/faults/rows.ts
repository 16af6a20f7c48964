/** What this room proves: store calls that fail, a store that is killed, and records that were tampered with. */
import type { ProofRow } from "../proof/row.ts";
import { CASES, runCases } from "./calls.ts";

export const rows: readonly ProofRow[] = [
  {
    name: "store-call-faults",
    claim:
      "each call to Redis of each scenario failed in each way: nothing is sent without a claim or twice, and every key gets its final answer",
    unit: "failed call",
    ci: CASES.length,
    long: 20 * CASES.length,
    batch: CASES.length,
    run: runCases,
  },
];
