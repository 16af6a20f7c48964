/** What is tried when Redis changes its shape, as rows of the proof. */
import type { ProofRow } from "../proof/row.ts";
import { clusterChange } from "./cluster.ts";
import { partition } from "./partition.ts";
import { sentinelFailover } from "./sentinel.ts";
import { batch } from "./unit.ts";

export const rows: readonly ProofRow[] = [
  {
    name: "sentinel-failover",
    claim:
      "Sentinel fails over under load; answers that contradict one another, and with replicas.wait executions twice",
    unit: "failover",
    ci: 2,
    long: 20,
    batch: 4,
    run: (first, count) => batch(first, count, sentinelFailover),
  },
  {
    name: "slot-move",
    claim:
      "A Cluster moves slots under keys in flight (no fault may be seen), or loses a primary; contradictions",
    unit: "move",
    ci: 2,
    long: 20,
    batch: 4,
    run: (first, count) => batch(first, count, clusterChange),
  },
  {
    name: "partition",
    claim:
      "The old primary takes writes on one side of a cut and a promoted replica on the other; contradictions",
    unit: "partition",
    ci: 2,
    long: 20,
    batch: 4,
    run: (first, count) => batch(first, count, partition),
  },
];

export function rowNamed(name: string): ProofRow {
  const row = rows.find((other) => other.name === name);
  if (row === undefined) throw new Error(`no row is called ${name}`);
  return row;
}
