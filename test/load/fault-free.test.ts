/** Where nothing goes wrong nothing may look as if it had. */
import t from "tap";
import { rowOf } from "./rows.ts";

t.setTimeout(240_000);

t.test("100,000 requests, both stores, one and two workers, stopped and started", async (t) => {
  const row = rowOf("fault-free");
  const { done, violations, counts } = await row.run(0, row.ci);
  t.comment(JSON.stringify(counts));
  t.same(violations.slice(0, 10), []);
  t.equal(done, row.ci);
  for (const outcome of ["executed", "replayed", "in-flight", "key-reused"]) {
    t.ok((counts[outcome] ?? 0) > row.ci / 100, `${outcome}: ${counts[outcome]}`);
  }
});
