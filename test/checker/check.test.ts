/** The checker itself: what each of its rules objects to, and what it lets pass. */
import t from "tap";
import { KEY_CASES } from "./cases.ts";
import { check } from "./check.ts";
import { RULES } from "./history.ts";
import { RESOURCE_CASES } from "./resource-cases.ts";
import { answers, asks, executes, history, told } from "./written.ts";

const CASES = [...KEY_CASES, ...RESOURCE_CASES];

for (const { rule, claim, breaks: broken, keeps } of CASES) {
  t.test(`${rule}: ${claim}`, async (q) => {
    const rules = check(broken).map((violation) => violation.rule);
    q.same([...new Set(rules)], [rule], "caught, by this rule alone");
    q.same(check(keeps), [], "what looks like it passes");
  });
}

t.test("every rule has a history that breaks it", async (q) => {
  const tried = new Set(CASES.map(({ rule }) => rule));
  q.same(
    RULES.filter((rule) => !tried.has(rule)),
    [],
  );
});

t.test("a history that contradicts itself is not judged", async (q) => {
  q.throws(() => check(history(asks(1), asks(1))), /request 1 is told twice/u);
  q.throws(() => check(history(asks(1), told(2, "executed", "a1"))), /no beginning/u);
  q.throws(() => check(history(executes(1, 1), answers(1), answers(1))), /end of execution 1/u);
});
