/**
 * Cases about where a body ends. In the bytes, `<M>` is the method, `<P>` a path of the case's own, `<K>` the key (in
 * the guarded half of the runs) and `Connection: close` (in the half without keep-alive). A well-formed request follows
 * each of them in the same breath.
 */
import { forwarded, refused, START, type Case } from "./case.ts";

/** What the attacker would like to be a request of its own. */
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n";
const CHUNKED = "Transfer-Encoding: chunked\r\n";
const hex = (text: string): string => text.length.toString(16);
const chunk = (text: string): string => `${hex(text)}\r\n${text}\r\n`;
const length = (text: string): string => `Content-Length: ${text.length}\r\n\r\n${text}`;
const LAST = "0\r\n\r\n";

/** The parser refuses some of them before the gateway can say that it knows no such coding. */
const NOT_CHUNKED = [400, 501];

export const FRAMING: readonly Case[] = [
  // Both framings.
  refused("CL.TE", 400, `${START}Content-Length: 6\r\n${CHUNKED}\r\n${LAST}X`),
  refused(
    "CL.TE, a request in the chunk's shadow",
    400,
    `${START}Content-Length: ${SMUGGLED.length + 5}\r\n${CHUNKED}\r\n${LAST}${SMUGGLED}`,
  ),
  refused("TE.CL", 400, `${START}${CHUNKED}Content-Length: 4\r\n\r\n${chunk(SMUGGLED)}${LAST}`),
  refused(
    "TE.CL, length 0",
    400,
    `${START}${CHUNKED}Content-Length: 0\r\n\r\n${chunk(SMUGGLED)}${LAST}`,
  ),
  refused("TE and an empty CL", 400, `${START}${CHUNKED}Content-Length:\r\n\r\n${LAST}`),
  // TE that two readers read in two ways.
  refused("TE: xchunked", NOT_CHUNKED, `${START}Transfer-Encoding: xchunked\r\n\r\n${LAST}`),
  refused(
    "TE: xchunked with CL",
    400,
    `${START}Content-Length: 4\r\nTransfer-Encoding: xchunked\r\n\r\nabcd`,
  ),
  refused("TE: chunkedx", NOT_CHUNKED, `${START}Transfer-Encoding: chunkedx\r\n\r\n${LAST}`),
  refused("TE: identity", NOT_CHUNKED, `${START}Transfer-Encoding: identity\r\n\r\n`),
  refused(
    "TE: identity with CL",
    400,
    `${START}Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nabcd`,
  ),
  refused(
    "TE: chunked, identity",
    400,
    `${START}Transfer-Encoding: chunked, identity\r\n\r\n${LAST}`,
  ),
  refused(
    "TE: identity, chunked",
    NOT_CHUNKED,
    `${START}Transfer-Encoding: identity, chunked\r\n\r\n${LAST}`,
  ),
  refused(
    "TE: gzip, chunked",
    NOT_CHUNKED,
    `${START}Transfer-Encoding: gzip, chunked\r\n\r\n${LAST}`,
  ),
  refused(
    "TE: chunked, chunked",
    NOT_CHUNKED,
    `${START}Transfer-Encoding: chunked, chunked\r\n\r\n${LAST}`,
  ),
  refused("TE.TE, two lines", 400, `${START}${CHUNKED}${CHUNKED}\r\n${LAST}`),
  refused(
    "TE.TE, the second unknown",
    400,
    `${START}${CHUNKED}Transfer-Encoding: x\r\n\r\n${LAST}`,
  ),
  refused(
    "TE.TE, the first unknown",
    NOT_CHUNKED,
    `${START}Transfer-Encoding: x\r\n${CHUNKED}\r\n${LAST}`,
  ),
  refused("TE in quotes", NOT_CHUNKED, `${START}Transfer-Encoding: "chunked"\r\n\r\n${LAST}`),
  refused(
    "TE with a parameter",
    NOT_CHUNKED,
    `${START}Transfer-Encoding: chunked;q=1\r\n\r\n${LAST}`,
  ),
  refused("TE behind a comma", NOT_CHUNKED, `${START}Transfer-Encoding: , chunked\r\n\r\n${LAST}`),
  refused("TE empty", NOT_CHUNKED, `${START}Transfer-Encoding:\r\n\r\n${LAST}`),
  refused("TE with a vertical tab", 400, `${START}Transfer-Encoding:\x0bchunked\r\n\r\n${LAST}`),
  refused("TE with NUL", 400, `${START}Transfer-Encoding: chunked\0\r\n\r\n${LAST}`),
  refused("TE, space before the colon", 400, `${START}Transfer-Encoding : chunked\r\n\r\n${LAST}`),
  refused("TE, tab before the colon", 400, `${START}Transfer-Encoding\t: chunked\r\n\r\n${LAST}`),
  refused("TE, folded", 400, `${START}Transfer-Encoding:\r\n chunked\r\n\r\n${LAST}`),
  refused(
    "TE, folded by a tab",
    400,
    `${START}X-A: 1\r\n\tTransfer-Encoding: chunked\r\n\r\n${LAST}`,
  ),
  refused("TE behind a bare LF", 400, `${START}X-A: 1\n${CHUNKED}\r\n${LAST}`),
  refused("TE behind a bare CR", 400, `${START}X-A: 1\r${CHUNKED}\r\n${LAST}`),
  refused(
    "TE with an underscore and CL",
    400,
    `${START}transfer_encoding: chunked\r\n${length("abcde")}`,
  ),
  refused(
    "HTTP/1.0 with TE",
    400,
    `<M> <P> HTTP/1.0\r\nHost: gateway.test\r\n<K>${CHUNKED}\r\n${LAST}`,
  ),
  refused(
    "HTTP/1.0 with TE and keep-alive",
    400,
    `<M> <P> HTTP/1.0\r\nHost: gateway.test\r\nConnection: keep-alive\r\n<K>${CHUNKED}\r\n${LAST}`,
  ),
  forwarded("TE: CHUNKED", `${START}Transfer-Encoding: CHUNKED\r\n\r\n${chunk("abcde")}${LAST}`, {
    framing: "chunked",
    body: "abcde",
  }),
  forwarded(
    "TE after a tab",
    `${START}Transfer-Encoding:\tchunked\r\n\r\n${chunk("abcde")}${LAST}`,
    { framing: "chunked", body: "abcde" },
  ),
  // CL that two readers read in two ways.
  refused("two CL", 400, `${START}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdeX`),
  refused("two equal CL", 400, `${START}Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde`),
  refused("CL list", 400, `${START}Content-Length: 5, 5\r\n\r\nabcde`),
  refused("CL with a sign", 400, `${START}Content-Length: +5\r\n\r\nabcde`),
  refused("CL negative", 400, `${START}Content-Length: -5\r\n\r\nabcde`),
  refused("CL in hex", 400, `${START}Content-Length: 0x5\r\n\r\nabcde`),
  refused("CL fraction", 400, `${START}Content-Length: 5.0\r\n\r\nabcde`),
  refused("CL exponent", 400, `${START}Content-Length: 5e0\r\n\r\nabcde`),
  refused("CL in quotes", 400, `${START}Content-Length: "5"\r\n\r\nabcde`),
  refused("CL with a space inside", 400, `${START}Content-Length: 5 0\r\n\r\nabcde`),
  refused("CL with an underscore", 400, `${START}content_length: 5\r\n\r\nabcde`),
  refused("CL empty", 400, `${START}Content-Length:\r\n\r\nabcde`),
  refused("CL of 16 digits", 400, `${START}Content-Length: 9999999999999999\r\n\r\nabcde`),
  refused("CL of 20 digits", 400, `${START}Content-Length: 18446744073709551621\r\n\r\nabcde`),
  refused("CL, space before the colon", 400, `${START}Content-Length : 5\r\n\r\nabcde`),
  refused("CL with NUL", 400, `${START}Content-Length: 5\0\r\n\r\nabcde`),
  refused("CL folded", 400, `${START}Content-Length:\r\n 5\r\n\r\nabcde`),
  forwarded("CL with leading zeros", `${START}Content-Length: 005\r\n\r\nabcde`, {
    framing: "length",
    body: "abcde",
  }),
  forwarded("CL.0: a request as the body", `${START}${length(SMUGGLED)}`, {
    framing: "length",
    body: SMUGGLED,
  }),
  forwarded("0.CL: no body said, none taken", `${START}\r\n`, { framing: "none", body: "" }),
  forwarded("CL 0", `${START}Content-Length: 0\r\n\r\n`, { framing: "length", body: "" }),
  forwarded("a body of CRLF", `${START}${length("\r\n\r\n")}`, {
    framing: "length",
    body: "\r\n\r\n",
  }),
  forwarded("a body of every byte", `${START}${length(everyByte())}`, {
    framing: "length",
    body: everyByte(),
  }),
  // Chunks.
  forwarded("chunks", `${START}${CHUNKED}\r\n${chunk("abc")}${chunk("de")}${LAST}`, {
    framing: "chunked",
    body: "abcde",
  }),
  forwarded("a request as a chunk", `${START}${CHUNKED}\r\n${chunk(SMUGGLED)}${LAST}`, {
    framing: "chunked",
    body: SMUGGLED,
  }),
  forwarded("no chunk at all", `${START}${CHUNKED}\r\n${LAST}`, { framing: "chunked", body: "" }),
  forwarded(
    "chunk size in capitals, with zeros",
    `${START}${CHUNKED}\r\n000A\r\nabcdefghij\r\n000\r\n\r\n`,
    { framing: "chunked", body: "abcdefghij" },
  ),
  forwarded("chunk extension", `${START}${CHUNKED}\r\n5;a=b\r\nabcde\r\n0;c\r\n\r\n`, {
    framing: "chunked",
    body: "abcde",
  }),
  forwarded("chunk extension in quotes", `${START}${CHUNKED}\r\n5;a="b;c"\r\nabcde\r\n${LAST}`, {
    framing: "chunked",
    body: "abcde",
  }),
  forwarded(
    "trailer with a key",
    `${START}${CHUNKED}\r\n${chunk("abcde")}0\r\nIdempotency-Key: trailer\r\n\r\n`,
    { framing: "chunked", body: "abcde" },
  ),
  forwarded(
    "trailer with X-Forwarded-For",
    `${START}${CHUNKED}\r\n${chunk("abcde")}0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n`,
    { framing: "chunked", body: "abcde" },
  ),
  forwarded(
    "trailer announced",
    `${START}Trailer: Authorization\r\nTE: trailers\r\n${CHUNKED}\r\n${chunk("abcde")}0\r\nAuthorization: x\r\n\r\n`,
    { framing: "chunked", body: "abcde" },
  ),
  refused("chunk size with 0x", 400, `${START}${CHUNKED}\r\n0x5\r\nabcde\r\n${LAST}`),
  refused("chunk size with a sign", 400, `${START}${CHUNKED}\r\n+5\r\nabcde\r\n${LAST}`),
  refused("chunk size negative", 400, `${START}${CHUNKED}\r\n-5\r\nabcde\r\n${LAST}`),
  refused("chunk size empty", 400, `${START}${CHUNKED}\r\n\r\nabcde\r\n${LAST}`),
  refused("chunk size behind a space", 400, `${START}${CHUNKED}\r\n 5\r\nabcde\r\n${LAST}`),
  refused("chunk size before a space", 400, `${START}${CHUNKED}\r\n5 \r\nabcde\r\n${LAST}`),
  refused(
    "chunk size too large",
    400,
    `${START}${CHUNKED}\r\n10000000000000005\r\nabcde\r\n${LAST}`,
  ),
  refused("chunk size ends in LF", 400, `${START}${CHUNKED}\r\n5\nabcde\r\n${LAST}`),
  refused("chunk size ends in CR", 400, `${START}${CHUNKED}\r\n5\rabcde\r\n${LAST}`),
  refused("chunk longer than its size", 400, `${START}${CHUNKED}\r\n3\r\nabcde\r\n${LAST}`),
  refused("chunk without its CRLF", 400, `${START}${CHUNKED}\r\n5\r\nabcde${LAST}`),
  refused("chunk ends in LF", 400, `${START}${CHUNKED}\r\n5\r\nabcde\n${LAST}`),
  refused("LF in a chunk extension", 400, `${START}${CHUNKED}\r\n5;a\nb\r\nabcde\r\n${LAST}`),
  refused("CR in a chunk extension", 400, `${START}${CHUNKED}\r\n5;a\rb\r\nabcde\r\n${LAST}`),
  refused("NUL in a chunk extension", 400, `${START}${CHUNKED}\r\n5;a\0b\r\nabcde\r\n${LAST}`),
  refused("last chunk ends in LF", 400, `${START}${CHUNKED}\r\n${chunk("abcde")}0\n\n`),
  refused("trailer section ends in LF", 400, `${START}${CHUNKED}\r\n${chunk("abcde")}0\r\n\n`),
  refused(
    "trailer with CL",
    400,
    `${START}${CHUNKED}\r\n${chunk("abcde")}0\r\nContent-Length: 9\r\n\r\n`,
  ),
  refused("TE before a tab", 400, `${START}Transfer-Encoding: chunked\t\r\n\r\n${LAST}`),
  refused(
    "trailer that is a request",
    400,
    `${START}${CHUNKED}\r\n${chunk("abcde")}0\r\nGET /smuggled HTTP/1.1\r\nHost: gateway.test\r\n\r\n`,
  ),
  refused(
    "trailer folded",
    400,
    `${START}${CHUNKED}\r\n${chunk("abcde")}0\r\nX-A: 1\r\n 2\r\n\r\n`,
  ),
  refused(
    "20 KB of chunk extension",
    413,
    `${START}${CHUNKED}\r\n5;${"a".repeat(20_000)}\r\nabcde\r\n${LAST}`,
  ),
];

function everyByte(): string {
  return String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code));
}
