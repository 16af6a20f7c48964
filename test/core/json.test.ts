/** JSON by meaning: equal texts exactly for equal values, judged by oracles that compute instead of moving digits. */
import * as fc from "fast-check";
import t from "tap";
import { canonicalNumber, pointTo, writeCanonical } from "../../src/core/json.ts";
import { JsonRefused } from "../../src/core/json-ports.ts";
import type { JsonValue } from "../../src/core/json-ports.ts";
import { readJson } from "../../src/http/json.ts";

const read = (text: string): JsonValue => readJson(Buffer.from(text));
const canonical = (text: string, ...ignore: string[]): string => writeCanonical(read(text), ignore);

/** A literal as an exact fraction, in lowest terms: the oracle. */
function fraction(literal: string): string {
  const [mantissa = "", exponent = "0"] = literal.toLowerCase().split("e");
  const [whole = "", decimals = ""] = mantissa.split(".");
  let numerator = BigInt(whole.replace("-", "") + decimals);
  let denominator = 10n ** BigInt(decimals.length);
  const power = BigInt(exponent);
  if (power >= 0n) numerator *= 10n ** power;
  else denominator *= 10n ** -power;
  let [a, b] = [numerator, denominator];
  while (b !== 0n) [a, b] = [b, a % b];
  const sign = mantissa.startsWith("-") && numerator !== 0n ? "-" : "";
  return `${sign}${numerator / a}/${denominator / a}`;
}

/** The same value with the point moved: more zeros, another exponent. */
function respelt(literal: string, shift: number): string {
  const [mantissa = "", exponent = "0"] = literal.toLowerCase().split("e");
  const [whole = "", decimals = ""] = mantissa.split(".");
  const power = BigInt(exponent) - BigInt(decimals.length) - BigInt(shift);
  return `${whole}${decimals}${"0".repeat(shift)}.0E${power}`;
}

const digits = fc.string({ unit: fc.constantFrom("0", "1", "9"), minLength: 1, maxLength: 6 });
const number = fc
  .tuple(
    fc.constantFrom("", "-"),
    digits.map((text) => text.replace(/^0+(?=.)/, "")),
    fc.option(digits, { nil: undefined }),
    fc.option(fc.tuple(fc.constantFrom("e", "E", "e+", "e-", "E-0"), fc.nat(12)), {
      nil: undefined,
    }),
  )
  .map(([sign, whole, decimals, exponent]) =>
    [sign, whole, decimals === undefined ? "" : `.${decimals}`, exponent?.join("") ?? ""].join(""),
  );

t.test("property: two number literals are equal exactly when their values are", async (t) => {
  fc.assert(
    fc.property(number, number, fc.nat(9), (one, other, shift) => {
      const same = fraction(one) === fraction(other);
      if ((canonicalNumber(one) === canonicalNumber(other)) !== same) return false;
      const shifted = respelt(one, shift);
      return (
        fraction(one) === fraction(shifted) && canonicalNumber(one) === canonicalNumber(shifted)
      );
    }),
    { numRuns: 20_000 },
  );
  t.pass("20,000 pairs");
});

t.test("numbers keep every digit that a double would lose", async (t) => {
  const distinct = ["1", "1.0000000000000000001", "9007199254740993", "9007199254740992", "1e400", "1e401", "0.1", "1e-400", "-1"]; // prettier-ignore
  t.equal(new Set(distinct.map(canonicalNumber)).size, distinct.length);
  const one = ["1", "1.0", "1.000", "10e-1", "0.1E+1", "100e-2", "0.0001e4", "1E0", "1e+00"];
  t.equal(new Set(one.map(canonicalNumber)).size, 1);
  const zero = ["0", "-0", "0.0", "0e5", "-0.000E-99", "0e99999999999999"];
  t.same(new Set(zero.map(canonicalNumber)), new Set(["0"]));
});

t.test(
  "an exponent that would take seconds to compute with costs nothing, an absurd one is refused",
  async (t) => {
    t.equal(canonicalNumber("1e99999999999999999"), "1e99999999999999999");
    t.throws(() => canonicalNumber("1e9999999999999999999"), JsonRefused);
    t.throws(() => canonicalNumber("0x10"), JsonRefused);
    t.throws(() => canonicalNumber("1e"), JsonRefused);
  },
);

t.test("member order, white space and escapes do not matter", async (t) => {
  const one = canonical('{"a":1,"b":[true,null,{"c":"x/\\u00e9"}]}');
  t.equal(canonical('\n{ "b" : [ true , null , { "\\u0063":"x\\/\u00e9" } ], "a": 1.0 }'), one);
  t.not(canonical('{"a":1,"b":[null,true,{"c":"x/\\u00e9"}]}'), one, "the order of a list does");
});

