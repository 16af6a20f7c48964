import t from "tap";
import { rows } from "./rows.ts";

t.setTimeout(600_000);

t.test(
  "Redis killed under load, ten times: what was acknowledged is there, all else gets its answer",
  async (t) => {
    const row = rows.find(({ name }) => name === "redis-kill");
    const { done, violations, counts } = (await row?.run(0, row.ci)) ?? { done: 0 };
    t.equal(done, 10);
    t.same(violations, []);
    t.ok((counts?.["acknowledged"] ?? 0) >= 50, "there was something to lose");
  },
);
