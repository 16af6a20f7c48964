/**
 * Looking up header fields in raw pairs. Names are compared without case (RFC 9110 §5.1); values stay as they came.
 */
import type { HeaderPair } from "./record.ts";

/** Whether a field has this lower-case name. The length tells most apart, and costs nothing. */
export function isNamed(name: string, lowerCaseName: string): boolean {
  return name.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName;
}

/** The first value of a field, `undefined` where there is none; `lowerCaseName` must be lower-case. */
export function fieldOf(headers: readonly HeaderPair[], lowerCaseName: string): string | undefined {
  for (const [name, value] of headers) if (isNamed(name, lowerCaseName)) return value;
  return undefined;
}
