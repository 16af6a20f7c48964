/**
 * Looking up header fields in raw pairs, and what is known of a head by its names and its size. Names are compared without
 * case (RFC 9110 §5.1); values stay as they came.
 */
import type { HeaderPair } from "./record.ts";

/** RFC 9110 §7.6.1, and the proxy's own fields of §11.7, which are meant for the next hop alone. Lower-case. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Of an answer's head, and of a trailer section: as much as undici takes. */
export const MOST_HEAD_BYTES = 16 * 1024;

/** Whether a field has this lower-case name. The length tells most apart, and costs nothing. */
export function isNamed(name: string, lowerCaseName: string): boolean {
  return name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName;
}

/** The first value of a field, `undefined` where there is none; `lowerCaseName` must be lower-case. */
export function fieldOf(headers: readonly HeaderPair[], lowerCaseName: string): string | undefined {
  for (const [name, value] of headers) if (isNamed(name, lowerCaseName)) return value;
  return undefined;
}
