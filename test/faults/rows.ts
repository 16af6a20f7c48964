/** What this room proves: store calls that fail, a store that is killed, and records that were tampered with. */
import type { ProofRow } from "../proof/row.ts";
import { CASES, runCases } from "./calls.ts";
import { runKills } from "./kill.ts";
import { runTampered } from "./tampered.ts";

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
  {
    name: "redis-kill",
    claim:
      "Redis with appendfsync always killed by kill -9 under load: no acknowledged completion is lost",
    unit: "kill",
    ci: 10,
    long: 200,
    batch: 50,
    run: runKills,
  },
  {
    name: "tampered-records",
    claim: "a record or a cell tampered with in the store is never replayed, and nothing is sent",
    unit: "flipped record",
    ci: 2000,
    long: 100_000,
    batch: 5000,
    run: runTampered,
  },
];
