/** What is part of an operation and what a retry may change. */
import t from "tap";
import { fingerprintOf, isJson, mediaType } from "../../src/core/fingerprint.ts";
import type { FingerprintInput } from "../../src/core/fingerprint.ts";
import type { FingerprintPolicy } from "../../src/core/policy.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import { readJson } from "../../src/http/json.ts";

const RAW: FingerprintPolicy = { body: "raw", headers: [], ignore: [] };
const JSON_HEADER: HeaderPair = ["Content-Type", "application/json"];

function raw(
  changes: Partial<FingerprintInput> & { text?: string } = {},
  policy: Partial<FingerprintPolicy> = {},
): string {
  const { text = "a=1", ...rest } = changes;
  const input = { method: "POST", target: "/v1/charges?x=1", headers: [JSON_HEADER] };
  return fingerprintOf(
    { ...input, body: Buffer.from(text), json: undefined, ...rest },
    { ...RAW, ...policy },
  );
}

function byMeaning(text: string, ignore: readonly string[] = []): string {
  return raw({ text, json: readJson(Buffer.from(text)) }, { body: "json", ignore });
}

t.test("method, path, query, media type and body bytes are each part of it", async (t) => {
  const prints = [
    raw(),
    raw({ method: "PUT" }),
    raw({ target: "/v1/charges" }),
    raw({ target: "/v1/charges?x=2" }),
    raw({ target: "/v1/charge?x=1" }),
    raw({ headers: [["Content-Type", "text/plain"]] }),
    raw({ headers: [] }),
    raw({ headers: [["Content-Type", ""]] }),
    raw({ text: "a=2" }),
    raw({ text: "a=1\n" }),
    raw({ text: "" }),
  ];
  t.equal(new Set(prints).size, prints.length);
  for (const print of prints) t.match(print, /^[0-9a-f]{64}$/);
});

t.test("parts cannot slide into one another", async (t) => {
  const prints = [
    raw({ method: "POST", target: "/a" }),
    raw({ method: "POST/", target: "a" }),
    raw({ headers: [["Content-Type", "a"]], text: "b" }),
    raw({ headers: [["Content-Type", "ab"]], text: "" }),
  ];
  t.equal(new Set(prints).size, prints.length);
});

t.test("the media type counts without its parameters and case, other headers do not", async (t) => {
  const alike: HeaderPair[][] = [
    [["content-type", "Application/JSON; charset=utf-8"]],
    [JSON_HEADER, ["User-Agent", "retry/2"], ["Date", "now"]],
    [["Content-Type", " application/json ;a=b;c=d"]],
  ];
  for (const headers of alike) t.equal(raw({ headers }), raw());
});

t.test("chosen headers count: their values, their number, their order", async (t) => {
  const versions = (...values: string[]): string =>
    raw(
      { headers: [JSON_HEADER, ...values.map((value): HeaderPair => ["X-Version", value])] },
      { headers: ["x-version"] },
    );
  const prints = [
    versions(),
    versions(""),
    versions("1"),
    versions("2"),
    versions("1", "2"),
    versions("2", "1"),
    versions("1, 2"),
  ];
  t.equal(new Set(prints).size, prints.length);
  t.not(versions(), raw(), "and so does which headers were chosen");
  const two = (headers: HeaderPair[]): string => raw({ headers }, { headers: ["a", "b"] });
  t.not(two([["a", "1"]]), two([["b", "1"]]));
});

t.test("JSON is compared by meaning, without what is ignored", async (t) => {
  const print = byMeaning('{"a":1,"b":2}');
  t.equal(byMeaning('{ "b": 2.0, "a": 1 }'), print);
  t.not(byMeaning('{"a":1,"b":"2"}'), print);
  t.not(byMeaning('{"a":1,"b":2,"sent":"12:00"}'), print);
  t.equal(byMeaning('{"a":1,"b":2,"sent":"12:00"}', ["/sent"]), print);
});

t.test("bytes that spell a canonical text are not the JSON of that meaning", async (t) => {
  const canonical = '{"a":1e0}';
  t.not(raw({ text: canonical }), byMeaning('{"a":1}'));
  t.not(raw({ text: "1e0" }), byMeaning("1"));
});

t.test("JSON is application/json and whatever ends in +json", async (t) => {
  for (const type of ["application/json", "application/merge-patch+json", "text/x+json"]) {
    t.ok(isJson(type), type);
  }
  for (const type of ["text/json", "application/jsonp", "application/json+xml", "json", ""]) {
    t.notOk(isJson(type), type);
  }
  t.notOk(isJson(undefined));
  t.equal(mediaType([]), undefined);
  t.equal(
    mediaType([["CONTENT-TYPE", "Application/Problem+JSON;q=1"]]),
    "application/problem+json",
  );
});
