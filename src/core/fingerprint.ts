/**
 * The fingerprint: SHA-256 over what the request asks for. Two requests with one key and one fingerprint are the same
 * operation; everything that changes the meaning goes in, everything that a retry may change stays out.
 */
import { fieldOf, isNamed } from "./fields.ts";
import { Digest } from "./digest.ts";
import { writeCanonical } from "./json.ts";
import type { FingerprintPolicy } from "./policy.ts";
import type { JsonValue } from "./json-ports.ts";
import type { HeaderPair } from "./record.ts";

export interface FingerprintInput {
  readonly method: string;
  /** Path and query, as forwarded. */
  readonly target: string;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array;
  /** The parsed body where the route compares by meaning and the body is JSON. */
  readonly json: JsonValue | undefined;
}

/** 64 hex digits. */
export function fingerprintOf(input: FingerprintInput, policy: FingerprintPolicy): string {
  const digest = new Digest();
  digest.add(input.method);
  digest.add(input.target);
  digest.add(mediaType(input.headers));
  for (const wanted of policy.headers) {
    digest.add(wanted);
    for (const [name, value] of input.headers) {
      if (isNamed(name, wanted)) digest.add(value);
    }
    digest.add(undefined);
  }
  // The kind of comparison is part of the digest: a raw body cannot pose as the canonical text of another one.
  if (input.json === undefined) {
    digest.add("raw");
    digest.add(input.body);
  } else {
    digest.add("json");
    digest.add(writeCanonical(input.json, policy.ignore));
  }
  return digest.end();
}

/** Type and subtype, lower-case, without parameters (RFC 9110 §8.3.1); `undefined` where none is given. */
export function mediaType(headers: readonly HeaderPair[]): string | undefined {
  const field = fieldOf(headers, "content-type");
  return field?.split(";", 1)[0]?.trim().toLowerCase();
}

/** `application/json` and everything with the `+json` suffix (RFC 6839 §3.1). */
export function isJson(type: string | undefined): boolean {
  return type === "application/json" || (type?.endsWith("+json") ?? false);
}

/** 64 hex digits over what a request brings: its media type and its body, JSON by meaning where it was parsed. */
export function contentOf(
  headers: readonly HeaderPair[],
  body: Uint8Array,
  json: JsonValue | undefined,
): string {
  const digest = new Digest();
  digest.add(mediaType(headers));
  digest.add(json === undefined ? body : writeCanonical(json));
  return digest.end();
}
