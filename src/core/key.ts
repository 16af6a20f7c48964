/**
 * The key and its scope: what a client may write as a key, which spellings name the same key, and the record id that
 * the two make together. Where the raw key ends: behind `recordId` everything speaks of the digest.
 */
import { hash } from "node:crypto";
import { Digest } from "./digest.ts";
import { isNamed } from "./fields.ts";
import type { KeyFormat, KeySource } from "./policy.ts";
import type { JsonValue } from "./json-ports.ts";
import type { HeaderPair } from "./record.ts";
import { pointTo, writeCanonical } from "./json.ts";

export const MAX_KEY_LENGTH = 255;

/** Every character escaped, two quotes, and some blanks around it. */
const MAX_FIELD_LENGTH = 2 * MAX_KEY_LENGTH + 64;

/**
 * - `absent`: the request carries none.
 * - `invalid`: `detail` says what is wrong and what would be right, and quotes nothing.
 */
export type KeyRead =
  | { readonly kind: "key"; readonly key: string }
  | { readonly kind: "absent" }
  | { readonly kind: "invalid"; readonly detail: string };

/**
 * Reads the key's header field. An RFC 9651 String (`"abc"`, with `\"` and `\\` as its only escapes) and the bare
 * `abc` name the same key; draft-ietf-httpapi-idempotency-key-header-07 §2.1 wants the first, clients send the second.
 */
export function keyFromHeader(
  headers: readonly HeaderPair[],
  name: string,
  format: KeyFormat,
): KeyRead {
  const wanted = name.toLowerCase();
  const fields = headers.filter(([field]) => isNamed(field, wanted));
  if (fields.length === 0) return { kind: "absent" };
  if (fields.length > 1) return invalid(`Send the ${name} header once.`);
  const field = fields[0]?.[1] ?? "";
  // Before any pattern looks at it: patterns take their time over long fields, and this one is anybody's to send.
  if (field.length > MAX_FIELD_LENGTH) return tooLong(name, field.length);
  const text = field.replace(/^[ \t]+|[ \t]+$/g, "");
  return text.startsWith('"') ? quotedKey(text, name, format) : bareKey(text, name, format);
}

function quotedKey(field: string, name: string, format: KeyFormat): KeyRead {
  const text = /^"((?:[^"\\]|\\["\\])*)"$/.exec(field)?.[1];
  if (text === undefined) {
    return invalid(
      `${name} opens a quoted string that is not one: close it with a quote, escape only \\" and \\\\, and send no parameters behind it.`,
    );
  }
  return checkedKey(text.replace(/\\(.)/g, "$1"), name, format);
}

