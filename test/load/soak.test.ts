/** Five minutes of mixed traffic under a small heap: nothing grows, nobody is told anything wrong. */
import t from "tap";
import { rowOf } from "./rows.ts";

// Longer than a file gets: the runner learns of it by this.
t.setTimeout(420_000);

t.test("5 minutes with a heap of 128 MB: memory, sockets and open files are flat", async (t) => {
  const row = rowOf("soak");
  const { done, violations, counts, peaks } = await row.run(0, row.ci);
  t.comment(JSON.stringify({ ...counts, ...peaks }));
  t.same(violations.slice(0, 10), []);
  t.equal(done, row.ci);
  t.ok((counts["requests"] ?? 0) > row.ci * 60 * 50, "there was traffic");
});
