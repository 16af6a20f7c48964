/** The rows of this room: what load, slowness and time do to a gateway to which nothing is done. */
import type { ProofRow } from "../proof/row.ts";
import { runKeepAlive } from "./idle-closing.ts";
import { runSlow } from "./slow-attack.ts";

export const rows: readonly ProofRow[] = [
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
];

/** @throws where there is none of that name */
export function rowOf(name: string): ProofRow {
  const row = rows.find((each) => each.name === name);
  if (row === undefined) throw new Error(`no row is called ${name}`);
  return row;
}
