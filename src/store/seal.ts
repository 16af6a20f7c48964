/**
 * The seal of a stored value: a digest over all of it, its id included, checked whenever it is read. It finds damage
 * (a turned bit, a cut, a value under another's name), not forgery: whoever may write to the store may also seal.
 */
import { hash } from "node:crypto";

export const SEAL_BYTES = 16;

/** The first 16 bytes of the SHA-1, which is the one digest that Redis's Lua has. */
export function sealOf(...parts: readonly Uint8Array[]): Buffer {
  const [only = Buffer.alloc(0), ...more] = parts;
  const whole = more.length === 0 ? only : Buffer.concat(parts);
  return hash("sha1", whole, "buffer").subarray(0, SEAL_BYTES);
}
