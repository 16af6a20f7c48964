/**
 * The checker and its hunts, proven: each planted bug is caught by the rule that it breaks, and where nothing is planted
 * the same hunts find nothing.
 */
import { readFileSync } from "node:fs";
import t from "tap";
import { BUGS } from "./bugs.ts";
import { huntNothing, newBeds, plant } from "./plant.ts";
import { huntBugs, rows } from "./rows.ts";

t.test("names are unique, and an edit that does not fit is an error", async (q) => {
  q.equal(new Set(BUGS.map(({ name }) => name)).size, BUGS.length);
  for (const { name, edits } of BUGS) q.doesNotThrow(() => plant(edits), name);
  const edit = { file: "core/record.ts", search: "no such text", replace: "" };
  q.throws(() => plant([edit]), /core\/record\.ts has 0 places like this/u);
  q.throws(() => plant([{ ...edit, search: "return" }]), /not one/u);
});

t.test("the page tells of each bug, and of no other", async (q) => {
  const page = readFileSync(new URL("../../docs/planted-bugs.md", import.meta.url), "utf8");
  const told = page.split("\n").flatMap((line) => {
    const [, name, rule, kind] = /^\| (.+?) +\| `([a-z-]+)` +\| (sim|wire) +\|$/u.exec(line) ?? [];
    return name === undefined ? [] : [`${name}: ${rule}, ${kind}`];
  });
  q.same(told.toSorted(), BUGS.map((bug) => `${bug.name}: ${bug.rule}, ${bug.hunt}`).toSorted());
});

t.test("every planted bug is caught by the rule that it breaks", async (q) => {
  const [row] = rows;
  const beds = newBeds(q);
  const seeds = new Set<number>();
  const result = await huntBugs(beds, 0, row?.ci ?? 0, ({ bug, caught, seed, ms }) => {
    if (seed !== undefined) seeds.add(seed);
    q.comment(`${bug.name}: ${bug.rule}, ${caught} (${(ms / 1000).toFixed(1)} s)`);
  });
  q.same(result.violations, [], "missed");
  q.equal(result.done, BUGS.length, "all of them were hunted");
  q.comment(`no bug took more than ${result.peaks?.["seeds"] ?? 0} seeds`);

  const [wire, sim] = await Promise.all([
    huntNothing(beds, "wire", []),
    huntNothing(beds, "sim", [...seeds]),
  ]);
  q.same(wire.violations, [], "nothing planted, nothing found over the wire");
  q.same(sim.violations, [], "nothing planted, nothing found where bugs were");
  q.ok(seeds.size > 0, "the simulation found some");
});
