/**
 * The simulated hunt: the given seeds, and then all below a number, until one breaks the rule that is given. Prints
 * every violation on the way, as the simulation does, and exits 1 where there was any.
 *
 *     tsx test/bugs/sim.ts RULE BELOW [SEED ...]
 */
import { outside, simulate } from "../sim/simulate.ts";

const [wanted, below, ...first] = process.argv.slice(2);

async function hunt(): Promise<void> {
  for (const seed of [...first.map(Number), ...Array(Number(below)).keys()]) {
    const { violations } = await outside(() => simulate(seed));
    for (const { rule, text } of violations) {
      process.stdout.write(`violation ${rule} seed ${seed}: ${text}\n`);
      process.exitCode = 1;
    }
    if (violations.some(({ rule }) => rule === wanted)) break;
  }
}

void hunt();
