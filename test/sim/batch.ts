/** Seeds in a process of its own: `batch.ts FIRST COUNT`; its parent hears the result. */
import { runSeeds } from "./rows.ts";

const [first, count] = process.argv.slice(2).map(Number);
const result = await runSeeds(first ?? 0, count ?? 0);
process.send?.(result);
