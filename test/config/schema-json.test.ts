/** UPDATE=1 writes config/schema.json anew; `npm run format` then lays it out. */
import { readFileSync, writeFileSync } from "node:fs";
import t from "tap";
import { parse } from "yaml";
import { z } from "zod";
import { loadConfig } from "../../src/config/load.ts";
import { makeSchema, schemaText } from "../../src/config/schema-json.ts";
import { keyPaths } from "./key-paths.ts";

const schemaFile = new URL("../../config/schema.json", import.meta.url);
const gatewayFile = new URL("../../config/gateway.yaml", import.meta.url);

void t.test("config/schema.json is what the schema in the code says", (t) => {
  if (process.env["UPDATE"] === "1") writeFileSync(schemaFile, schemaText());
  const stored: unknown = JSON.parse(readFileSync(schemaFile, "utf8"));
  const made: unknown = JSON.parse(schemaText());
  t.strictSame(stored, made, "make it anew: UPDATE=1 npx tap test/config/schema-json.test.ts");
  t.end();
});

void t.test("an editor with the JSON Schema accepts config/gateway.yaml and refuses slips", (t) => {
  const schema = z.fromJSONSchema(makeSchema());
  const accepts = (value: unknown) => schema.safeParse(value).success;
  t.ok(accepts(parse(readFileSync(gatewayFile, "utf8"))));
  t.ok(accepts({}));
  t.ok(accepts({ routes: [{ name: "a", match: { path: "/a" } }] }));
  const withId = (id: unknown) =>
    accepts({ routes: [{ name: "a", match: { path: "/a" }, resource: { id } }] });
  t.ok(withId("path") && withId({ pointers: ["/a"] }) && withId({ template: "/a/{b}" }));
  t.notOk(withId("body") || withId({ pointer: ["/a"] }), "a resource named by nothing");
  t.notOk(accepts({ lisen: {} }), "an unknown key");
  t.notOk(accepts({ upstream: { timeout: "30" } }), "a duration without unit");
  t.notOk(accepts({ listen: { port: 70_000 } }), "a port out of range");
  t.notOk(accepts({ routes: [{ match: { path: "/a" } }] }), "a route without name");
  t.end();
});

void t.test("every key in the JSON Schema has a description", (t) => {
  const bare: string[] = [];
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null) return;
    const properties: unknown = Reflect.get(value, "properties");
    for (const [name, member] of Object.entries(properties ?? {})) {
      const here = `${path}.${name}`;
      if (typeof Reflect.get(member, "description") !== "string") bare.push(here);
      walk(member, here);
      walk(Reflect.get(member, "items"), here);
    }
  };
  walk(JSON.parse(schemaText()), "");
  t.strictSame(bare, []);
  t.end();
});

void t.test("config/gateway.yaml says exactly what holds without it", (t) => {
  const packaged = loadConfig([], {});
  const empty = loadConfig(["--config", "/dev/null"], {});
  if (packaged.kind !== "run" || empty.kind !== "run") return t.fail("one of them is refused");
  t.strictSame(packaged.config, empty.config);
  t.equal(packaged.file, gatewayFile.pathname);
  return t.end();
});

void t.test("config/gateway.yaml mentions every key there is", (t) => {
  const text = readFileSync(gatewayFile, "utf8");
  const missing = keyPaths().filter((path) => {
    const name = path.split(".").at(-1) ?? "";
    return !new RegExp(`\\b${name}\\b`, "u").test(text);
  });
  t.strictSame(missing, []);
  t.match(text, /^# yaml-language-server: \$schema=\.\/schema\.json\n/u);
  t.end();
});
