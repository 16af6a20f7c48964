/** docs/configuration.md held to the schema: every key, its default, every flag and variable, and the examples. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parse } from "yaml";
import {
  DEFAULT_ENCRYPTION,
  DEFAULT_JWT,
  DEFAULT_POLICY,
  DEFAULT_REPLICAS,
  DEFAULT_RESOURCE,
  DEFAULT_WEBHOOK,
  DEFAULTS,
} from "../../src/config/defaults.ts";
import { ACTIONS, SETTINGS, variableOf } from "../../src/config/flags.ts";
import { loadConfig } from "../../src/config/load.ts";
import { keyPaths } from "./key-paths.ts";

const text = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");

/** The first and the third column of every row that begins with a key. */
const rows = [...text.matchAll(/^\| `([A-Za-z[\].]+)`\s+\| [^|]* \| ([^|]*) \|/gmu)].map(
  ([, key = "", value = ""]) => ({ key, told: value.trim() }),
);

const all = keyPaths();
const leaves = all
  .filter(
    (path) => !all.some((other) => other.startsWith(`${path}.`) || other.startsWith(`${path}[`)),
  )
  // A policy is told once, without the place where it stands.
  .filter((path) => !path.startsWith("routes[].") || /^routes\[\]\.(name|match\.)/u.test(path))
  .map((path) => path.replace(/^defaults\./u, ""));

void t.test("every key of the file has its row, and every row is a key", (t) => {
  t.strictSame(rows.map(({ key }) => key).toSorted(), leaves.toSorted());
  t.end();
});

void t.test("the defaults in the rows are the defaults in the code", (t) => {
  const builtIn = {
    ...DEFAULTS,
    ...DEFAULT_POLICY,
    store: { ...DEFAULTS.store, replicas: DEFAULT_REPLICAS, encryption: DEFAULT_ENCRYPTION },
    scope: { ...DEFAULT_POLICY.scope, jwt: DEFAULT_JWT },
    resource: DEFAULT_RESOURCE,
    notify: { webhook: DEFAULT_WEBHOOK },
  };
  let compared = 0;
  for (const { key, told } of rows) {
    const value = key
      .split(".")
      .reduce<unknown>(
        (holder, name) =>
          typeof holder === "object" && holder !== null ? Reflect.get(holder, name) : undefined,
        builtIn,
      );
    if (value === undefined) continue;
    t.strictSame(parse(told.replace(/^`|`$/gu, "")), value, key);
    compared += 1;
  }
  t.ok(compared > 30, `${compared} defaults compared`);
  t.end();
});

void t.test("every flag and every variable is told", (t) => {
  for (const [name, { environmentOnly }] of Object.entries(SETTINGS)) {
    t.match(text, `| \`${variableOf(name)}\``);
    if (environmentOnly !== true) t.match(text, `\`--${name}`);
  }
  for (const name of Object.keys(ACTIONS)) t.match(text, `\`--${name}\``);
  t.end();
});

void t.test("the examples are valid configurations", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "gateway-docs-"));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const examples = [...text.matchAll(/^```yaml\n(.*?)^```/gmsu)].map(([, yaml = ""]) => yaml);
  t.equal(examples.length, 2);
  for (const [index, yaml] of examples.entries()) {
    const file = join(directory, `${index}.yaml`);
    writeFileSync(file, yaml);
    const loaded = loadConfig(["--config", file, "--check"], {});
    t.equal(loaded.kind, "check", JSON.stringify(loaded));
  }
  t.end();
});
