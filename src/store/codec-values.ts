/** The single values of a stored record, each judged as it is read. No error quotes what it found. */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { RecordCorrupt } from "../core/ports.ts";
import {
  ANSWERED_BY,
  UNKNOWN_REASONS,
  type AnsweredBy,
  type HeaderPair,
  type UnknownReason,
} from "../core/record.ts";

/** A stored CR or LF would split the replay in two (RFC 9112 §11.1), so each field is judged again on its way out. */
export function asHeader(pair: unknown): HeaderPair {
  if (!Array.isArray(pair) || pair.length !== 2) throw corrupt("a header is not name and value");
  const [name, value] = pair as unknown[];
  const text = { name: asText(name), value: asText(value) };
  try {
    validateHeaderName(text.name);
    validateHeaderValue(text.name, text.value);
  } catch {
    // Node's error quotes the value, which may be a cookie.
    throw corrupt("a header is not valid");
  }
  return [text.name, text.value];
}

export function asCount(value: unknown, least: number): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw corrupt("a number is not a whole one in range");
}

export function asText(value: unknown): string {
  if (typeof value === "string") return value;
  throw corrupt("a text is not one");
}

/** Members of a record, which has them only where there is something to say. */
export function asShadow(value: unknown): { readonly shadow?: true } {
  if (typeof value === "boolean") return value ? { shadow: true } : {};
  throw corrupt("whether it is a shadow's is not said");
}

export function asAnsweredBy(value: unknown): { readonly answeredBy?: AnsweredBy } {
  if (value === "") return {};
  const answeredBy = ANSWERED_BY.find((known) => known === value);
  if (answeredBy === undefined) throw corrupt("who answered is not known");
  return { answeredBy };
}

export function asReason(value: unknown): UnknownReason {
  const reason = UNKNOWN_REASONS.find((known) => known === value);
  if (reason === undefined) throw corrupt("its reason is not known");
  return reason;
}

export function corrupt(why: string): RecordCorrupt {
  return new RecordCorrupt(`The stored record cannot be read: ${why}.`);
}
