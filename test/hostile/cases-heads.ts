/**
 * Cases about request lines, field lines, targets and connections. The marks in the bytes are explained in
 * `cases-framing.ts`.
 */
import { forwarded, refused, START, type Case, type Expected } from "./case.ts";

const BODY = "Content-Length: 5\r\n\r\nabcde";
const ABCDE: Expected = { framing: "length", body: "abcde" };
const HOST = "Host: gateway.test\r\n";
const many = (count: number) => Array.from({ length: count }, (_, at) => `X-${at}: 1\r\n`).join("");
/** A request of which everything is right but the field lines given here. */
const withFields = (lines: string): string => `${START}${lines}${BODY}`;
const withTarget = (target: string): string => `<M> ${target} HTTP/1.1\r\n${HOST}<K>${BODY}`;
const own = { ownKey: true } as const;

const LINES: readonly Case[] = [
  refused("HTTP/2.0 on the wire", 505, `<M> <P> HTTP/2.0\r\n${HOST}<K>${BODY}`),
  refused("HTTP/1.2", 400, `<M> <P> HTTP/1.2\r\n${HOST}<K>${BODY}`),
  refused("HTTP/0.9", 505, `<M> <P> HTTP/0.9\r\n${HOST}<K>${BODY}`),
  refused("HTTP/1.10", 400, `<M> <P> HTTP/1.10\r\n${HOST}<K>${BODY}`),
  refused("http/1.1", 400, `<M> <P> http/1.1\r\n${HOST}<K>${BODY}`),
  refused("no version", 505, `<M> <P>\r\n${HOST}<K>${BODY}`),
  refused("HTTP/2 preface", 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {
    ownMethod: true,
    ownKey: true,
  }),
  refused("TLS hello", 400, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", {
    ownMethod: true,
    ownKey: true,
  }),
  refused("lower-case method", 400, `post <P> HTTP/1.1\r\n${HOST}<K>${BODY}`, { ownMethod: true }),
  refused("unknown method", 400, `PSOT <P> HTTP/1.1\r\n${HOST}<K>${BODY}`, { ownMethod: true }),
  refused("CONNECT", 400, `CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n<K>\r\n`, {
    ownMethod: true,
  }),
  refused(
    "CONNECT with a body",
    400,
    `CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n<K>${BODY}`,
    { ownMethod: true },
  ),
  refused("bare LF ends the request line", 400, `<M> <P> HTTP/1.1\n${HOST}<K>${BODY}`),
  refused(
    "bare LF throughout",
    400,
    "<M> <P> HTTP/1.1\nHost: gateway.test\nContent-Length: 5\n\nabcde",
  ),
  refused("bare CR ends the request line", 400, `<M> <P> HTTP/1.1\r${HOST}<K>${BODY}`),
  refused("tab in the request line", 400, `<M>\t<P>\tHTTP/1.1\r\n${HOST}<K>${BODY}`),
  refused("space before the first field", 400, `<M> <P> HTTP/1.1\r\n ${HOST}<K>${BODY}`),
  refused("obs-fold", 400, withFields("X-A: 1\r\n 2\r\n")),
  refused("obs-fold of a request line", 400, withFields("X-A: 1\r\n GET /smuggled HTTP/1.1\r\n")),
  refused("bare LF ends a field", 400, withFields("X-A: 1\n")),
  refused("bare CR in a value", 400, withFields("X-A: 1\rX-B: 2\r\n")),
  refused("NUL in a value", 400, withFields("X-A: 1\x002\r\n")),
  refused("NUL in a name", 400, withFields("X\0A: 1\r\n")),
  refused("space in a name", 400, withFields("X A: 1\r\n")),
  refused("space before the colon", 400, withFields("X-A : 1\r\n")),
  refused("empty name", 400, withFields(": 1\r\n")),
  refused("no colon", 400, withFields("X-A\r\n")),
  refused("a request as a field line", 400, withFields("GET /smuggled HTTP/1.1\r\n")),
  refused("101 fields", 431, `<M> <P> HTTP/1.1\r\n${HOST}<K>${many(100)}${BODY}`),
  refused(
    "1,500 fields, the length last",
    431,
    `<M> <P> HTTP/1.1\r\n${HOST}<K>${many(1500)}${BODY}`,
  ),
  refused("17 KB in one field", 431, withFields(`X-A: ${"a".repeat(17_000)}\r\n`)),
  forwarded("80 fields", withFields(many(80)), { ...ABCDE, fields: [["X-79", "1"]] }),
  forwarded("bytes beyond ASCII in a value", withFields("X-A: \xe4\xff\r\n"), {
    ...ABCDE,
    fields: [["X-A", "\xe4\xff"]],
  }),
  forwarded("__proto__", withFields("__proto__: 1\r\nconstructor: 2\r\n"), {
    ...ABCDE,
    fields: [
      ["__proto__", "1"],
      ["constructor", "2"],
    ],
  }),
  forwarded("empty lines before it", `\r\n\r\n${withFields("")}`, ABCDE),
  forwarded("HTTP/1.0", `<M> <P> HTTP/1.0\r\n${HOST}<K>${BODY}`, { ...ABCDE, ends: true }),
  forwarded("HTTP/1.0 without Host", `<M> <P> HTTP/1.0\r\n<K>${BODY}`, { ...ABCDE, ends: true }),
];

