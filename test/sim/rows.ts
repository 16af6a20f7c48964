/** The simulation as a row of the proof. One unit is one seed: 200 requests and more, three gateways or four. */
import type { BatchResult, ProofRow } from "../proof/row.ts";
import { outside, simulate } from "./simulate.ts";

/** Runs the seeds `first` to `first + count - 1`, all of them, whatever they break. */
export async function runSeeds(first: number, count: number): Promise<BatchResult> {
  const violations: string[] = [];
  const counts: Record<string, number> = {};
  for (let seed = first; seed < first + count; seed += 1) {
    const simulated = await outside(() => simulate(seed));
    for (const { rule, text } of simulated.violations) {
      violations.push(`violation ${rule} seed ${seed}: ${text} (npm run sim -- --seed ${seed})`);
    }
    for (const [name, more] of Object.entries(simulated.counts)) {
      counts[name] = (counts[name] ?? 0) + more;
    }
  }
  return { done: count, violations, counts };
}

const simulation: ProofRow = {
  name: "simulation",
  claim: "simulation seeds, at least 200 requests and 3 gateways each",
  unit: "seed",
  ci: 10_000,
  long: 200_000,
  batch: 2000,
  run: runSeeds,
};

export const rows: readonly ProofRow[] = [simulation];
