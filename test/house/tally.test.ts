/** What `.ci/run` reports is what the TAP says, and a broken stream never counts as success. */
import t from "tap";
import { tally } from "./tally.ts";

const lines = (...text: string[]) => `TAP version 14\n${text.join("\n")}\n`;

t.test("leaf assertions are counted, the points that sum up a subtest are not", async (t) => {
  const tap = lines(
    "# Subtest: file",
    "    # Subtest: inner",
    "        ok 1 - a",
    "        not ok 2 - b",
    "        1..2",
    "    not ok 1 - inner",
    "    ok 2 - c",
    "    1..2",
    "not ok 1 - file",
    "ok 2 - d",
    "1..2",
  );
  t.match(tally(tap), { passed: 3, failed: 1, skipped: 0 });
});

t.test("a file that fails without a failing assertion is one failure", async (t) => {
  const tap = lines("# Subtest: file", "    ok 1 - a", "    1..1", "not ok 1 - file", "1..1");
  t.match(tally(tap), { passed: 1, failed: 1, skipped: 0 });
});

t.test("skipped and todo assertions neither pass nor fail", async (t) => {
  const tap = lines("ok 1 - a # SKIP later", "not ok 2 - b # TODO", "ok 3 - c", "1..3");
  t.match(tally(tap), { passed: 1, failed: 0, skipped: 2 });
});

t.test("a plan that is not met is a failure", async (t) => {
  t.match(tally(lines("1..3", "ok 1 - a")), { passed: 1, failed: 1, skipped: 0 });
});

t.test("a stream that was cut off inside a subtest is a failure", async (t) => {
  t.equal(tally(lines("1..1", "# Subtest: file", "    ok 1 - a")).failed, 1);
});

t.test("a bail out is a failure", async (t) => {
  t.equal(tally(lines("ok 1 - a", "Bail out! gone", "1..1")).failed, 1);
});

t.test("each failure is told by its path and its diagnostics", async (t) => {
  const tap = lines(
    "# Subtest: file",
    "    not ok 1 - a claim",
    "      ---",
    "      found: 500",
    "      ...",
    "    1..1",
    "not ok 1 - file",
    "1..1",
  );
  const [failure = "", ...more] = tally(tap).failures;
  t.match(failure, /^not ok: file > a claim\n[^]*found: 500/);
  t.same(more, []);
});

t.test("no TAP at all is a failure", async (t) => {
  t.match(tally(""), { passed: 0, failed: 1, skipped: 0 });
});