const FIELDS: readonly Case[] = [
  refused("no Host", 400, `<M> <P> HTTP/1.1\r\n<K>${BODY}`),
  refused("two Host fields", 400, withFields("Host: evil.test\r\n")),
  refused("two equal Host fields", 400, withFields(HOST)),
  refused("empty Host", 400, `<M> <P> HTTP/1.1\r\nHost:\r\n<K>${BODY}`),
  refused("Host with user information", 400, `<M> <P> HTTP/1.1\r\nHost: a@evil.test\r\n<K>${BODY}`),
  refused("Host with a path", 400, `<M> <P> HTTP/1.1\r\nHost: gateway.test/x\r\n<K>${BODY}`),
  refused("Host list", 400, `<M> <P> HTTP/1.1\r\nHost: gateway.test, evil.test\r\n<K>${BODY}`),
  refused("two keys", 400, withFields("Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), own),
  refused("two equal keys", 400, withFields("Idempotency-Key: a\r\nidempotency-key: a\r\n"), own),
  refused("two Authorization fields", 400, withFields("Authorization: a\r\nAuthorization: b\r\n")),
  refused("two X-Api-Key fields", 400, withFields("X-Api-Key: a\r\nX-Api-Key: a\r\n")),
  refused("two Content-Type fields", 400, withFields("Content-Type: a/b\r\nContent-Type: a/c\r\n")),
  refused("Idempotency_Key", 400, withFields("Idempotency_Key: a\r\n")),
  refused("Content_Type", 400, withFields("Content_Type: a/b\r\n")),
  refused("X_Forwarded_For", 400, withFields("X_Forwarded_For: 6.6.6.6\r\n")),
  refused("X-Forwarded_Host", 400, withFields("X-Forwarded_Host: evil.test\r\n")),
  refused("Idempotency_Fence", 400, withFields("Idempotency_Fence: 9\r\n")),
  forwarded("other underscores", withFields("x_a: 1\r\n"), { ...ABCDE, fields: [["x_a", "1"]] }),
  ...[
    "Idempotency-Key",
    "Authorization",
    "X-Api-Key",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "Host",
    "Cookie",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "Forwarded",
    "X-Real-IP",
    "Idempotency-Fence",
  ].map((name) =>
    refused(`Connection: ${name}`, 400, withFields(`Connection: keep-alive, ${name}\r\n`)),
  ),
  refused(
    "HTTP/1.0 with keep-alive and close",
    400,
    `<M> <P> HTTP/1.0\r\nHost: gateway.test\r\nConnection: keep-alive\r\n<K>Connection: close\r\n${BODY}`,
  ),
  forwarded("Connection: X-Hop", withFields("Connection: X-Hop\r\nX-Hop: 1\r\n"), {
    ...ABCDE,
    without: ["x-hop"],
  }),
  forwarded(
    "hop-by-hop fields",
    withFields(
      "TE: trailers\r\nKeep-Alive: 9\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: x\r\n",
    ),
    { ...ABCDE, without: ["te", "keep-alive", "proxy-connection", "proxy-authorization"] },
  ),
  forwarded("Expect: 100-continue", withFields("Expect: 100-continue\r\n"), {
    ...ABCDE,
    without: ["expect"],
  }),
  refused("Expect: something else", 417, withFields("Expect: 200-ok\r\n")),
  refused(
    "Upgrade: h2c",
    400,
    withFields(
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    ),
  ),
  refused(
    "Upgrade: h2c, its body not there",
    400,
    `${START}Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5000\r\n\r\nab`,
  ),
  refused(
    "Upgrade: websocket with a body",
    400,
    withFields("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
  ),
  refused(
    "Upgrade: websocket with part of a body",
    400,
    `${START}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5000\r\n\r\nab`,
  ),
  refused(
    "Upgrade: websocket with a chunk",
    400,
    `${START}Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na`,
  ),
  refused("Upgrade: TLS/1.0", 400, withFields("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n")),
  forwarded(
    "spoofed forwarding fields",
    withFields(
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n",
    ),
    {
      ...ABCDE,
      fields: [
        ["X-Forwarded-Proto", "http"],
        ["X-Forwarded-Host", "gateway.test"],
      ],
      without: ["forwarded", "x-real-ip", "x-forwarded-port"],
    },
  ),
  forwarded(
    "a trusted peer's forwarding fields",
    withFields(
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\n",
    ),
    {
      ...ABCDE,
      fields: [
        ["X-Forwarded-For", "6.6.6.6, <A>"],
        ["X-Forwarded-Proto", "https"],
        ["X-Forwarded-Host", "shop.test"],
      ],
    },
    { trusted: true },
  ),
  forwarded("a fence that a client made up", withFields("Idempotency-Fence: 999\r\n"), ABCDE),
];

const TARGETS: readonly Case[] = [
  refused("absolute target, elsewhere", 400, withTarget("http://evil.test<P>")),
  refused("absolute target, user information", 400, withTarget("http://gateway.test@evil.test<P>")),
  refused("absolute target, other port", 400, withTarget("http://gateway.test:81<P>")),
  refused("absolute target, other scheme", 400, withTarget("ftp://gateway.test<P>")),
  refused("absolute target, backslash", 400, withTarget("http://gateway.test\\@evil.test<P>")),
  forwarded("absolute target, ours", withTarget("http://GATEWAY.test:80<P>"), ABCDE),
  refused("no slash", 400, withTarget("c/x")),
  refused("userinfo trick", 400, withTarget("@evil.test<P>")),
  refused("fragment", 400, withTarget("<P>#x")),
  refused("space in the target", 400, withTarget("<P> x")),
  refused("a byte beyond ASCII", 400, withTarget("<P>\xe4")),
  refused("control character", 400, withTarget("<P>\x01")),
  forwarded(
    "escapes in lower case, unreserved ones undone",
    withTarget("<P>/%41%2d%c3%bc?q=%7e%3d"),
    { ...ABCDE, target: "<P>/A-%C3%BC?q=~%3D" },
  ),
  forwarded("slashes and dots in the query", withTarget("<P>?a=//..%2f%5c"), {
    ...ABCDE,
    target: "<P>?a=//..%2F%5C",
  }),
];

/** Paths that upstreams read in different ways: refused where a route could be evaded, as they are where none could. */
const EVASIVE = [
  "\\x",
  "%5cx",
  "/a%2fb",
  "/%00",
  "/./x",
  "/../x",
  "/%2e%2e/x",
  "/..;/x",
  "//x",
  "/%",
  "/%zz",
].map((tail) => `<P>${tail}`);

export const HEADS: readonly Case[] = [...LINES, ...FIELDS, ...TARGETS];

/** With a method that may change something: refused. */
export const EVASIVE_WRITES: readonly Case[] = EVASIVE.map((target) =>
  refused(`path confusion: ${target}`, 400, withTarget(target)),
);

/** With OPTIONS, which no route guards: forwarded, and not a byte of it changed. nginx refuses NUL and broken escapes. */
export const EVASIVE_READS: readonly Case[] = EVASIVE.map((target) =>
  forwarded(
    `path confusion, safe method: ${target}`,
    withTarget(target),
    { ...ABCDE, target },
    { notBefore: /%(00|$|zz)/.test(target) ? ["nginx"] : [] },
  ),
);
