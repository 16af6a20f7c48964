/**
 * Conditional requests, RFC 9110 §8.8 and §13: entity tags, what a request demands of them, and whether the current
 * representation meets it. Pure; who fetches the representation and what a failure becomes is not decided here.
 */
import { fieldOf } from "./fields.ts";
import { mediaType } from "./fingerprint.ts";
import { Digest } from "./digest.ts";
import type { HeaderPair } from "./record.ts";

/** What the upstream holds for a resource right now. */
export type Representation =
  | {
      readonly kind: "present";
      /** The upstream's own tag, or the one computed from the representation. */
      readonly etag: string;
      /** The upstream has no tag of its own, so it cannot judge one. */
      readonly computed: boolean;
      readonly status: number;
      readonly headers: readonly HeaderPair[];
      readonly body: Uint8Array;
    }
  | { readonly kind: "absent" };

/** The upstream's `ETag` of an answer; `undefined` where it has none. */
export function etagOf(headers: readonly HeaderPair[]): string | undefined {
  return fieldOf(headers, "etag")?.trim();
}

/**
 * A strong tag over the media type and the bytes (RFC 9110 §8.8.3): the same for every gateway in front of the same
 * upstream, and another one whenever a byte differs. 22 characters of base64url, 132 bits.
 */
export function computeEtag(headers: readonly HeaderPair[], body: Uint8Array): string {
  const digest = new Digest();
  digest.add(mediaType(headers));
  digest.add(fieldOf(headers, "content-encoding")?.toLowerCase());
  digest.add(body);
  return `"${digest.end("base64url").slice(0, 22)}"`;
}

/** `*`, or the tags as written. `malformed`: not a list of entity tags. */
export type TagList =
  | { readonly kind: "any" }
  | { readonly kind: "tags"; readonly tags: readonly string[] }
  | { readonly kind: "malformed" };

const TAG = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g;
const TAG_LIST =
  /^[ \t]*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"(?:[ \t]*,[ \t]*(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")*[ \t]*$/;

/** A condition's field over all its lines; `undefined` where the request has none. */
export function tagsOf(headers: readonly HeaderPair[], lowerCaseName: string): TagList | undefined {
  const values = headers
    .filter(([name]) => name.toLowerCase() === lowerCaseName)
    .map(([, value]) => value);
  if (values.length === 0) return undefined;
  const field = values.join(", ");
  if (field.trim() === "*") return { kind: "any" };
  if (!TAG_LIST.test(field)) return { kind: "malformed" };
  return { kind: "tags", tags: field.match(TAG) ?? [] };
}

/** RFC 9110 §8.8.3.2: equal, and neither of them weak. */
function strongEqual(a: string, b: string): boolean {
  return a === b && !a.startsWith("W/");
}

function weakEqual(a: string, b: string): boolean {
  return a.replace(/^W\//, "") === b.replace(/^W\//, "");
}

/** `If-Match` and `If-None-Match`, the conditions of writes. */
export function isCondition(name: string): boolean {
  return /^if-(none-)?match$/i.test(name);
}

export type Condition = "holds" | "fails" | "malformed" | "none";

/** RFC 9110 §13.2.2 for writes: `If-Match` by strong comparison, then `If-None-Match`. */
export function judgeWrite(headers: readonly HeaderPair[], current: Representation): Condition {
  const match = tagsOf(headers, "if-match");
  const noneMatch = tagsOf(headers, "if-none-match");
  if (match?.kind === "malformed" || noneMatch?.kind === "malformed") return "malformed";
  if (match === undefined && noneMatch === undefined) return "none";
  const held =
    (match === undefined || names(match, current, strongEqual)) &&
    // §13.1.2 asks for the weak comparison here: a weak tag that matches must stop the write, too.
    (noneMatch === undefined || !names(noneMatch, current, weakEqual));
  return held ? "holds" : "fails";
}

/** Whether a read may be answered with 304 (RFC 9110 §13.1.2). */
export function isNotModified(headers: readonly HeaderPair[], etag: string): boolean {
  const noneMatch = tagsOf(headers, "if-none-match");
  if (noneMatch === undefined || noneMatch.kind === "malformed") return false;
  return noneMatch.kind === "any" || noneMatch.tags.some((tag) => weakEqual(tag, etag));
}

function names(
  list: TagList,
  current: Representation,
  equal: (a: string, b: string) => boolean,
): boolean {
  if (current.kind === "absent") return false;
  if (list.kind === "any") return true;
  return list.kind === "tags" && list.tags.some((tag) => equal(tag, current.etag));
}
