/** The rows of the crash matrix: killed at failpoints and at random, paused past the lease, stopped under load. */
import type { ProofRow } from "../proof/row.ts";
import { killAtFailpoints, ROUND } from "./kills.ts";
import { pausePastLease } from "./pauses.ts";
import { killAtRandom } from "./random.ts";
import { stopUnderLoad } from "./stops.ts";

export const rows: readonly ProofRow[] = [
  {
    name: "crash-failpoints",
    claim: "kill -9 at each of 13 failpoints on each store: duplicates, stuck keys, wrong replays",
    unit: "kills",
    ci: 5 * ROUND,
    long: 50 * ROUND,
    batch: 5 * ROUND,
    run: killAtFailpoints,
  },
  {
    name: "crash-random",
    claim:
      "kill -9 at random times under concurrent clients: duplicates, stuck keys, wrong replays",
    unit: "kills",
    ci: 20,
    long: 1000,
    batch: 100,
    run: killAtRandom,
  },
  {
    name: "paused",
    claim:
      "a gateway paused past its lease: late writes that were not refused, sends after the lease",
    unit: "pauses",
    ci: 10,
    long: 200,
    batch: 20,
    run: pausePastLease,
  },
  {
    name: "graceful-stops",
    claim: "graceful stops under load: calls cut, unknown outcomes made",
    unit: "stops",
    ci: 5,
    long: 100,
    batch: 20,
    run: stopUnderLoad,
  },
];

export function rowNamed(name: string): ProofRow {
  const row = rows.find((each) => each.name === name);
  if (row === undefined) throw new Error(`there is no row ${name}`);
  return row;
}
