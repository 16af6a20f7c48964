/** Mutated requests, the CI part; and that the same traffic finds a proxy out that can be desynchronised. */
import t from "tap";
import { fuzz } from "./fuzz.ts";
import { mutatedRequests as row } from "./rows.ts";
import { startGullible } from "./gullible.ts";

t.test("mutated requests: no desync, no crash, no hang", async (t) => {
  const result = await row.run(0, row.ci);
  t.same(result.violations, []);
  t.equal(result.done, row.ci);
  t.comment(JSON.stringify(result.counts));
  // Requests that reach the upstream, and those that are refused: with one of them missing nothing would be tried.
  t.ok((result.counts["answers 200"] ?? 0) > row.ci / 20);
  t.ok((result.counts["answers 400"] ?? 0) > row.ci / 20);
  t.ok((result.counts["requests at the upstream"] ?? 0) > row.ci / 20);
});

t.test("the same traffic finds out a proxy that goes by Content-Length alone", async (t) => {
  const { violations } = await fuzz(0, 400, startGullible);
  t.match(violations.join("\n"), /became|malformed|left over/);
});
