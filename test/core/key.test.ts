/** Which spellings are a key, which name the same one, and which are refused; no refusal quotes what was sent. */
import t from "tap";
import { keyFromBody, keyFromHeader, keyFromPath, keyFromQuery } from "../../src/core/key.ts";
import type { KeyRead } from "../../src/core/key.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import { readJson } from "../../src/http/json.ts";

const NAME = "Idempotency-Key";

const header = (value: string): KeyRead => keyFromHeader([[NAME, value]], NAME, "any");
const uuid = (value: string): KeyRead => keyFromHeader([[NAME, value]], NAME, "uuid");
const query = (text: string, name = "key"): KeyRead => keyFromQuery(text, name, "any");
const body = (text: string, ...pointers: string[]): KeyRead =>
  keyFromBody(readJson(Buffer.from(text)), pointers, "any");

function keyOf(read: KeyRead): string {
  return read.kind === "key" ? read.key : `<${read.kind}>`;
}

function detailOf(read: KeyRead): string {
  return read.kind === "invalid" ? read.detail : `<${read.kind}>`;
}

t.test("a bare key and the RFC 9651 String of it are the same key", async (t) => {
  const spellings: readonly (readonly [string, string])[] = [
    ["abc", "abc"],
    ['"abc"', "abc"],
    ["  abc\t", "abc"],
    [' "abc" ', "abc"],
    ['"a\\"b"', 'a"b'],
    ['a"b', 'a"b'],
    ['"a\\\\b"', "a\\b"],
    ["a\\b", "a\\b"],
    ['"a,b;c=d"', "a,b;c=d"],
    ["!~", "!~"],
    ['"\\\\\\""', '\\"'],
    [":YWJj:", ":YWJj:"],
  ];
  for (const [sent, key] of spellings) t.same(header(sent), { kind: "key", key }, sent);
});

t.test("keys are compared with their case, and 8e03 is not 8000", async (t) => {
  const keys = ["abc", "ABC", "8e03", "8000", "8000.0", "?1", "1"].map((sent) =>
    keyOf(header(sent)),
  );
  t.equal(new Set(keys).size, keys.length);
});

t.test("what is not one key is refused with the reason", async (t) => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ["", /is empty/],
    ["  ", /is empty/],
    ['""', /is empty/],
    ['"abc', /opens a quoted string/],
    ['"', /opens a quoted string/],
    ['"abc\\"', /opens a quoted string/],
    ['"a\\bc"', /escape only/],
    ['"abc"d', /opens a quoted string/],
    ['"abc";v=1', /no parameters/],
    ['"abc"; v', /no parameters/],
    ['"a", "b"', /opens a quoted string/],
    ["abc;v=1", /a comma or a semicolon/],
    ["a,b", /a comma or a semicolon/],
    ["a, b", /a comma or a semicolon/],
    ["a b", /visible ASCII/],
    ['"a b"', /visible ASCII/],
    ["a\tb", /visible ASCII/],
    ["caf\u00e9", /visible ASCII/],
    ["\u00c3\u00a9", /visible ASCII/],
    ["a\u0000b", /visible ASCII/],
    ["a\u007fb", /visible ASCII/],
    ["a\r\nb", /visible ASCII/],
    ["a\n", /visible ASCII/],
    ['"abc"\n', /opens a quoted string/],
  ];
  for (const [sent, reason] of refused) t.match(detailOf(header(sent)), reason, sent);
});

t.test("255 characters are a key, 256 are not, counted after unquoting", async (t) => {
  const longest = "k".repeat(255);
  t.equal(keyOf(header(longest)), longest);
  t.equal(keyOf(header(`"${longest}"`)), longest);
  t.equal(keyOf(header(`"${'\\"'.repeat(255)}"`)), '"'.repeat(255));
  t.match(detailOf(header(`${longest}k`)), /has 256 characters/);
  t.match(detailOf(header(`"${longest}k"`)), /has 256 characters/);
});

function named(...names: string[]): HeaderPair[] {
  return names.map((name) => [name, "abc"]);
}

t.test("no header is absent, two are refused even when they agree", async (t) => {
  t.equal(keyFromHeader(named("Other"), NAME, "any").kind, "absent");
  t.equal(keyFromHeader(named("idempotency-KEY"), NAME, "any").kind, "key");
  t.match(detailOf(keyFromHeader(named(NAME, "idempotency-key"), NAME, "any")), /header once/);
});

t.test("format uuid takes UUIDs in any case as one key, and nothing else", async (t) => {
  const lower = "123e4567-e89b-12d3-a456-426614174000";
  t.equal(keyOf(uuid(lower)), lower);
  t.equal(keyOf(uuid(lower.toUpperCase())), lower);
  t.equal(keyOf(uuid(`"${lower}"`)), lower);
  for (const sent of [
    "abc",
    `{${lower}}`,
    `urn:uuid:${lower}`,
    lower.replaceAll("-", ""),
    `${lower}0`,
  ]) {
    t.match(detailOf(uuid(sent)), /must be a UUID/);
  }
});

t.test("a refusal quotes nothing of what was sent", async (t) => {
  const canary = "canary";
  const reads = [
    ...[`"${canary}`, `${canary},`, `${canary} ${canary}`, `"${canary}"x`, canary.repeat(50)].map(
      header,
    ),
    uuid(canary),
    query(`key=${canary}&key=${canary}`),
    query(`key=${canary.repeat(50)}`),
    keyFromPath(new Map([["id", canary]]), "id", "uuid"),
    body(`{"id":{"${canary}":1}}`, "/id"),
    body(`{"id":"${canary.repeat(50)}"}`, "/id"),
  ];
  for (const read of reads) {
    t.equal(read.kind, "invalid");
    t.notMatch(detailOf(read), canary);
  }
});

