/** Verdicts on the targets, and what the page and the plot say of the results. Results here are made up. */
import t from "tap";
import { plotOf } from "../../bench/plot.ts";
import { summaryOf, type Measured, type Results } from "../../bench/results.ts";
import { pageOf, targetTable, withTable, workloadTable } from "../../bench/table.ts";
import { verdictsOn } from "../../bench/targets.ts";

const TITLES = {
  contenders: new Map([["nginx-lua", "nginx + Lua"]]),
  workloads: new Map([["first", "first <executions>"]]),
};

function measured(
  figures: Readonly<Record<string, readonly number[]>>,
  name = "perSecond",
): Measured {
  const samples = Object.entries(figures).flatMap(([contender, rounds]) =>
    rounds.map((figure, round) => ({ contender, round, figures: { [name]: figure } })),
  );
  const at = "2026-01-02T03:04:05.000Z";
  return { at, commit: "abc", machine: "a machine", seconds: 2, samples };
}

function verdictOn(results: Results, what: RegExp): readonly unknown[] {
  const found = verdictsOn(results).filter((verdict) => what.test(verdict.what));
  return found.map(({ measured: value, holds }) => [value, holds]);
}

t.test("a ratio that has to be reached holds from its limit on", async (t) => {
  const at = (rate: number): Results => {
    return { first: measured({ "gateway-redis": [rate, rate, 1], undici: [1000, 900, 1100] }) };
  };
  t.same(verdictOn(at(599), /price of safety/u), [[0.599, false]]);
  t.same(verdictOn(at(600), /price of safety/u), [[0.6, true]]);
});

t.test("a figure that must not be exceeded holds up to its limit", async (t) => {
  const at = (ms: number): Results => ({
    start: measured({ "gateway-redis": [ms] }, "startMs"),
  });
  t.same(verdictOn(at(400), /start to listening, Redis/u), [[400, true]]);
  t.same(verdictOn(at(400.5), /start to listening, Redis/u), [[400.5, false]]);
});

t.test("where one of the two was not measured there is no verdict", async (t) => {
  const results = { first: measured({ "gateway-redis": [500] }) };
  t.same(verdictOn(results, /price of safety/u), [[undefined, undefined]]);
  t.ok(verdictsOn({}).every(({ holds }) => holds === undefined));
  t.match(targetTable(verdictsOn({})), "| not measured |");
});

t.test("a target is told with its figure, its limit and whether it holds", async (t) => {
  const results = { first: measured({ "gateway-redis": [500], undici: [1000] }) };
  const line = targetTable(verdictsOn(results))
    .split("\n")
    .find((each) => each.includes("price of safety"));
  t.match(line, /\| >= 0\.6 \| 0\.50 \| \*\*no\*\* \|$/u);
});

t.test("a workload's table tells median, spread and ratio", async (t) => {
  const table = workloadTable(
    measured({ "nginx-lua": [1000, 1000], other: [1800, 2000, 2100] }),
    TITLES,
  );
  t.equal(
    table,
    [
      "| contender | per second | vs nginx + Lua |",
      "| --- | ---: | ---: |",
      "| nginx + Lua | 1,000 | 1.00 |",
      "| other | 2,000 ± 10 % | 2.00 |",
    ].join("\n"),
  );
});

t.test("a figure that one contender lacks is an empty cell", async (t) => {
  const one = measured({ a: [1] });
  const samples = [...one.samples, { contender: "b", round: 0, figures: { startMs: 12.34 } }];
  const table = workloadTable({ ...one, samples }, TITLES);
  t.match(table, "| a | 1.00 |  |");
  t.match(table, "| b |  | 12.3 |");
  t.equal(summaryOf({ ...one, samples }, "b", "perSecond"), undefined);
});

t.test("the page tells the commit and the machine of each workload", async (t) => {
  const page = pageOf({ first: measured({ "nginx-lua": [1] }) }, TITLES);
  t.match(page, "### first <executions>");
  t.match(page, "2026-01-02, abc, 2 s a stretch; a machine");
});

t.test("the table takes the place of the one before, between its markers", async (t) => {
  const page = withTable("a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nz\n", "new");
  t.equal(page, "a\n<!-- bench: begin -->\n\nnew\n\n<!-- bench: end -->\nz\n");
  t.equal(withTable(page, "new"), page);
  t.throws(() => withTable("no markers", "new"), { message: /needs/u });
});

t.test("the plot has a bar for each contender, and nothing of a title is markup", async (t) => {
  const svg = plotOf(
    {
      first: measured({ "nginx-lua": [1000], "gateway-redis": [1500, 1400] }),
      start: measured({ "gateway-redis": [300] }, "startMs"),
    },
    TITLES,
  );
  t.equal(svg.match(/<rect x=/gu)?.length, 2);
  t.match(svg, "first &lt;executions>");
  t.match(svg, "1.45  (1450/s)");
  t.equal(svg.match(/<svg/gu)?.length, 1);
  t.notMatch(svg, /NaN|undefined|Infinity/u);
});
