/**
 * What shadow routes would have answered: a line for each route and outcome, largest first, below the routes. Where
 * nothing was watched it is not there. What the outcomes mean before a route is switched over is docs/adopting.md's.
 */
import { element, panel, table } from "./elements.ts";
import type { Counters } from "./wire.ts";
import { count } from "./words.ts";

export function shadowParts({ routes }: Counters): readonly Node[] {
  const rows = routes.flatMap(({ route, wouldBe }) =>
    Object.entries(wouldBe)
      .toSorted(([, one], [, other]) => other - one)
      .map(([outcome, requests]) => [
        element("b", {}, route),
        element("span", { class: "state" }, outcome),
        count(requests),
      ]),
  );
  if (rows.length === 0) return [];
  return [
    panel(
      "Shadow",
      element(
        "p",
        {},
        "These requests were passed on as they came. Enforced, they would have been:",
      ),
      table(
        "What shadow routes would have answered",
        [{ label: "Route" }, { label: "Would have been" }, { label: "Requests", number: true }],
        rows,
      ),
    ),
  ];
}
