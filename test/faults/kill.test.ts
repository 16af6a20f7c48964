import t from "tap";
import { rows } from "./rows.ts";

t.test(
  "Redis killed under load, ten times: what was acknowledged is there, all else gets its answer",
  { timeout: 120_000 },
  async (t) => {
    const row = rows.find(({ name }) => name === "redis-kill");
    const { done, violations, counts } = (await row?.run(0, row.ci)) ?? { done: 0 };
    t.equal(done, 10);
    t.same(violations, []);
    t.ok((counts?.["acknowledged"] ?? 0) >= 50, "there was something to lose");
  },
);