function bareKey(field: string, name: string, format: KeyFormat): KeyRead {
  // A comma may be two fields that a proxy has joined, a semicolon the begin of parameters: a guess here could make
  // two operations one.
  if (/[,;]/.test(field)) {
    return invalid(
      `${name} holds a comma or a semicolon, which would mean a list or parameters. Send one key; quote it ("…") if these characters belong to it.`,
    );
  }
  return checkedKey(field, name, format);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function checkedKey(key: string, name: string, format: KeyFormat): KeyRead {
  if (key.length === 0)
    return invalid(`${name} is empty. Send a unique key of 1 to 255 characters.`);
  if (key.length > MAX_KEY_LENGTH) return tooLong(name, key.length);
  if (!/^[\x21-\x7e]+$/.test(key)) {
    return invalid(`${name} holds characters other than visible ASCII (no spaces, no accents).`);
  }
  if (format !== "uuid") return { kind: "key", key };
  if (!UUID.test(key)) {
    return invalid(`${name} must be a UUID, like 123e4567-e89b-12d3-a456-426614174000.`);
  }
  // RFC 9562 §4: UUIDs are compared without regard to case.
  return { kind: "key", key: key.toLowerCase() };
}

/**
 * Reads the key from one query parameter. It stays percent-encoded (canonical form), so that every key is visible
 * ASCII; a `+` is kept as it stands, because only the upstream knows whether it means a space.
 */
export function keyFromQuery(query: string, name: string, format: KeyFormat): KeyRead {
  const values: string[] = [];
  for (const pair of query.split("&")) {
    const split = pair.indexOf("=");
    const field = split === -1 ? pair : pair.slice(0, split);
    if (decodedName(field) === name) values.push(split === -1 ? "" : pair.slice(split + 1));
  }
  if (values.length === 0) return { kind: "absent" };
  if (values.length > 1) return invalid(`Send the query parameter ${name} once.`);
  return checkedKey(values[0] ?? "", `The query parameter ${name}`, format);
}

function decodedName(field: string): string {
  try {
    return decodeURIComponent(field);
  } catch {
    // Not UTF-8 behind the escapes: then it is not the name of a parameter that a configuration could hold.
    return field;
  }
}

export function keyFromPath(
  parameters: ReadonlyMap<string, string>,
  name: string,
  format: KeyFormat,
): KeyRead {
  const value = parameters.get(name);
  if (value === undefined) return { kind: "absent" };
  return checkedKey(value, `The path segment :${name}`, format);
}

/** The members that the pointers name, together: `[/date, /slot]` is one key. A missing or null member is no key. */
export function keyFromBody(
  body: JsonValue,
  pointers: readonly string[],
  format: KeyFormat,
): KeyRead {
  const values: JsonValue[] = [];
  for (const pointer of pointers) {
    const value = pointTo(body, pointer);
    if (value === undefined || value === null) return { kind: "absent" };
    const composed = typeof value === "object" && !("literal" in value);
    if (composed) return invalid(`The body's ${pointer} must be a string, a number or a boolean.`);
    values.push(value);
  }
  return keyOfMembers(values, pointers, format);
}

/** The key that the members of a body make, in the order of the pointers. */
export function keyOfMembers(
  values: readonly JsonValue[],
  pointers: readonly string[],
  format: KeyFormat,
): KeyRead {
  const only = values[0];
  const what = `The body's ${pointers.join(", ")}`;
  // Empty alone is what a client sends that has no key: all its operations would be one.
  const plain = only === "" || (format === "uuid" && typeof only === "string");
  if (values.length === 1 && plain) return checkedKey(only, what, format);
  return checkedKey(visible(writeCanonical(values)), what, format);
}

/** Escapes whatever is not visible ASCII the way JSON does, so that a name with accents can be a key. */
function visible(text: string): string {
  return text.replace(
    /[^\x21-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function tooLong(name: string, length: number): KeyRead {
  return invalid(`${name} has ${length} characters; a key has at most ${MAX_KEY_LENGTH}.`);
}

function invalid(detail: string): KeyRead {
  return { kind: "invalid", detail };
}

/**
 * Digest of the caller's credentials, 64 hex digits. A missing header differs from an empty one, and every part is
 * length-prefixed, so that no choice of values makes two callers one.
 */
export function scopeOf(headers: readonly HeaderPair[], scopeHeaders: readonly string[]): string {
  const digest = new Digest();
  for (const wanted of scopeHeaders) {
    digest.add(wanted);
    for (const [name, value] of headers) {
      if (isNamed(name, wanted)) digest.add(value);
    }
    digest.add(undefined);
  }
  return digest.end();
}

/** A claim of a verified token: its name, and its value as JSON, which tells `"1"` from `1`. */
export type Claim = readonly [name: string, value: string];

/**
 * Digest of who a verified token names, 64 hex digits. Begins with a part that no header has, so that no choice of
 * header values spells a token's scope.
 */
export function scopeOfClaims(issuer: string, claims: readonly Claim[]): string {
  const digest = new Digest();
  digest.add(undefined);
  digest.add(issuer);
  for (const [name, value] of claims) {
    digest.add(name);
    digest.add(value);
  }
  return digest.end();
}

/** The claims that name a caller, out of what a token says; `undefined` where one of them names nobody. */
export function claimsIn(
  payload: Readonly<Record<string, unknown>>,
  names: readonly string[],
): readonly Claim[] | undefined {
  const claims: Claim[] = [];
  for (const name of names) {
    const value = Object.hasOwn(payload, name) ? payload[name] : undefined;
    // A list has an order and a number beyond 2^53 has neighbours that read alike: neither names one caller.
    const plain =
      (typeof value === "string" && value !== "") ||
      typeof value === "boolean" ||
      Number.isSafeInteger(value);
    if (!plain) return undefined;
    claims.push([name, JSON.stringify(value)]);
  }
  return claims;
}

/** The token in an `Authorization` field (RFC 6750 §2.1), looked at no further. */
export function bearerOf(headers: readonly HeaderPair[]): string | undefined {
  const field = headers.find(([name]) => isNamed(name, "authorization"))?.[1] ?? "";
  return /^bearer +([\w.~+/-]+=*) *$/i.exec(field)?.[1];
}

/**
 * SHA-256 over the length-prefixed scope and key, 64 hex digits. A key that is not taken from a header means something
 * only on its own route (`/things/7` and `/lamps/7` are two operations), so there the route's name is a third part.
 */
export function recordId(scope: string, source: KeySource, route: string, key: string): string {
  const digest = new Digest();
  digest.add(scope);
  digest.add(key);
  if (source.from !== "header") digest.add(route);
  return digest.end();
}

/**
 * What shadow routes observe under: a name no enforcing route ever reads, so that switching to `enforce` starts clean.
 */
export function shadowId(id: string): string {
  return hash("sha256", `shadow:${id}`, "hex");
}
