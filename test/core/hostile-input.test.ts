/** What anybody may send must not cost more than its length: each of these once took seconds. */
import t from "tap";
import { canonicalNumber, writeCanonical } from "../../src/core/json.ts";
import { keyFromHeader } from "../../src/core/key.ts";
import type { JsonValue } from "../../src/core/json-ports.ts";

function timed(work: () => void): number {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
}

const BOUND_MS = 500;

t.test("a key of blanks between two letters is refused at once", async (t) => {
  const field = `a${" ".repeat(15_000)}b`;
  const ms = timed(() => {
    for (let n = 0; n < 50; n += 1) {
      t.match(keyFromHeader([["Idempotency-Key", field]], "Idempotency-Key", "any"), {
        kind: "invalid",
      });
    }
  });
  t.ok(ms < BOUND_MS, `${ms} ms`);
});

t.test("a number of many zeros is compared in the time of its length", async (t) => {
  const literal = `1${"0".repeat(500_000)}1`;
  const ms = timed(() => t.equal(canonicalNumber(literal), `${literal}e0`));
  t.ok(ms < BOUND_MS, `${ms} ms`);
  t.equal(canonicalNumber(`1${"0".repeat(500_000)}`), "1e500000");
});

t.test("many members far down cost no more for where they stand", async (t) => {
  let value: JsonValue = new Map(Array.from({ length: 50_000 }, (_, n) => [`m${n}`, null]));
  for (let depth = 0; depth < 90; depth += 1) value = new Map([["n".repeat(4000), value]]);
  const ms = timed(() => t.ok(writeCanonical(value, ["/x/y"]).length > 50_000));
  t.ok(ms < BOUND_MS, `${ms} ms`);
});
