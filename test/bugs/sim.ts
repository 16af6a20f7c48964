/**
 * The simulated hunt: seed after seed until one breaks the rule that is given. Prints every violation on the way, as
 * the simulation does, and exits 1 where there was any.
 *
 *     tsx test/bugs/sim.ts RULE FIRST-LAST...
 */
import { outside, simulate } from "../sim/simulate.ts";

const [wanted, ...ranges] = process.argv.slice(2);

for (const seed of new Set(ranges.flatMap(seedsOf))) {
  const { violations } = await outside(() => simulate(seed));
  for (const { rule, text } of violations) {
    process.stdout.write(`violation ${rule} seed ${seed}: ${text}\n`);
    process.exitCode = 1;
  }
  if (violations.some(({ rule }) => rule === wanted)) break;
}

function seedsOf(range: string): readonly number[] {
  const [first = Number.NaN, last = Number.NaN] = range.split("-").map(Number);
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}
