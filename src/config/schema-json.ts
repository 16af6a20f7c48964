/**
 * The configuration file's JSON Schema, for editors: made from `file-schema.ts` and `defaults.ts`, kept as
 * `config/schema.json`. It knows types, ranges and names; contradictions only `--check` finds.
 *
 * Made anew by: UPDATE=1 npx tap test/config/schema-json.test.ts
 */
import { z } from "zod";
import {
  DEFAULT_ENCRYPTION,
  DEFAULT_JWT,
  DEFAULT_POLICY,
  DEFAULT_REPLICAS,
  DEFAULT_RESOURCE,
  DEFAULTS,
} from "./defaults.ts";
import { fileSchema } from "./file-schema.ts";

const builtIn = {
  ...DEFAULTS,
  store: { ...DEFAULTS.store, replicas: DEFAULT_REPLICAS, encryption: DEFAULT_ENCRYPTION },
  defaults: {
    ...DEFAULT_POLICY,
    scope: { ...DEFAULT_POLICY.scope, jwt: DEFAULT_JWT },
    resource: DEFAULT_RESOURCE,
  },
  routes: [],
};

/** The text of `config/schema.json`, before the formatter. */
export function schemaText(): string {
  return `${JSON.stringify(makeSchema(), null, 2)}\n`;
}

/** JSON Schema 2020-12, as plain values. */
export function makeSchema(): z.core.JSONSchema.BaseSchema {
  const schema = z.toJSONSchema(fileSchema, {
    io: "input",
    override: ({ jsonSchema, path }) => {
      const names = path.filter((part) => part !== "properties");
      const value = builtInAt(names);
      // A mapping's defaults stand at its members.
      if (value !== undefined && jsonSchema.properties === undefined) {
        jsonSchema.default = structuredClone(value);
      }
      // Not required in zod, so that one missing name does not keep the rest from being checked.
      if (names.join(".") === "routes.items") jsonSchema.required = ["name", "match"];
      if (names.join(".") === "routes.items.match") jsonSchema.required = ["path"];
    },
  });
  const { $schema, ...rest } = schema;
  return {
    ...($schema !== undefined && { $schema }),
    title: "idempotency-gateway configuration",
    ...rest,
  };
}

function builtInAt(names: readonly (string | number)[]): z.core.JSONSchema.BaseSchema["default"] {
  let value: unknown = builtIn;
  for (const name of names) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name))
      return undefined;
    const member: unknown = Reflect.get(value, name);
    value = member;
  }
  return names.length === 0 ? undefined : toJson(value);
}

function toJson(value: unknown): z.core.JSONSchema.BaseSchema["default"] {
  return JSON.parse(JSON.stringify(value));
}
