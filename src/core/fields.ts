/**
 * Looking up header fields in raw pairs. Names are compared without case (RFC 9110 §5.1); values stay as they came.
 */
import type { HeaderPair } from "./record.ts";

/** The first value of a field, `undefined` where there is none; `lowerCaseName` must be lower-case. */
export function fieldOf(headers: readonly HeaderPair[], lowerCaseName: string): string | undefined {
  return headers.find(([name]) => name.toLowerCase() === lowerCaseName)?.[1];
}
