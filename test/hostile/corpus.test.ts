/** The corpus on the Node that runs this, the CI part; and that its table is what it is said to be. */
import t from "tap";
import { CASES, corpus } from "./corpus.ts";
import { startGullible } from "./gullible.ts";
import { FRAMING } from "./cases-framing.ts";
import { EVASIVE_READS, EVASIVE_WRITES, HEADS } from "./cases-heads.ts";
import { smugglingCorpus as row } from "./rows.ts";

t.test("the cases are many and their names unique", async (t) => {
  const names = [...FRAMING, ...HEADS, ...EVASIVE_WRITES, ...EVASIVE_READS].map(({ name }) => name);
  t.equal(new Set(names).size, CASES);
  t.ok(CASES >= 80, `${CASES} cases`);
});

t.test(
  "each case: nothing of it becomes a request of its own, by the upstream's count",
  async (t) => {
    const result = await row.run(0, row.ci);
    t.same(result.violations, []);
    t.equal(result.done, row.ci);
    t.comment(JSON.stringify(result.counts));
  },
);

t.test("the same cases find out a proxy that goes by Content-Length alone", async (t) => {
  const { violations } = await corpus(0, 40, async (t, upstreamPort) => {
    const { port, stop } = await startGullible(t, upstreamPort);
    return {
      port,
      sent: () => Promise.resolve(Number.MAX_SAFE_INTEGER),
      end: () => stop().then(() => 0),
    };
  });
  t.ok(violations.length > 40, `${violations.length} violations`);
  t.match(violations.join("\n"), /malformed \(both Transfer-Encoding and Content-Length\)/);
});
