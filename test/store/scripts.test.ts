import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { loadScripts, SCRIPT_FILES } from "../../src/store/redis-scripts.ts";

const DIR = new URL("../../src/store/scripts/", import.meta.url);
const CALLS = ["redis.ts", "redis-claim.ts", "redis-replicas.ts", "redis-cells.ts", "redis-roll.ts"]
  .map((file) => readFileSync(new URL(`../../src/store/${file}`, import.meta.url), "utf8"))
  .join("");
const read = (file: string): string => readFileSync(new URL(file, DIR), "utf8");
const numbers = (text: string, name: string): number[] =>
  [
    ...new Set(
      [...text.matchAll(new RegExp(`${name}\\[(\\d+)\\]`, "gu"))].map(([, n]) => Number(n)),
    ),
  ].sort((a, b) => a - b);

t.test("every script file is loaded, and no other", async (t) => {
  const files = readdirSync(DIR).filter((file) => file !== "record.lua");
  t.same(files.sort(), Object.values(SCRIPT_FILES).sort());
});

for (const [name, file] of Object.entries(SCRIPT_FILES)) {
  t.test(`${file}: the header says what the code uses`, async (t) => {
    const text = read(file);
    const lines = text.split("\n");
    const header = lines
      .filter((line) => line.startsWith("-- ") && lines.indexOf(line) < 20)
      .join("\n");
    const code = lines.filter((line) => !line.startsWith("--")).join("\n");
    t.match(header, /^-- Purpose: +\S[\s\S]*^-- Guarantee: +\S[\s\S]*^-- Returns: +\S/mu);
    t.same(numbers(header, "KEYS"), [1], "one declared key");
    const described = numbers(header, "ARGV");
    t.same(
      described,
      described.map((_, i) => i + 1),
      "no gap",
    );
    t.same(numbers(code, "ARGV"), described, "described and used");
    t.same([...numbers(code, "KEYS"), ...numbers(read("record.lua"), "KEYS")], [1]);
    // `run` takes the name, then the id, which is ARGV[1] of every script, then the others.
    t.equal(argumentsOf(name), described.length + 1, "as many as are passed");
  });
}

/** How many arguments the one call of `run("<name>", …)` has. */
function argumentsOf(name: string): number {
  const calls = CALLS.replaceAll(/\s+/gu, "").split(`run("${name}",`);
  let depth = 0;
  let commas = 1;
  for (const sign of (calls[1] ?? "").replaceAll(",)", ")")) {
    if ("([{".includes(sign)) depth += 1;
    if (")]}".includes(sign)) depth -= 1;
    if (depth < 0) return commas + 1;
    if (sign === "," && depth === 0) commas += 1;
  }
  return 0;
}

t.test("flags stay in the first line, and the prelude follows", async (t) => {
  for (const { name, lua } of loadScripts()) {
    const own = read(SCRIPT_FILES[name]);
    const flags = /^#!.*\n/u.exec(own)?.[0] ?? "";
    t.ok(lua.startsWith(`${flags}-- The prelude`), name);
    t.equal(lua.indexOf("#!", 1), -1, name);
  }
});