t.test(
  "query: the value stays percent-encoded, the name is found however it is written",
  async (t) => {
    t.equal(keyOf(query("a=1&key=x%20y&b=2")), "x%20y");
    t.equal(keyOf(query("%6Bey=abc")), "abc");
    t.equal(keyOf(query("key=a=b")), "a=b");
    t.equal(keyOf(query("key=a+b")), "a+b");
    t.equal(keyOf(query("idempotency%20key=7", "idempotency key")), "7");
    for (const text of ["", "a=1", "Key=abc", "keys=abc", "%FF=abc", "%=abc"]) {
      t.equal(query(text).kind, "absent", text);
    }
  },
);

t.test("query: empty is refused, and so is a name that comes twice in any spelling", async (t) => {
  for (const text of ["key", "key=", "a=1&key"]) t.match(detailOf(query(text)), /is empty/, text);
  for (const text of ["key=a&key=a", "key=a&%6bey=b", "key=a&key"]) {
    t.match(detailOf(query(text)), /key once/, text);
  }
});

t.test("path: the parameter's value is the key", async (t) => {
  const parameters = new Map([["id", "7%20b"]]);
  t.equal(keyOf(keyFromPath(parameters, "id", "any")), "7%20b");
  t.equal(keyFromPath(parameters, "other", "any").kind, "absent");
});

t.test(
  "body: members together are one key; spelling and order of the body do not matter",
  async (t) => {
    const one = keyOf(body('{"date":"2026-01-02","slot":7}', "/date", "/slot"));
    t.equal(
      one,
      keyOf(body('{ "slot": 7.0, "x": 1, "date": "2026\\u002d01-02" }', "/date", "/slot")),
    );
    const others = [
      body('{"date":"2026-01-02","slot":8}', "/date", "/slot"),
      body('{"date":"2026-01-02","slot":"7"}', "/date", "/slot"),
      body('{"date":"2026-01-02,7","slot":""}', "/date", "/slot"),
      body('{"date":"2026-01-02\\",7","slot":7}', "/date", "/slot"),
      body('{"date":"2026-01-02","slot":7}', "/slot", "/date"),
      body('{"date":"2026-01-02","slot":7}', "/date"),
      body('{"date":"2026-01-02","slot":true}', "/date", "/slot"),
    ].map(keyOf);
    t.equal(new Set([one, ...others]).size, others.length + 1);
  },
);

t.test("body: pointers reach into objects and lists, with escapes", async (t) => {
  const text = '{"a":{"b":[{"c":"deep"}]},"x/y":"slash","m~n":"tilde","":"none","~1":"both"}';
  const key = (pointer: string): string => keyOf(body(text, pointer));
  t.equal(key("/a/b/0/c"), '["deep"]');
  t.equal(key("/x~1y"), '["slash"]');
  t.equal(key("/m~0n"), '["tilde"]');
  t.equal(key("/"), '["none"]');
  t.equal(key("/~01"), '["both"]');
  for (const pointer of [
    "/a/b/1/c",
    "/a/b/00/c",
    "/a/b/-/c",
    "/a/b/length",
    "/a/c",
    "/__proto__",
    "/constructor",
  ]) {
    t.equal(key(pointer), "<absent>", pointer);
  }
});

t.test("body: a missing or null member is no key, an object or list is refused", async (t) => {
  t.equal(body('{"date":"x"}', "/date", "/slot").kind, "absent");
  t.equal(body('{"date":"x","slot":null}', "/date", "/slot").kind, "absent");
  t.equal(body("[]", "/date").kind, "absent");
  t.equal(body('"date"', "/date").kind, "absent");
  t.match(detailOf(body('{"date":{}}', "/date")), /must be a string, a number or a boolean/);
  t.match(detailOf(body('{"date":[1]}', "/date")), /must be a string, a number or a boolean/);
  t.match(detailOf(body('{"date":{"literal":"1"}}', "/date")), /must be a string/);
});

t.test("body: an empty string alone is an empty key, and refused like one", async (t) => {
  t.match(detailOf(body('{"id":""}', "/id")), /is empty/);
  t.equal(body('{"id":"","n":1}', "/id", "/n").kind, "key");
});

t.test(
  "body: whatever the letters, the key is visible ASCII, and different texts stay different",
  async (t) => {
    const texts = [
      "caf\u00e9",
      "cafe\u0301",
      "caf\\u00e9",
      "caf\\\\u00e9",
      "a b",
      "a\\u0000b",
      "\u{1f600}",
      "\\ud800",
      "\ufffd",
    ];
    const keys = texts.map((text) => keyOf(body(`{"id":"${text}"}`, "/id")));
    for (const key of keys) t.match(key, /^[\x21-\x7e]+$/);
    t.equal(keys[0], keys[2], "an escape is a spelling of the same letter");
    t.equal(new Set(keys).size, texts.length - 1);
  },
);

t.test("body: format uuid looks into the string", async (t) => {
  const value = "123E4567-e89b-12d3-a456-426614174000";
  const json = readJson(Buffer.from(`{"id":"${value}","n":7}`));
  t.equal(keyOf(keyFromBody(json, ["/id"], "uuid")), value.toLowerCase());
  t.match(detailOf(keyFromBody(json, ["/n"], "uuid")), /must be a UUID/);
});
