/**
 * The models as a row of the proof: each is one unit, sound ones and wrong ones alike. Nothing is random here, and the
 * largest come last, which only the long run reaches.
 */
import type { BatchResult, ProofRow } from "../proof/row.ts";
import { ALL_MODELS, CI_MODELS, type Model } from "./models.ts";
import { search, type Search } from "./spin.ts";

/** What is wrong with what spin found, `undefined` where that is what it had to find. */
export function judge({ name, breaks }: Model, found: Search): string | undefined {
  if (found.broken !== breaks) {
    return `${name}: ${found.broken ?? "nothing"} is broken, ${breaks ?? "nothing"} had to be`;
  }
  return breaks === undefined && !found.whole ? `${name}: the search was cut short` : undefined;
}

async function run(first: number, count: number): Promise<BatchResult> {
  const violations: string[] = [];
  let states = 0;
  let memoryMiB = 0;
  let caught = 0;
  const models = ALL_MODELS.slice(first, first + count);
  for (const model of models) {
    const found = await search(model);
    const violation = judge(model, found);
    if (violation !== undefined) violations.push(`${violation}\n${found.report}`);
    if (model.breaks === undefined) states += found.states;
    else if (violation === undefined) caught += 1;
    memoryMiB = Math.max(memoryMiB, found.memoryMiB);
  }
  return {
    done: models.length,
    violations,
    counts: { states, "wrong variants caught": caught },
    peaks: { memoryMiB },
  };
}

export const rows: readonly ProofRow[] = [
  {
    name: "model",
    claim: "states of the protocol, all of them; properties broken",
    unit: "model",
    ci: CI_MODELS.length,
    long: ALL_MODELS.length,
    batch: 1,
    run,
  },
];
