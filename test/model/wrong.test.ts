/** One thing done wrong, and spin finds the very property that this breaks. */
import t from "tap";
import { WRONG } from "./models.ts";
import { judge } from "./rows.ts";
import { readReport, search } from "./spin.ts";

for (const model of WRONG) {
  const { name, claim, breaks = "nothing" } = model;
  t.test(`${name} (${claim}): breaks ${breaks}`, async (t) => {
    const found = await search(model);
    t.equal(judge(model, found), undefined, "spin finds what it has to find");
    t.comment(`${found.states} states, depth ${found.depth}, ${found.seconds} s`);
  });
}

t.test("a search that was cut short is not whole, whatever it has found until then", async (t) => {
  const said = (...lines: string[]): string =>
    [
      ...lines,
      "State-vector 84 byte, depth reached 153, errors: 0",
      "   356214 states, stored",
      "  155.534\ttotal actual memory usage",
      "pan: elapsed time 4.71 seconds",
    ].join("\n");
  t.equal(readReport(said()).whole, true);
  for (const line of [
    "error: max search depth too small",
    "Warning: Search not completed",
    "pan: reached -DMEMLIM bound",
    "Bit statespace search for:",
    "Hash-Compact 4 search for:",
  ]) {
    t.equal(readReport(said(line)).whole, false, line);
  }
});
