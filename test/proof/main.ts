/**
 * `npm run proof`: the long run. It can be cut at any time and goes on where it was.
 *
 *     npm run proof                        everything that is left
 *     npm run proof -- --rows simulation,paused --jobs 2 --minutes 30
 *     npm run proof -- --again paused      that row from the beginning, after something was mended
 *     npm run proof -- --table             only say what is known, and write it into docs/reliability.md
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { prove } from "./proof.ts";
import { dropRow, readResults } from "./results.ts";
import { findRows } from "./rooms.ts";
import { tableOf, writeTable } from "./table.ts";

const { values } = parseArgs({
  options: {
    rows: { type: "string", default: "" },
    jobs: { type: "string", default: "1" },
    minutes: { type: "string", default: "100000" },
    again: { type: "string", default: "" },
    table: { type: "boolean", default: false },
  },
});
const root = fileURLToPath(new URL("../", import.meta.url));
const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const file = `${docs}reliability.json`;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

if (!values.table) {
  const again = listed(values.again);
  for (const name of again) dropRow(file, name);
  const cut = new AbortController();
  process.once("SIGINT", () => cut.abort());
  process.once("SIGTERM", () => cut.abort());
  const { left, violations, broken, table } = await prove({
    root,
    file,
    names: [...new Set([...listed(values.rows), ...again])],
    jobs: positive("jobs", values.jobs),
    minutes: positive("minutes", values.minutes),
    say,
    cut: cut.signal,
  });
  say(`\n${table}\n`);
  say(`${left} units left, ${violations} violations, ${broken} batches broken`);
  process.exitCode = left === 0 && violations === 0 && broken === 0 ? 0 : 1;
}
const rows = (await findRows(root)).map(({ row }) => row);
const page = `${docs}reliability.md`;
writeTable(page, tableOf(rows, readResults(file)));
// Both are files of the repository, and formatted as all of them are.
execFileSync("npx", ["oxfmt", page, file], { stdio: "inherit" });

function listed(names: string): readonly string[] {
  return names.split(",").filter((name) => name !== "");
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (number > 0) return number;
  throw new Error(`--${name} takes a number above 0, not ${text}.`);
}
