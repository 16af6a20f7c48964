/** The rows of this room: what load, slowness and time do to a gateway to which nothing is done. */
import type { ProofRow } from "../proof/row.ts";
import { runFaultFree } from "./fault-free.ts";
import { runKeepAlive } from "./idle-closing.ts";
import { runSlow } from "./slow-attack.ts";
import { runSoak } from "./soak.ts";

export const rows: readonly ProofRow[] = [
  {
    name: "fault-free",
    claim: "fault-free requests with unknown outcome, 5xx or lost record",
    unit: "request",
    ci: 100_000,
    long: 2_000_000,
    batch: 200_000,
    run: runFaultFree,
  },
  {
    name: "keep-alive",
    claim: "unknown outcomes where the upstream closes idle connections after 1, 2 and 5 s",
    unit: "request",
    ci: 10_000,
    long: 60_000,
    batch: 10_000,
    run: runKeepAlive,
  },
  {
    name: "slow-connections",
    claim:
      "healthy requests not answered while slow connections are held (20 s, or 240 s by thousands)",
    unit: "connection",
    ci: 500,
    long: 4000,
    batch: 4000,
    run: runSlow,
  },
  {
    name: "soak",
    claim: "growth of memory, sockets or open files after warm-up, heap limited to 128 MB",
    unit: "minute",
    ci: 5,
    long: 60,
    batch: 60,
    run: runSoak,
  },
];

/** @throws where there is none of that name */
export function rowOf(name: string): ProofRow {
  const row = rows.find((each) => each.name === name);
  if (row === undefined) throw new Error(`no row is called ${name}`);
  return row;
}
