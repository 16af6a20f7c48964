/**
 * Reads JSON bodies for comparison by meaning: numbers stay the digits that were sent, a member name that appears
 * twice is refused, `__proto__` is a name like any other. Compares nothing and writes no JSON.
 *
 * jsonc-parser's visitor drives it, with comments and trailing commas off: it tells of every member and hands over
 * literals by position. Not lossless-json: it lets a repeated member pass when both values are equal, and its depth is
 * bounded by the stack alone.
 */
import { visit } from "jsonc-parser";
import { JsonRefused } from "../core/json-ports.ts";
import type { JsonValue, ReadJson } from "../core/json-ports.ts";

/** RFC 8259 §9 lets a reader limit depth; the recursion below stays far from the end of the stack. */
const MAX_DEPTH = 100;

/** What is being filled: values go to the end of a list, or under the member name read last. */
type Open =
  | { readonly kind: "list"; readonly items: JsonValue[] }
  | { readonly kind: "object"; readonly members: Map<string, JsonValue>; name: string };

/** Strict JSON (RFC 8259) in UTF-8 without a byte order mark; see `ReadJson` in the ports. */
export const readJson: ReadJson = (bytes) => {
  const text = decode(bytes);
  const top: JsonValue[] = [];
  const open: Open[] = [{ kind: "list", items: top }];

  const place = (value: JsonValue): void => {
    const into = open.at(-1);
    if (into?.kind === "object") into.members.set(into.name, value);
    else into?.items.push(value);
  };
  const enter = (next: Open, value: JsonValue): void => {
    if (open.length > MAX_DEPTH) refuse(`it is nested more than ${MAX_DEPTH} levels deep`);
    place(value);
    open.push(next);
  };
  const leave = (): void => void open.pop();

  visit(
    text,
    {
      onObjectBegin: () => {
        const members = new Map<string, JsonValue>();
        enter({ kind: "object", members, name: "" }, members);
      },
      onArrayBegin: () => {
        const items: JsonValue[] = [];
        enter({ kind: "list", items }, items);
      },
      onObjectEnd: leave,
      onArrayEnd: leave,
      onObjectProperty: (name) => {
        const into = open.at(-1);
        if (into?.kind !== "object") return refuse("it is not well-formed JSON");
        // Also when both values are equal: parsers downstream differ in which one they take (RFC 8259 §4).
        if (into.members.has(name)) refuse("a member name appears twice in one object");
        into.name = name;
        // Holds the name's place, so that a third mention is seen while the value is still being read.
        into.members.set(name, null);
      },
      onLiteralValue: (value: unknown, offset, length) => {
        place(literal(value, text.slice(offset, offset + length)));
      },
      onError: () => refuse("it is not well-formed JSON"),
    },
    { disallowComments: true, allowTrailingComma: false, allowEmptyContent: false },
  );
  const [value] = top;
  return value === undefined ? refuse("it is empty") : value;
};

function literal(value: unknown, source: string): JsonValue {
  // The parsed number has lost digits already; the source has not.
  if (typeof value === "number") return { literal: source };
  if (typeof value === "string" || typeof value === "boolean" || value === null) return value;
  return refuse("it is not well-formed JSON");
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return refuse("it is not valid UTF-8");
    throw error;
  }
}

/** The reason is fixed text: it goes into answers and logs, and must quote nothing of the body. */
function refuse(reason: string): never {
  throw new JsonRefused(reason);
}
