/**
 * Freezes a configuration all the way down: what was checked at start is what runs until the end. Plain objects, lists
 * and maps only, which is all that a configuration is made of.
 */

/** The same object, with everything that it leads to frozen. Shared parts are frozen once. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (value instanceof Map) {
    // `Object.freeze` does not reach a map's entries, so its writing methods go as well.
    for (const name of ["set", "delete", "clear"]) {
      Object.defineProperty(value, name, { value: refuse, enumerable: false });
    }
  }
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}

function refuse(): never {
  throw new TypeError("the configuration is read-only");
}
