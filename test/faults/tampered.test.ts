import t from "tap";
import { rows } from "./rows.ts";

t.setTimeout(600_000);

t.test("a value tampered with in the store is an alarm, never a reply", async (t) => {
  const row = rows.find(({ name }) => name === "tampered-records");
  const { done, violations, counts } = (await row?.run(0, row.ci)) ?? { done: 0 };
  t.equal(done, 2000);
  t.same(violations, []);
  t.equal(counts?.["stored"], 40, "those lay in Redis and LMDB, behind a gateway");
});
