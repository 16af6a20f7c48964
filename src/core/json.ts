/**
 * JSON by meaning: pointing into a value (RFC 6901) and one canonical text for all spellings of the same value.
 * Parsing is not done here; the reader arrives through a port.
 */
import { JsonRefused, type JsonNumber, type JsonValue } from "./json-ports.ts";

export function isNumber(value: JsonValue): value is JsonNumber {
  return typeof value === "object" && value !== null && "literal" in value;
}

function isObject(value: JsonValue): value is ReadonlyMap<string, JsonValue> {
  return value instanceof Map;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** The value that a JSON Pointer names, `undefined` where there is none. */
export function pointTo(value: JsonValue, pointer: string): JsonValue | undefined {
  let at: JsonValue | undefined = value;
  for (const token of pointerTokens(pointer)) {
    at = at === undefined ? undefined : memberOf(at, token);
  }
  return at;
}

function memberOf(value: JsonValue, token: string): JsonValue | undefined {
  if (isObject(value)) return value.get(token);
  if (isList(value)) return /^(0|[1-9]\d*)$/.test(token) ? value[Number(token)] : undefined;
  return undefined;
}

/** RFC 6901 §4: `~1` is `/`, then `~0` is `~`. */
function pointerTokens(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** Members to leave out, by name, down to the ones that a pointer ends at. */
type IgnoreTree = ReadonlyMap<string, IgnoreTree | "all">;

const NOTHING_IGNORED: IgnoreTree = new Map();

/**
 * One text per meaning: members sorted by name, no white space, numbers by value with all their digits, and whatever
 * `ignore` points at left out. Two texts are equal exactly when the values are.
 */
export function writeCanonical(value: JsonValue, ignore: readonly string[] = []): string {
  const tree = treeOf(ignore.map(pointerTokens));
  // An empty pointer is the whole document.
  return tree === "all" ? "" : write(value, tree);
}

function treeOf(pointers: readonly (readonly string[])[]): IgnoreTree | "all" {
  if (pointers.some((tokens) => tokens.length === 0)) return "all";
  const byName = new Map<string, (readonly string[])[]>();
  for (const [first = "", ...rest] of pointers) {
    byName.set(first, [...(byName.get(first) ?? []), rest]);
  }
  return new Map([...byName].map(([name, rests]) => [name, treeOf(rests)]));
}

function write(value: JsonValue, ignore: IgnoreTree): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  if (isNumber(value)) return canonicalNumber(value.literal);
  if (isList(value)) {
    // An ignored element leaves its place, or the list `[t]` would equal the empty one of another request.
    const items = value.map((item, i) => {
      const below = ignore.get(String(i)) ?? NOTHING_IGNORED;
      return below === "all" ? "null" : write(item, below);
    });
    return `[${items.join(",")}]`;
  }
  const members: string[] = [];
  for (const name of [...value.keys()].sort()) {
    const below = ignore.get(name) ?? NOTHING_IGNORED;
    const member = value.get(name);
    if (below === "all" || member === undefined) continue;
    members.push(`${JSON.stringify(name)}:${write(member, below)}`);
  }
  return `{${members.join(",")}}`;
}

const MAX_EXPONENT_DIGITS = 18;

/**
 * `1`, `1.0`, `10e-1` and `0.1E+1` are one value; `1` and `1.0000000000000000001` are two, although a double cannot
 * tell. So the digits are moved, not computed: significant digits without zeros at the ends, and the power of ten.
 */
export function canonicalNumber(literal: string): string {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal);
  if (parts === null) throw new JsonRefused("a number is malformed");
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = parts;
  // Reading a million digits of exponent would cost seconds; no number of this kind means anything to anybody.
  if (exponent.length > MAX_EXPONENT_DIGITS)
    throw new JsonRefused("a number's exponent is too long");
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = digits.slice(0, lengthWithoutZeros(digits));
  if (significant === "") return "0";
  const power =
    BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  return `${sign}${significant}e${power}`;
}

/** A loop, because a pattern for zeros at the end starts anew at each zero before it. */
function lengthWithoutZeros(digits: string): number {
  let length = digits.length;
  while (length > 0 && digits[length - 1] === "0") length -= 1;
  return length;
}
