/** The CI part of a row as a test: as many units as the row says, and nothing of what was promised broken. */
import type { Test } from "tap";
import type { ProofRow } from "../proof/row.ts";

export function tryRow(t: Test, row: ProofRow): void {
  t.test(`${row.claim}: 0 in ${row.ci} ${row.unit}`, async (q) => {
    const startedMs = performance.now();
    const { done, violations, counts } = await row.run(0, row.ci);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    q.comment(`${seconds} s, ${JSON.stringify(counts)}`);
    q.same(violations.slice(0, 20), [], "no violations");
    q.equal(done, row.ci, `${row.unit} done`);
    q.ok((counts["executions"] ?? 0) > 0, "upstream calls");
  });
}
