/** The examples of config/examples: each a configuration that is valid as it stands, and says what it is about. */
import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { parse } from "yaml";
import { z } from "zod";
import { loadConfig } from "../../src/config/load.ts";
import { makeSchema } from "../../src/config/schema-json.ts";
import type { Policy } from "../../src/core/policy.ts";

const directory = new URL("../../config/examples/", import.meta.url);
const schema = z.fromJSONSchema(makeSchema());

/** What each example is for, in the policy of its routes. */
const purposes: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  lamp: { lamp: { resource: { precondition: "required", serialize: "wait" } } },
  stock: { stock: { key: { required: true }, resource: undefined } },
  blog: { posts: { resource: { afterDelete: { put: 404, delete: "replay" } } } },
  "get-or-create": {
    things: { resource: { put: "upsert", serialize: "wait" } },
    tags: { resource: { put: "create-only", serialize: "wait" } },
  },
  items: {
    items: { resource: { afterDelete: { rememberMs: 86_400_000, put: 410 } } },
    "items-new": { resource: { serialize: "off" } },
  },
  reboot: {
    reboot: { key: { required: true } },
    "times-rebooted": { resource: { precondition: "required" } },
  },
  deployments: {
    deployments: { key: { source: { from: "path", name: "uuid" } }, onUnknown: "block" },
    releases: { resource: { precondition: "required", put: "create-only" } },
  },
  reservations: {
    reservations: { resource: { id: { from: "body", pointers: ["/date", "/time"] }, once: true } },
    cancellations: { resource: { id: { from: "path" } } },
  },
  "unique-id": {
    service: { key: { source: { from: "query", name: "id" } } },
    receipts: { replay: { as: "conflict", conflict: { status: 409, body: "recorded" } } },
    "documents-new": { replay: { whenChanged: "conflict" } },
    documents: { resource: { id: { from: "path" } } },
  },
  objects: {
    "objects-new": { resource: { id: { from: "template", template: "/objects/{id}" } } },
    objects: { resource: { id: { from: "path" } } },
  },
  messages: {
    messages: { resource: { put: "update-only", afterDelete: { put: 410 } } },
    toggle: { key: { required: true } },
  },
};

void t.test("there is an example for each situation, and none besides", (t) => {
  const names = readdirSync(directory).map((name) => name.replace(/\.yaml$/u, ""));
  t.strictSame(names.toSorted(), Object.keys(purposes).toSorted());
  t.end();
});

for (const [name, routes] of Object.entries(purposes)) {
  const file = new URL(`${name}.yaml`, directory);

  void t.test(`${name}: is valid, and its routes are what it is about`, (t) => {
    const loaded = loadConfig(["--config", file.pathname], {});
    if (loaded.kind !== "run") return t.fail(JSON.stringify(loaded));
    t.equal(loaded.config.upstream.url, "http://127.0.0.1:3000");
    const policies: Record<string, Policy> = Object.fromEntries(
      loaded.config.routes.map(({ policy }) => [policy.route, policy]),
    );
    t.strictSame(Object.keys(policies), Object.keys(routes));
    t.has(policies, routes);
    return t.end();
  });

  void t.test(`${name}: opens with its schema and says what clients see`, (t) => {
    const text = readFileSync(file, "utf8");
    t.match(text, /^# yaml-language-server: \$schema=\.\.\/schema\.json\n#\n# [A-Z]/u);
    t.match(text, /^# {3}\S.* {2,}\S/mu, "a table of requests and answers");
    t.ok(schema.safeParse(parse(text)).success, "an editor accepts it");
    t.end();
  });
}
