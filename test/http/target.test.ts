/** The canonical target: one form for match, fingerprint and wire. */
import fc from "fast-check";
import t from "tap";
import { canonicalTarget, readAbsolute } from "../../src/http/target.ts";

t.test(
  "escapes become upper-case, escaped unreserved characters are decoded, the rest stays",
  async (t) => {
    const cases: [string, string][] = [
      ["/", "/"],
      ["/v1/", "/v1/"],
      ["/a?", "/a?"],
      ["/%7euser/%61%2d%5F?q=%7E%2f%c3%a9", "/~user/a-_?q=~%2F%C3%A9"],
      ["/a%252e%252e/b", "/a%252e%252e/b"],
      ["/a%2fb".replace("%2f", "%2b"), "/a%2Bb"],
      ["/a+b;c=1,(d)!'*:@$&=", "/a+b;c=1,(d)!'*:@$&="],
      ["/a?x=//y/../z\\%00", "/a?x=//y/../z\\%00"],
      ["/...", "/..."],
      ["/a..b/.c", "/a..b/.c"],
      ["*", "*"],
    ];
    for (const [raw, target] of cases) {
      t.match(canonicalTarget(raw), { kind: "ok", target, evasive: undefined }, raw);
    }
    t.match(canonicalTarget("/a?b?c"), { path: "/a", query: "b?c" });
    t.equal((canonicalTarget("/a") as { query?: string }).query, undefined);
  },
);

t.test(
  "paths that upstreams read differently are evasive and kept exactly as received",
  async (t) => {
    for (const raw of [
      "//a",
      "/a//b",
      "/a//",
      "/a/../b",
      "/a/.",
      "/%2e%2E/a",
      "/a/%2e",
      "/..;x/a",
      "/..%3bx",
      "/projects/group%2Fname",
      "/a%5cb",
      "/a\\b",
      "/a%00",
      "/100%",
      "/a?q=100%",
      "/a?q=%%34%31",
    ]) {
      const target = canonicalTarget(raw);
      t.match(target, { kind: "ok", target: raw, evasive: String }, raw);
    }
  },
);

t.test("what is no origin-form of visible ASCII is refused", async (t) => {
  for (const raw of [
    "",
    "a",
    "?a",
    "http://x/",
    "/a b",
    "/\x7f",
    "/\xe9",
    "/a\r\n",
    "/a#b",
    "/\0",
  ]) {
    t.match(canonicalTarget(raw), { kind: "refused", detail: String }, JSON.stringify(raw));
  }
});

t.test(
  "absolute targets: authority without default port, never with user information",
  async (t) => {
    t.same(readAbsolute("HTTP://Example:80/a?b"), { authority: "example", origin: "/a?b" });
    t.same(readAbsolute("https://example:443"), { authority: "example", origin: "/" });
    t.same(readAbsolute("http://example?q"), { authority: "example", origin: "/?q" });
    for (const raw of ["/a", "http://u@example/", "http://u:p@example/", "ftp://x/", "http:///a"]) {
      t.equal(readAbsolute(raw), undefined, raw);
    }
  },
);

t.test("property: canonical of canonical is canonical, and keeps what it means", async (t) => {
  const pieces = [
    "/",
    ".",
    "..",
    "%",
    "%2",
    "%2e",
    "%2F",
    "%41",
    "%7e",
    "%25",
    "%c3",
    "a",
    "3",
    "?",
    ";",
    "\\",
  ];
  const target = fc
    .array(fc.oneof(fc.constantFrom(...pieces), fc.webPath(), fc.string({ maxLength: 3 })))
    .map((parts) => `/${parts.join("")}`);
  let canonical = 0;
  fc.assert(
    fc.property(target, (raw) => {
      const once = canonicalTarget(raw);
      if (once.kind === "refused") return;
      const twice = canonicalTarget(once.target);
      t.same(twice, once);
      if (once.evasive !== undefined) return;
      canonical += 1;
      if (decodeSafely(once.target) !== decodeSafely(raw))
        throw new Error("it means something else");
    }),
    { numRuns: 3000 },
  );
  t.ok(canonical > 100, "the property was put to the test");
});

/** Bytes named by the escapes, undecodable UTF-8 included. */
function decodeSafely(text: string): string {
  return unescape(text);
}
