/** A row's share of the suite: everything was done, nothing was violated, and what was counted is told. */
import type { Test } from "tap";
import type { ProofRow } from "../proof/row.ts";

export async function tried(t: Test, row: ProofRow): Promise<void> {
  const { done, violations, counts } = await row.run(0, row.ci);
  for (const [what, count] of Object.entries(counts)) t.comment(`${what}: ${count}`);
  t.equal(done, row.ci, `${row.unit}s`);
  t.same(violations, []);
  t.ok((counts["executions"] ?? 0) > 0, "the upstream was called");
}
