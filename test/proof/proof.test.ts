/** The long run's own promises: it counts what was done, goes on where it was cut, and hides nothing that went wrong. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { prove, type ProofOptions } from "./proof.ts";
import { addBatch, dropRow, readResults, spansLeft, type Batch } from "./results.ts";
import { findRows } from "./rooms.ts";
import { tableOf, writeTable } from "./table.ts";

const ROOMS = fileURLToPath(new URL("fixtures/rooms", import.meta.url));
const TWINS = fileURLToPath(new URL("fixtures/twins", import.meta.url));

interface Teardown {
  teardown(fn: () => unknown): unknown;
}

function place(t: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), "proof-"));
  t.teardown(() => rmSync(dir, { recursive: true }));
  return dir;
}

function run(t: Teardown, options: Partial<ProofOptions>) {
  const said: string[] = [];
  const whole: ProofOptions = {
    root: ROOMS,
    file: join(place(t), "results.json"),
    names: [],
    jobs: 2,
    minutes: 10,
    say: (text) => said.push(text),
    cut: new AbortController().signal,
    ...options,
  };
  return { said, file: whole.file, proven: prove(whole) };
}

const batch: Batch = {
  first: 0,
  count: 10,
  violations: [],
  counts: {},
  peaks: {},
  seconds: 1,
  commit: "abc",
  node: "v20",
  endedAt: "2026-01-02T03:04:05.000Z",
};

t.test("what is left is everything that no batch has done, in batches", async (t) => {
  t.same(spansLeft(25, 10, []), [
    { first: 0, count: 10 },
    { first: 10, count: 10 },
    { first: 20, count: 5 },
  ]);
  const done = [
    { first: 20, count: 5 },
    { first: 4, count: 6 },
  ];
  t.same(spansLeft(25, 10, done), [
    { first: 0, count: 4 },
    { first: 10, count: 10 },
  ]);
  t.same(spansLeft(25, 10, [{ first: 0, count: 30 }]), [], "more was done than is asked for now");
});

t.test("every unit is done once, and the table adds up what the batches counted", async (t) => {
  const { said, file, proven } = run(t, { names: ["adds"] });
  const { left, violations, broken, table } = await proven;
  t.same([left, violations, broken], [0, 0, 0]);
  const { counts } = totals(file, "adds");
  t.equal(counts, 300, "0 + 1 + ... + 24");
  t.match(
    table,
    /\| numbers added up \| number \| 10 \| 25 \| 25 \| 0 \| total 300, largest at most 24 \|/,
  );
  t.match(said.at(-1), /^adds: 25 of 25 \(100 %\), 0 violations/);
});

t.test("a run that was cut goes on where it was", async (t) => {
  const dir = place(t);
  const file = join(dir, "results.json");
  addBatch(file, "adds", { ...batch, first: 10, count: 10, counts: { total: 1 } });
  const { left } = await run(t, { file, names: ["adds"] }).proven;
  t.equal(left, 0);
  const spans = (readResults(file)["adds"] ?? []).map(({ first, count }) => [first, count]);
  const once = [
    [0, 10],
    [10, 10],
    [20, 5],
  ];
  t.same(spans.toSorted(), once, "the middle was not done again");
  dropRow(file, "adds");
  t.same(readResults(file), {}, "and a dropped row begins anew");
});

t.test("a violation is said, kept and counted", async (t) => {
  const { said, file, proven } = run(t, { names: ["finds"] });
  const { left, violations } = await proven;
  t.same([left, violations], [0, 1]);
  t.ok(said.includes("VIOLATION finds 1 to 1: try 1: it was sent twice"));
  t.same(
    readResults(file)["finds"]?.flatMap((one) => one.violations),
    ["try 1: it was sent twice"],
  );
});

t.test("a batch that breaks, falls short or just ends is not counted as done", async (t) => {
  const { said, file, proven } = run(t, { names: ["breaks", "falls-short", "ends"] });
  const { left, broken } = await proven;
  t.same([left, broken], [6, 6]);
  t.same(readResults(file), {});
  t.ok(said.includes("BROKEN falls-short 0 to 0: 0 done"));
  t.ok(said.includes("BROKEN ends 0 to 0: no result"));
});

t.test("a cut ends running batches, which are not counted", async (t) => {
  const cut = new AbortController();
  const { proven, file } = run(t, {
    names: ["adds", "hangs"],
    jobs: 1,
    cut: cut.signal,
    say: (text) => {
      // The row before the one that hangs is through.
      if (text.startsWith("adds: 25 of 25")) setImmediate(() => cut.abort());
    },
  });
  const { left, broken } = await proven;
  t.same([left, broken], [2, 0]);
  t.same(Object.keys(readResults(file)), ["adds"]);
});

t.test(
  "rows are found in the rooms that have some; a name that stands twice or nowhere is refused",
  async (t) => {
    const names = (await findRows(ROOMS)).map(({ row }) => row.name);
    t.same(names, ["finds", "breaks", "falls-short", "ends", "hangs", "adds"]);
    await t.rejects(findRows(TWINS), { message: /Two rows are called twin/ });
    await t.rejects(run(t, { names: ["nobody"] }).proven, {
      message: /No row is called nobody. There are: finds/,
    });
  },
);

t.test("a damaged file of results is refused, not taken for an empty one", async (t) => {
  const file = join(place(t), "results.json");
  writeFileSync(file, '{"adds": [{"first": 0}]}');
  await t.rejects(run(t, { file, names: ["adds"] }).proven);
});

t.test(
  "the table stands between its markers, and nothing else of the page is touched",
  async (t) => {
    const page = join(place(t), "page.md");
    writeFileSync(page, "before\n<!-- proof: begin -->\nold\n<!-- proof: end -->\nafter\n");
    const rows = (await findRows(ROOMS)).map(({ row }) => row);
    writeTable(page, tableOf(rows, {}));
    const text = readFileSync(page, "utf8");
    t.match(text, /^before\n<!-- proof: begin -->\n\n\| what is tried/);
    t.match(text, /\n\n<!-- proof: end -->\nafter\n$/);
    t.notMatch(text, /old/);
    writeFileSync(page, "no markers");
    t.throws(() => writeTable(page, ""), { message: /needs <!-- proof: begin -->/ });
  },
);

function totals(file: string, name: string): { readonly counts: number } {
  const batches = readResults(file)[name] ?? [];
  return { counts: batches.reduce((total, { counts }) => total + (counts["total"] ?? 0), 0) };
}
