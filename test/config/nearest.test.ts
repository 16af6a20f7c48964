import t from "tap";
import { nearest } from "../../src/config/nearest.ts";

const KEY = ["from", "name", "pointers", "required", "format"];

const cases: readonly (readonly [
  asked: string,
  known: readonly string[],
  near: string | undefined,
])[] = [
  ["form", KEY, "format"],
  ["requierd", KEY, "required"],
  ["Required", KEY, "required"],
  ["pointer", KEY, "pointers"],
  ["frm", KEY, "from"],
  ["x", KEY, undefined],
  ["to", KEY, undefined],
  ["", KEY, undefined],
  ["destination", KEY, undefined],
  ["warning", ["info", "warn"], "warn"],
  ["upstream-url", ["upstream", "store"], "upstream"],
  ["anything", [], undefined],
];
for (const [asked, known, near] of cases) {
  void t.test(`"${asked}" among ${known.join(", ")}: ${near ?? "nothing near"}`, (t) => {
    t.equal(nearest(asked, known), near);
    t.end();
  });
}
