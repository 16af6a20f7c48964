/** The row of the planted bugs: each is hunted in a copy of its own, two copies at a time. */
import type { BatchResult, ProofRow } from "../proof/row.ts";
import { BUGS, type Bug } from "./bugs.ts";
import { withTeardown } from "../support/teardown.ts";
import { hunt, missed, MOST_SEEDS, newBeds, type Beds } from "./plant.ts";

/** As many processes as a small machine has cores. */
const AT_ONCE = 2;

export interface Hunted {
  readonly bug: Bug;
  /** The first violation of its rule. */
  readonly caught: string;
  /** `undefined` where it was not the simulation that found it. */
  readonly seed: number | undefined;
  readonly ms: number;
}

/** Hunts the bugs from `first` on, and tells `heard` of each that was caught. */
export async function huntBugs(
  beds: Beds,
  first: number,
  count: number,
  heard: (hunted: Hunted) => void = () => undefined,
): Promise<BatchResult> {
  const violations: string[] = [];
  let most = 0;
  const queue = BUGS.slice(first, first + count);
  const done = queue.length;
  const work = async (): Promise<void> => {
    for (let bug = queue.shift(); bug !== undefined; bug = queue.shift()) {
      const found = await hunt(beds, bug);
      const how = missed(bug, found);
      if (how !== undefined) violations.push(`${bug.name}: ${how}`);
      const caught = found.violations.find((violation) => violation.rule === bug.rule);
      if (caught === undefined) continue;
      const seed = seedIn(caught.text);
      if (seed !== undefined) most = Math.max(most, seed + 1);
      heard({ bug, caught: caught.text, seed, ms: found.ms });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return {
    done,
    violations,
    counts: { caught: done - violations.length },
    peaks: { seeds: most },
  };
}

function seedIn(text: string): number | undefined {
  const [, seed] = /^seed (\d+):/u.exec(text) ?? [];
  return seed === undefined ? undefined : Number(seed);
}

export const rows: readonly ProofRow[] = [
  {
    name: "planted-bugs",
    claim: `planted bugs caught by the rule that they break, each within ${MOST_SEEDS} seeds or one run over the wire`,
    unit: "bug",
    ci: BUGS.length,
    long: BUGS.length,
    batch: BUGS.length,
    run: (first, count) => withTeardown((t) => huntBugs(newBeds(t), first, count)),
  },
];
