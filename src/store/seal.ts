/**
 * The seal of a stored value: a digest over all of it, its id included, checked whenever it is read. It finds damage
 * (a turned bit, a cut, a value under another's name), not forgery: whoever may write to the store may also seal.
 */
import { createHash } from "node:crypto";

export const SEAL_BYTES = 16;

/** The first 16 bytes of the SHA-1, which is the one digest that Redis's Lua has. */
export function sealOf(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha1");
  for (const part of parts) hash.update(part);
  return hash.digest().subarray(0, SEAL_BYTES);
}
