/** Seeds in a process of its own: `batch.ts FIRST COUNT`; its parent hears the result. */
import { runSeeds } from "./rows.ts";

const [first, count] = process.argv.slice(2).map(Number);
void runSeeds(first ?? 0, count ?? 0).then((result) => process.send?.(result));
