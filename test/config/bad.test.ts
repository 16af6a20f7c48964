/** One file per mistake, with everything that is said about it beside it. UPDATE=1 writes what is said now. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import t from "tap";
import { loadConfig } from "../../src/config/load.ts";

const directory = new URL("bad/", import.meta.url);
const names = readdirSync(directory)
  .filter((name) => name.endsWith(".yaml"))
  .map((name) => name.slice(0, -".yaml".length));

/** The messages name the file as it was given; the fixtures call it by its bare name. */
function problemsOf(name: string): string {
  const file = new URL(`${name}.yaml`, directory).pathname;
  const loaded = loadConfig(["--config", file], {});
  if (loaded.kind !== "invalid") return "accepted\n";
  return `${loaded.problems.join("\n")}\n`.replaceAll(file, `${name}.yaml`);
}

void t.test("there is a fixture for each of many mistakes", (t) => {
  t.ok(names.length >= 35, `${names.length} fixtures`);
  t.end();
});

for (const name of names) {
  void t.test(`${name}: is refused with exactly what is wrong with it`, (t) => {
    const told = problemsOf(name);
    const expected = new URL(`${name}.txt`, directory);
    if (process.env["UPDATE"] === "1") writeFileSync(expected, told);
    t.not(told, "accepted\n");
    t.equal(told, readFileSync(expected, "utf8"));
    t.notMatch(told, /canary|31337/u, "no value of the file is quoted");
    t.end();
  });
}

void t.test("a file with __proto__ and constructor leaves Object.prototype as it was", (t) => {
  const before = Object.getOwnPropertyNames(Object.prototype);
  problemsOf("prototype-keys");
  t.strictSame(Object.getOwnPropertyNames(Object.prototype), before);
  t.equal(Reflect.get({}, "polluted"), undefined);
  t.end();
});

void t.test(
  "a file that is not there, and one that is a directory, are named with the reason",
  (t) => {
    const missing = loadConfig(["--config", "/nonexistent/gateway.yaml"], {});
    t.strictSame(missing, {
      kind: "invalid",
      problems: ["/nonexistent/gateway.yaml: cannot be read (ENOENT); name a YAML file"],
    });
    const isDirectory = loadConfig(["--config", directory.pathname], {});
    t.strictSame(isDirectory, {
      kind: "invalid",
      problems: [`${directory.pathname}: cannot be read (EISDIR); name a YAML file`],
    });
    t.end();
  },
);
