/**
 * From a key and a caller's credentials to the records that they name. Both arrive in a body and are hashed at once:
 * they stand in no URL, no log line and no answer. A key is tried in each way that some route may have read it.
 */
import {
  bearerOf,
  claimsIn,
  type KeyRead,
  keyFromHeader,
  keyFromPath,
  keyFromQuery,
  keyOfMembers,
  recordId,
  scopeOf,
  scopeOfClaims,
  shadowId,
} from "../core/key.ts";
import type { KeyPolicy, Policy } from "../core/policy.ts";
import type { RecordDesk } from "../core/ports.ts";
import type { JsonValue } from "../core/json-ports.ts";
import type { HeaderPair, StoredRecord } from "../core/record.ts";
import { isObject, objectIn } from "./body.ts";

/** What is looked for. */
export interface Wanted {
  /** One text; for keys out of a body one for each pointer. */
  readonly key: readonly string[];
  /** The caller's credentials; those that are left out were not sent. */
  readonly headers: readonly HeaderPair[];
  /** Only as this route reads it. */
  readonly route: string | undefined;
}

/** Ids of one search: an arrangement of routes that needs more is searched route by route. */
const MAX_IDS = 256;
/** A body's members may be texts or numbers, and all combinations are tried. */
const MAX_MEMBERS = 6;

/** Exactly `{key, headers?, route?}`; `undefined` where it is not. */
export function readWanted(body: string): Wanted | undefined {
  const document = objectIn(body);
  if (document === undefined) return undefined;
  const { key, headers = {}, route, ...others } = document;
  const keys = typeof key === "string" ? [key] : key;
  if (!isTexts(keys) || keys.length === 0 || keys.length > MAX_MEMBERS) return undefined;
  if (!isObject(headers) || !isTexts(Object.values(headers))) return undefined;
  if ((route !== undefined && typeof route !== "string") || Object.keys(others).length > 0) {
    return undefined;
  }
  const fields = Object.entries(headers as Record<string, string>);
  return {
    key: keys,
    // As Node reads what a client sends: blanks around it taken off, each byte a char.
    headers: fields.map(([name, value]) => [name, Buffer.from(value.trim()).toString("latin1")]),
    route,
  };
}

/** The ids that the key may have under these policies, each once. */
export function idsOf(wanted: Wanted, policies: readonly Policy[]): readonly string[] {
  const ids = new Set<string>();
  for (const policy of policies) {
    if (wanted.route !== undefined && wanted.route !== policy.route) continue;
    const scope = scopeFor(wanted.headers, policy);
    if (scope === undefined) continue;
    for (const read of readings(wanted.key, policy.key)) {
      if (read.kind !== "key") continue;
      const id = recordId(scope, policy.key.source, policy.route, read.key);
      ids.add(policy.mode === "shadow" ? shadowId(id) : id);
      if (ids.size === MAX_IDS) return [...ids];
    }
  }
  return [...ids];
}

/**
 * Who the credentials name on that route. A token is taken at its word, expired or not: it says which caller is meant, and
 * who asks is an operator.
 */
function scopeFor(
  headers: readonly HeaderPair[],
  { scopeHeaders, scopeJwt }: Policy,
): string | undefined {
  if (scopeJwt === undefined) return scopeOf(headers, scopeHeaders);
  const claims = claimsIn(payloadOf(bearerOf(headers) ?? ""), scopeJwt.claims);
  return claims && scopeOfClaims(scopeJwt.issuer, claims);
}

/** RFC 7519 §3; nothing where it is no token. */
function payloadOf(token: string): Readonly<Record<string, unknown>> {
  const [, payload = ""] = token.split(".");
  return objectIn(Buffer.from(payload, "base64url").toString()) ?? {};
}

/** Rejects with the errors of the store port. */
export async function recordsOf(
  desk: RecordDesk,
  ids: readonly string[],
): Promise<readonly StoredRecord[]> {
  const records: StoredRecord[] = [];
  // One after the other: a search must not take the store from the traffic.
  for (const id of ids) {
    const record = await desk.inspect(id);
    if (record !== undefined) records.push(record);
  }
  return records;
}

/** How a route may have read what an operator has typed or pasted. */
function readings(texts: readonly string[], policy: KeyPolicy): readonly KeyRead[] {
  const { source, format } = policy;
  if (source.from === "body") {
    const { pointers } = source;
    if (texts.length !== pointers.length) return [];
    return combinations(texts).map((values) => keyOfMembers(values, pointers, format));
  }
  const [text = ""] = texts;
  if (texts.length !== 1) return [];
  const { name } = source;
  switch (source.from) {
    case "header":
      return [text, quoted(text)].map((field) => keyFromHeader([[name, field]], name, format));
    case "query":
      return inUrl(text).map((value) =>
        keyFromQuery(`${encodeURIComponent(name)}=${value}`, name, format),
      );
    case "path":
      return inUrl(text).map((value) => keyFromPath(new Map([[name, value]]), name, format));
  }
}

/** RFC 9651 §3.3.3. */
function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** As it stood in a URL, and as it stands in one. Through a buffer, which replaces halves of a character. */
function inUrl(text: string): readonly string[] {
  const encoded = encodeURIComponent(Buffer.from(text).toString());
  return /[&#/?]/.test(text) ? [encoded] : [...new Set([text, encoded])];
}

/** Each text as itself, and where it reads as a number, `true` or `false`, as that too. */
function combinations(texts: readonly string[]): readonly (readonly JsonValue[])[] {
  let found: readonly (readonly JsonValue[])[] = [[]];
  for (const text of texts) {
    const values: readonly JsonValue[] = [text, ...literals(text)];
    found = found.flatMap((before) => values.map((value) => [...before, value]));
  }
  return found;
}

function literals(text: string): readonly JsonValue[] {
  if (text === "true" || text === "false") return [text === "true"];
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? [{ literal: text }] : [];
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
