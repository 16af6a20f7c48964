/** The code keeps to the dependency table, and the checker that says so catches each kind of violation. */
import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { checkArchitecture } from "./architecture.ts";

const src = fileURLToPath(new URL("../../src", import.meta.url));

function sourceFiles(): Map<string, string> {
  const paths = readdirSync(src, { recursive: true, encoding: "utf8" });
  const kept = paths.filter((path) => /\.(ts|lua)$/.test(path));
  return new Map(
    kept.map((path) => [path.split(sep).join("/"), readFileSync(join(src, path), "utf8")]),
  );
}

t.test("src keeps to the dependency table and the house rules", async (t) => {
  const files = sourceFiles();
  t.ok(files.size > 10, `${files.size} files checked`);
  const found = checkArchitecture(files);
  t.same(
    found.map(({ rule, path, what }) => `${rule}: ${path}: ${what}`),
    [],
  );
});

const OPENING = "/** What this file does. */\n";

/** A small tree that keeps every rule; each case below adds or replaces one file. */
const SOUND: Readonly<Record<string, string>> = {
  "main.ts": 'import { start } from "./gateway.ts";\nprocess.exitCode = start();\n',
  "gateway.ts":
    'import "./http/tunnel.ts";\nimport { pino } from "pino";\npino();\nonce(process, "x");\n',
  "core/key.ts":
    'import { createHash } from "node:crypto";\nimport type { Route } from "./route.ts";\nexport const at = (ms: number) => new Date(ms);\n',
  "core/route.ts":
    "// Date.now() and process.env in a comment\nexport const text = 'setTimeout(process.env)';\n",
  "flow/exchange.ts":
    'import { at } from "../core/key.ts";\nexport const performance = at;\nperformance(1);\n',
  "http/tunnel.ts": 'import proxy from "http-proxy";\nsetTimeout(proxy, Date.now());\n',
  "store/embedded.ts": 'import { open } from "lmdb";\nopen({});\n',
  "config/load.ts":
    'import type { Route } from "../core/route.ts";\nexport const level = process.env.LEVEL;\n',
  "admin/records.ts": 'import type { Settings } from "../config/load.ts";\n',
};

function tree(planted: Readonly<Record<string, string>>): Map<string, string> {
  const files = Object.entries({ ...SOUND, ...planted });
  return new Map(files.map(([path, text]) => [path, path.endsWith(".ts") ? OPENING + text : text]));
}

t.test("a tree that keeps the rules has no violations", async (t) => {
  t.same(checkArchitecture(tree({})), []);
});

