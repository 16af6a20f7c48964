/** JSON as it is compared by meaning, and what reads it. No implementation lives here. */

/**
 * Parses a JSON text for comparison by meaning: numbers keep their literal, objects keep member order and refuse
 * duplicate names. Throws `JsonRefused` with a reason that quotes nothing of the text.
 */
export type ReadJson = (bytes: Uint8Array) => JsonValue;

export type JsonValue =
  | null
  | boolean
  | string
  | JsonNumber
  | readonly JsonValue[]
  | ReadonlyMap<string, JsonValue>;

/** A number as its literal, digits not lost. */
export interface JsonNumber {
  readonly literal: string;
}

export class JsonRefused extends Error {
  override readonly name = "JsonRefused";
}
