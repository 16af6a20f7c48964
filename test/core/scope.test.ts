/** Whoever is another caller gets another record: scope and record id as properties over hostile names and values. */
import * as fc from "fast-check";
import t from "tap";
import { Digest } from "../../src/core/digest.ts";
import { recordId, scopeOf, shadowId } from "../../src/core/key.ts";
import type { KeySource } from "../../src/core/policy.ts";
import type { HeaderPair } from "../../src/core/record.ts";

const SCOPE = ["authorization", "x-api-key"];
const HEADER: KeySource = { from: "header", name: "Idempotency-Key" };
const PATH: KeySource = { from: "path", name: "id" };

const idOf = (headers: readonly HeaderPair[], key: string): string =>
  recordId(scopeOf(headers, SCOPE), HEADER, "charges", key);

/** Pieces that a sloppy concatenation would trip over: separators, length prefixes, cases, look-alikes, NUL. */
const TRICKS = [
  "", "a", "A", "b", ":", ";", "-;", "1:", "1:a", "13:authorization", "9:x-api-key", "\0", "\n",
  ",", ", ", " ", "|", "/", "\u00e9", "e\u0301", "\u00c3\u00a9", "\u212a", "k", "K", "\u017f", "s",
  "\u{1f600}", "\uff21", "undefined", "null", "authorization", "Authorization", "x-api-key",
]; // prettier-ignore

const value = fc
  .array(fc.oneof(fc.constantFrom(...TRICKS), fc.string({ unit: "binary", maxLength: 4 })), {
    maxLength: 3,
  })
  .map((parts) => parts.join(""));

/** A caller: any number of values for each of the headers that name it. */
const caller = fc.record({
  authorization: fc.array(value, { maxLength: 2 }),
  "x-api-key": fc.array(value, { maxLength: 2 }),
});
type Caller = typeof caller extends fc.Arbitrary<infer C> ? C : never;

function headersOf(who: Caller): HeaderPair[] {
  return Object.entries(who).flatMap(([name, values]) =>
    values.map((one): HeaderPair => [name, one]),
  );
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

t.test(
  "property: two callers share a record id only if they are one caller with one key",
  async (t) => {
    fc.assert(
      fc.property(caller, caller, value, value, (one, other, key, otherKey) => {
        const ids = [idOf(headersOf(one), key), idOf(headersOf(other), key)];
        if ((ids[0] === ids[1]) !== same(one, other)) return false;
        const keyed = idOf(headersOf(one), otherKey);
        return (ids[0] === keyed) === (key === otherKey);
      }),
      { numRuns: 20_000 },
    );
    t.pass("20,000 pairs of callers, 20,000 pairs of keys");
  },
);

t.test("100,000 pairs of trick values: every (caller, key) has an id of its own", async (t) => {
  const ids = new Set<string>();
  const inputs = new Set<string>();
  let pairs = 0;
  for (const credential of TRICKS) {
    for (const second of [undefined, ...TRICKS]) {
      const headers: HeaderPair[] = [["authorization", credential]];
      if (second !== undefined) headers.push(["x-api-key", second]);
      const scope = scopeOf(headers, SCOPE);
      for (const tail of TRICKS) {
        for (const key of [tail, `${tail}${credential}`, `${credential}${tail}`]) {
          pairs += 1;
          ids.add(recordId(scope, HEADER, "charges", key));
          inputs.add(JSON.stringify([headers, key]));
        }
      }
    }
  }
  t.ok(pairs > 100_000, `${pairs} pairs`);
  t.equal(ids.size, inputs.size);
});

t.test("a missing credential, an empty one and one sent twice are three callers", async (t) => {
  const callers: HeaderPair[][] = [
    [],
    [["Authorization", ""]],
    [["Authorization", ""], ["Authorization", ""]],
    [["Authorization", "a, b"]],
    [["Authorization", "a"], ["Authorization", "b"]],
    [["Authorization", "b"], ["Authorization", "a"]],
    [["X-Api-Key", ""]],
    [["Authorization", "a"], ["X-Api-Key", "b"]],
    [["Authorization", "b"], ["X-Api-Key", "a"]],
  ]; // prettier-ignore
  t.equal(new Set(callers.map((headers) => idOf(headers, "k"))).size, callers.length);
});

t.test(
  "the header's name is compared without case, other headers do not name the caller",
  async (t) => {
    const plain = idOf([["authorization", "Bearer x"]], "k");
    t.equal(idOf([["AUTHORIZATION", "Bearer x"]], "k"), plain);
    t.equal(idOf([["Cookie", "y"], ["Authorization", "Bearer x"]], "k"), plain); // prettier-ignore
    t.not(idOf([["authorization", "bearer x"]], "k"), plain);
  },
);

t.test("routes that name callers by other headers do not share records", async (t) => {
  const headers: HeaderPair[] = [["Authorization", "a"], ["X-Api-Key", "b"]]; // prettier-ignore
  const scopes = [[], ["authorization"], ["x-api-key"], SCOPE, [...SCOPE].toReversed()];
  t.equal(new Set(scopes.map((names) => scopeOf(headers, names))).size, scopes.length);
});

t.test(
  "a key from the path belongs to its route, one from the header to the caller alone",
  async (t) => {
    t.not(recordId("s", PATH, "things", "7"), recordId("s", PATH, "lamps", "7"));
    t.equal(recordId("s", HEADER, "things", "7"), recordId("s", HEADER, "lamps", "7"));
    t.not(recordId("s", HEADER, "things", "7"), recordId("s", PATH, "things", "7"));
    t.not(recordId("s", HEADER, "", "76:things"), recordId("s", PATH, "things", "7"));
  },
);

t.test("what shadow observes is never what an enforcing route reads", async (t) => {
  const id = idOf([], "k");
  t.match(shadowId(id), /^[0-9a-f]{64}$/);
  t.not(shadowId(id), id);
  t.not(shadowId(idOf([], "other")), shadowId(id));
});

function digestOf(parts: readonly (string | undefined)[]): string {
  const digest = new Digest();
  for (const one of parts) digest.add(one);
  return digest.end();
}

t.test("property: a list of parts has one digest, however the bytes are cut", async (t) => {
  const part = fc.option(value, { nil: undefined });
  fc.assert(
    fc.property(fc.array(part), fc.array(part), (one, other) => {
      const equal = one.length === other.length && one.every((item, at) => item === other[at]);
      return (digestOf(one) === digestOf(other)) === equal;
    }),
    { numRuns: 5000 },
  );
  const bytes = new Digest();
  bytes.add(Buffer.from("caf\u00e9"));
  t.equal(bytes.end(), digestOf(["caf\u00e9"]), "text and its UTF-8 bytes are one part");
});
