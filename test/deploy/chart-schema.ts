/**
 * What the chart's values may say under `config`: the gateway's own JSON Schema, without what the chart decides (ports, the
 * store's address) and with what it needs. Kept in values.schema.json, so that helm refuses a misspelt key before a pod does.
 */
import { makeSchema } from "../../src/config/schema-json.ts";

interface Schema {
  readonly properties?: Readonly<Record<string, Schema | false>>;
  readonly [keyword: string]: unknown;
}

/** Without the draft and the title: it is a part of another schema. */
export function configValues(): Schema {
  const {
    $schema: _draft,
    title: _title,
    ...made
  } = JSON.parse(JSON.stringify(makeSchema())) as Schema;
  const { upstream, store } = made.properties ?? {};
  if (!upstream || !store) throw new Error("the schema has no upstream or no store");
  const { url: _theSecrets, ...ofStore } = store.properties ?? {};
  const { url } = upstream.properties ?? {};
  if (!url) throw new Error("the schema has no upstream.url");
  return {
    ...made,
    description:
      "As in the gateway's configuration file; the ports and the store's address are the chart's.",
    required: ["upstream"],
    properties: {
      ...made.properties,
      upstream: {
        ...upstream,
        required: ["url"],
        properties: { ...upstream.properties, url: { ...url, pattern: "^https?://" } },
      },
      store: { ...store, properties: ofStore },
      listen: false,
      admin: false,
    },
  };
}