const planted: readonly [claim: string, rule: string, path: string, text: string][] = [
  ["core imports flow", "room", "core/a.ts", 'import "../flow/exchange.ts";'],
  ["core imports a package", "package", "core/a.ts", 'import "zod";'],
  ["core imports node:fs", "package", "core/a.ts", 'import "node:fs";'],
  ["core takes random bits", "purity", "core/a.ts", 'import { randomBytes } from "node:crypto";'],
  ["core takes all of node:crypto", "purity", "core/a.ts", 'import * as c from "node:crypto";'],
  ["core reads the clock", "purity", "core/a.ts", "export const a = Date.now();"],
  ["core reads the clock by new Date()", "purity", "core/a.ts", "export const a = new Date();"],
  ["core hands the clock on", "purity", "core/a.ts", "const { now } = Date;\nnow();"],
  ["core throws dice", "purity", "core/a.ts", "export const a = Math.random();"],
  ["core throws dice by index", "purity", "core/a.ts", 'export const a = Math["random"]();'],
  ["core sets a timer", "purity", "core/a.ts", "setTimeout(() => {}, 1);"],
  ["core hands a timer on", "purity", "core/a.ts", "export const later = setTimeout;"],
  ["core uses performance", "purity", "core/a.ts", "export const a = performance.now();"],
  ["core uses process", "purity", "core/a.ts", "export const a = process.pid;"],
  ["core goes through globalThis", "purity", "core/a.ts", "globalThis.setTimeout(() => {}, 1);"],
  ["flow reads the clock", "purity", "flow/a.ts", "export const a = Date.now();"],
  ["flow imports a store", "room", "flow/a.ts", 'import "../store/embedded.ts";'],
  ["flow imports a store's type", "room", "flow/a.ts", 'import type { S } from "../store/x.ts";'],
  ["http imports store", "room", "http/a.ts", 'import "../store/embedded.ts";'],
  ["http imports flow", "room", "http/a.ts", 'import "../flow/exchange.ts";'],
  ["store imports observe by import()", "room", "store/a.ts", 'await import("../observe/log.ts");'],
  ["store imports by a computed name", "package", "store/a.ts", "await import(name);"],
  ["a type is imported in place", "room", "http/a.ts", 'let a: import("../store/x.ts").S;'],
  [
    "a room re-exports another",
    "room",
    "http/a.ts",
    'export { open } from "../store/embedded.ts";',
  ],
  ["observe imports admin", "room", "observe/a.ts", 'import "../admin/records.ts";'],
  ["a room imports the root", "room", "admin/a.ts", 'import "../gateway.ts";'],
  ["a room reaches out of src", "room", "admin/a.ts", 'import "../../test/x.ts";'],
  ["config imports code of core", "room", "config/a.ts", 'import { at } from "../core/key.ts";'],
  [
    "admin imports code of config",
    "room",
    "admin/a.ts",
    'import { level } from "../config/load.ts";',
  ],
  [
    "console imports admin's type",
    "room",
    "console/a.ts",
    'import type { A } from "../admin/a.ts";',
  ],
  ["console imports a module of Node", "package", "console/a.ts", 'import "node:path";'],
  ["there is a room of no name in the table", "room", "model/a.ts", "export {};"],
  ["ioredis outside store", "package", "observe/a.ts", 'import { Redis } from "ioredis";'],
  ["a second file knows http-proxy", "exclusive", "http/z.ts", 'import proxy from "http-proxy";'],
  ["a second file knows lmdb", "exclusive", "store/z.ts", 'import type { Key } from "lmdb";'],
  ["a second file knows pino", "exclusive", "observe/log.ts", 'import { pino } from "pino";'],
  ["http reads the environment", "environment", "http/a.ts", "export const a = process.env.A;"],
  ["http reads it by index", "environment", "http/a.ts", 'export const a = process["env"];'],
  ["http reads it by pattern", "environment", "http/a.ts", "const { env } = process;\nenv;"],
  ["http hands it on", "environment", "http/a.ts", "read(process);"],
  ["http imports it", "environment", "http/a.ts", 'import { env } from "node:process";\nenv;'],
  ["the root reads the environment", "environment", "a.ts", "export const a = process.env;"],
  ["a file is longer than 300 lines", "length", "http/a.ts", "export {};\n".repeat(300)],
  ["a script is longer than 300 lines", "length", "store/a.lua", "-- x\n".repeat(301)],
  ["a file is called utils", "name", "http/utils.ts", "export {};"],
  ["a folder is called common", "name", "http/common/a.ts", "export {};"],
  ["a name ends in Manager", "name", "store/lockManager.ts", "export {};"],
  ["a name holds helpers", "name", "http/header-helpers.ts", "export {};"],
  ["a file is a barrel", "barrel", "http/a.ts", 'export * from "./tunnel.ts";'],
  ["a file does not parse", "parse", "http/a.ts", "export const = 1;"],
];

for (const [claim, rule, path, text] of planted) {
  t.test(`caught: ${claim}`, async (t) => {
    const found = checkArchitecture(tree({ [path]: text }));
    t.same(
      found.map((each) => [each.rule, each.path]),
      [[rule, path]],
    );
  });
}

t.test("caught: a file opens without a comment", async (t) => {
  const files = tree({}).set("http/a.ts", "export const a = 1;\n");
  t.match(checkArchitecture(files), [{ rule: "opening", path: "http/a.ts" }]);
});

t.test("caught: files import each other in a ring, by type alone too", async (t) => {
  const found = checkArchitecture(
    tree({
      "http/a.ts": 'import { b } from "./b.ts";',
      "http/b.ts": 'import "./c.ts";',
      "http/c.ts": 'import type { A } from "./a.ts";',
    }),
  );
  t.match(found, [{ rule: "cycle", what: "http/a.ts → http/b.ts → http/c.ts → http/a.ts" }]);
});
