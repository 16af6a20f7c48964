/** The second half of the failed calls; the other half is a file of its own, so that both run at once. */
import t from "tap";
import { CASES, runCases } from "./calls.ts";

const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

t.setTimeout(600_000);

t.test(
  "a call to Redis fails: nothing is sent unclaimed or twice, every key gets its final answer",
  async (t) => {
    const count = Math.ceil(CASES.length / 2);
    const { done, violations, counts } = await runCases(CASES.length - count, count);
    t.equal(done, count, "every planned call came, and went wrong");
    t.same(violations, []);
    t.ok((counts["executions"] ?? 0) >= count, "the upstream was called");
    t.same(unhandled, []);
  },
);