/** A value, its canonical meaning as a plain tree, and two ways to write it. */
const tree = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom(null, true, false, 0, 1, -1, 0.5, 100, "", "a", "1", "null", "__proto__"),
    fc.string({ unit: "binary", maxLength: 3 }),
    fc.array(tie("node"), { maxLength: 3 }),
    fc
      .uniqueArray(
        fc.tuple(
          fc.constantFrom("a", "b", "__proto__", "constructor", "", "/", "~", "\u00e9"),
          tie("node"),
        ),
        { maxLength: 3, selector: ([name]) => name },
      )
      .map((entries) => new Map(entries)),
  ),
})).node;

/** Sorted members: equal strings exactly for equal meanings. JSON.stringify of a list of pairs needs no escapes of ours. */
function meaning(node: unknown): unknown {
  if (node instanceof Map) {
    const pairs = [...(node as Map<string, unknown>)].map(([name, item]) => [name, meaning(item)]);
    return { members: pairs.toSorted((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)) };
  }
  return Array.isArray(node) ? node.map(meaning) : node;
}

function spell(node: unknown, backwards: boolean): string {
  const gap = backwards ? " \n" : "";
  if (node instanceof Map) {
    const pairs = [...(node as Map<string, unknown>)].map(
      ([name, item]) => `${JSON.stringify(name)}${gap}:${spell(item, backwards)}`,
    );
    return `{${gap}${(backwards ? pairs.toReversed() : pairs).join(`,${gap}`)}}`;
  }
  if (Array.isArray(node)) return `[${gap}${node.map((item) => spell(item, backwards)).join(",")}]`;
  if (typeof node === "number" && backwards) return `${(node * 10).toFixed(1)}e-1`;
  return JSON.stringify(node);
}

t.test(
  "property: texts are equal exactly when the values are, however they are written",
  async (t) => {
    fc.assert(
      fc.property(tree, tree, (one, other) => {
        const text = canonical(spell(one, false));
        if (text !== canonical(spell(one, true))) return false;
        const equal = JSON.stringify(meaning(one)) === JSON.stringify(meaning(other));
        return (text === canonical(spell(other, true))) === equal;
      }),
      { numRuns: 10_000 },
    );
    t.pass("10,000 pairs");
  },
);

t.test("__proto__ is a member like any other", async (t) => {
  t.not(canonical('{"__proto__":1}'), canonical("{}"));
  t.not(canonical('{"__proto__":1}'), canonical('{"__proto__":2}'));
  t.equal(canonical('{"__proto__":1,"a":2}', "/__proto__"), canonical('{"a":2}'));
  t.same(pointTo(read('{"__proto__":{"x":"y"}}'), "/__proto__/x"), "y");
  t.equal(pointTo(read("{}"), "/__proto__"), undefined);
});

t.test("ignored members are left out, wherever they are, and nothing else is", async (t) => {
  const text = '{"id":1,"sent":"12:00","nested":{"sent":"12:00","x":[{"sent":1},{"sent":2}]}}';
  t.equal(canonical(text, "/sent"), canonical(text.replace('"sent":"12:00",', "")));
  t.equal(canonical(text.replace("12:00", "12:01"), "/sent"), canonical(text, "/sent"));
  t.not(canonical(text.replace('{"sent":1}', '{"sent":3}'), "/sent"), canonical(text, "/sent"));
  t.equal(
    canonical(text.replace('{"sent":1}', '{"sent":3}'), "/nested/x/0/sent"),
    canonical(text, "/nested/x/0/sent"),
  );
  t.equal(canonical(text, "/absent", "/id/deeper", "/nested/x/7"), canonical(text));
});

t.test("an ignored element of a list keeps its place", async (t) => {
  t.equal(canonical('["t1",2]', "/0"), canonical('["t2",2]', "/0"));
  t.not(canonical('["t1",2]', "/0"), canonical("[2]", "/0"));
  t.not(canonical('["t1"]', "/0"), canonical("[]", "/0"));
});

t.test("pointers to ignore are read with their escapes", async (t) => {
  const text = '{"a/b":1,"m~n":2,"~1":3,"":4}';
  t.equal(canonical(text, "/a~1b"), canonical('{"m~n":2,"~1":3,"":4}'));
  t.equal(canonical(text, "/m~0n"), canonical('{"a/b":1,"~1":3,"":4}'));
  t.equal(canonical(text, "/~01"), canonical('{"a/b":1,"m~n":2,"":4}'));
  t.equal(canonical(text, "/"), canonical('{"a/b":1,"m~n":2,"~1":3}'));
});
