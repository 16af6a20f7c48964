/** While slow and silent connections are held, everybody else is answered. */
import t from "tap";
import { rowOf } from "./rows.ts";

t.setTimeout(120_000);

t.test("500 slow connections for 20 s: every healthy request is answered", async (t) => {
  const row = rowOf("slow-connections");
  const { done, violations, counts, peaks } = await row.run(0, row.ci);
  t.comment(JSON.stringify({ ...counts, ...peaks }));
  t.same(violations.slice(0, 10), []);
  t.equal(done, row.ci);
  t.ok((counts["healthy"] ?? 0) >= 200, "there were some");
  t.equal(counts["answered"], counts["healthy"]);
});
