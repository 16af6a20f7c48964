/** The JSON reader agrees with JSON.parse on what is JSON, and keeps what JSON.parse loses. */
import fc from "fast-check";
import t from "tap";
import { JsonRefused } from "../../src/core/json-ports.ts";
import type { JsonValue } from "../../src/core/json-ports.ts";
import { readJson } from "../../src/http/json.ts";

const read = (text: string) => readJson(Buffer.from(text, "utf8"));

function refusal(bytes: Uint8Array): string {
  try {
    readJson(bytes);
  } catch (error) {
    if (error instanceof JsonRefused) return error.message;
    throw error;
  }
  return "accepted";
}

/** Back to what JSON.parse gives, digits lost. */
function plain(value: JsonValue): unknown {
  if (value instanceof Map) {
    const members = value as ReadonlyMap<string, JsonValue>;
    return Object.fromEntries([...members].map(([name, member]) => [name, plain(member)]));
  }
  if (Array.isArray(value)) return value.map((item: JsonValue) => plain(item));
  if (typeof value === "object" && value !== null && "literal" in value) {
    return Number(value.literal);
  }
  return value;
}

t.test("numbers keep their literal", async (t) => {
  const literals = ["12345678901234567890", "1.10", "-0", "1e400", "0.1E-7"];
  t.same(
    read(`[${literals.join(", ")}]`),
    literals.map((literal) => ({ literal })),
  );
});

t.test("repeated member names are refused, equal values and escapes included", async (t) => {
  const reason = "a member name appears twice in one object";
  for (const text of [
    '{"a":1,"a":2}',
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":1}',
    '[{"b":{"a":{},"a":{}}}]',
    '{"__proto__":1,"__proto__":1}',
  ]) {
    t.equal(refusal(Buffer.from(text)), reason, text);
  }
  t.same(plain(read('{"a":{"a":1},"b":{"a":1}}')), { a: { a: 1 }, b: { a: 1 } });
});

t.test("__proto__ is a member like any other, and touches no prototype", async (t) => {
  const value = read('{"__proto__":{"polluted":true}}');
  t.ok(value instanceof Map && value.has("__proto__"));
  t.equal(({} as Record<string, unknown>)["polluted"], undefined);
});

t.test("depth is bounded, however deep the body", async (t) => {
  const nested = (depth: number) => Buffer.from("[".repeat(depth) + "]".repeat(depth));
  t.equal(refusal(nested(100)), "accepted");
  t.match(refusal(nested(101)), /more than 100 levels/);
  t.match(refusal(nested(1_000_000)), /more than 100 levels/);
  t.match(refusal(Buffer.from('{"a":'.repeat(200_000))), /more than 100 levels/);
});

t.test(
  "invalid UTF-8 and byte order marks are refused, and no reason quotes the text",
  async (t) => {
    t.equal(refusal(Buffer.from([0x22, 0xff, 0x22])), "it is not valid UTF-8");
    t.equal(refusal(Buffer.from([0xef, 0xbb, 0xbf, 0x31])), "it is not well-formed JSON");
    for (const text of [
      "",
      "canary",
      '{"canary":canary}',
      '["canary]',
      '{"canary":1,"canary":1}',
    ]) {
      const reason = refusal(Buffer.from(text));
      t.not(reason, "accepted");
      t.notMatch(reason, /canary/);
    }
  },
);

t.test(
  "property: what JSON.parse accepts is read the same, what it refuses is refused",
  async (t) => {
    const pieces = ["{", "}", "[", "]", ",", ":", '"a"', '"\\u00e9"', "1", "-", "0", ".5", "e9"];
    const soup = fc.array(
      fc.constantFrom(...pieces, "true", "null", " ", "\n", "\t", "\f", "//", '"'),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          soup.map((parts) => parts.join("")),
        ),
        (text) => {
          let expected: unknown;
          let valid = true;
          try {
            expected = JSON.parse(text);
          } catch {
            valid = false;
          }
          const reason = refusal(Buffer.from(text, "utf8"));
          if (!valid) return reason !== "accepted";
          if (reason === "a member name appears twice in one object") return true;
          t.same(plain(read(text)), expected);
          return reason === "accepted";
        },
      ),
      { numRuns: 2000 },
    );
  },
);
