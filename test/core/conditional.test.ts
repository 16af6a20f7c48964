import t from "tap";
import {
  computeEtag,
  etagOf,
  isNotModified,
  judgeWrite,
  tagsOf,
  type Representation,
} from "../../src/core/conditional.ts";
import type { HeaderPair } from "../../src/core/record.ts";

const ABSENT: Representation = { kind: "absent" };

function present(etag: string): Representation {
  return {
    kind: "present",
    etag,
    computed: false,
    status: 200,
    headers: [],
    body: new Uint8Array(),
  };
}

const match = (value: string): HeaderPair[] => [["If-Match", value]];
const noneMatch = (value: string): HeaderPair[] => [["If-None-Match", value]];

t.test(
  "a computed tag is strong, follows the bytes, the type and the coding, and nothing else",
  async (t) => {
    const json: HeaderPair[] = [["Content-Type", "application/json; charset=utf-8"]];
    const body = Buffer.from('{"state":"ON"}');
    const tag = computeEtag(json, body);
    t.match(tag, /^"[A-Za-z0-9_-]{22}"$/);
    t.equal(
      computeEtag(
        [
          ["content-type", "application/json"],
          ["Date", "now"],
        ],
        body,
      ),
      tag,
    );
    t.not(computeEtag(json, Buffer.from('{"state":"OFF"}')), tag);
    t.not(computeEtag([["Content-Type", "text/plain"]], body), tag);
    t.not(computeEtag([...json, ["Content-Encoding", "gzip"]], body), tag);
  },
);

t.test("lists of tags are read over all lines; anything else is malformed", async (t) => {
  t.equal(tagsOf([], "if-match"), undefined);
  t.same(tagsOf(match(" * "), "if-match"), { kind: "any" });
  t.same(
    tagsOf(
      [
        ["If-Match", '"a", W/"b"'],
        ["if-match", '"c,d"'],
      ],
      "if-match",
    ),
    {
      kind: "tags",
      tags: ['"a"', 'W/"b"', '"c,d"'],
    },
  );
  for (const value of ["", "abc", '"a" "b"', '"a', 'w/"a"', '*, "a"', '"a",,']) {
    t.same(tagsOf(match(value), "if-match"), { kind: "malformed" }, value);
  }
});

t.test("If-Match holds by strong comparison alone (RFC 9110 §13.1.1)", async (t) => {
  t.equal(judgeWrite(match('"a"'), present('"a"')), "holds");
  t.equal(judgeWrite(match('"b", "a"'), present('"a"')), "holds");
  t.equal(judgeWrite(match('"b"'), present('"a"')), "fails");
  t.equal(
    judgeWrite(match('W/"a"'), present('W/"a"')),
    "fails",
    "weak tags never match for writes",
  );
  t.equal(judgeWrite(match('"a"'), present('W/"a"')), "fails");
  t.equal(judgeWrite(match("*"), present('W/"a"')), "holds");
  t.equal(judgeWrite(match("*"), ABSENT), "fails");
  t.equal(judgeWrite(match('"a"'), ABSENT), "fails");
});

t.test("If-None-Match fails by weak comparison (RFC 9110 §13.1.2)", async (t) => {
  t.equal(judgeWrite(noneMatch("*"), ABSENT), "holds");
  t.equal(judgeWrite(noneMatch("*"), present('"a"')), "fails");
  t.equal(judgeWrite(noneMatch('"a"'), present('W/"a"')), "fails");
  t.equal(judgeWrite(noneMatch('"b"'), present('"a"')), "holds");
});

t.test("both must hold; neither is none; one malformed field spoils the request", async (t) => {
  t.equal(judgeWrite([...match('"a"'), ...noneMatch('"b"')], present('"a"')), "holds");
  t.equal(judgeWrite([...match('"a"'), ...noneMatch('"a"')], present('"a"')), "fails");
  t.equal(judgeWrite([], present('"a"')), "none");
  t.equal(judgeWrite([...match('"a"'), ...noneMatch("a")], present('"a"')), "malformed");
});

t.test(
  "a read is not modified by weak comparison; a malformed condition is no condition",
  async (t) => {
    t.equal(isNotModified(noneMatch('"b", W/"a"'), '"a"'), true);
    t.equal(isNotModified(noneMatch("*"), '"a"'), true);
    t.equal(isNotModified(noneMatch('"b"'), '"a"'), false);
    t.equal(isNotModified(noneMatch("a"), '"a"'), false);
    t.equal(isNotModified([], '"a"'), false);
  },
);

t.test("an upstream's own tag is taken as it is", async (t) => {
  t.equal(etagOf([["etag", ' W/"1" ']]), 'W/"1"');
  t.equal(etagOf([]), undefined);
});
