/**
 * Answers of an upstream, byte by byte, that a replay has to give back: the ordinary ones, the large ones, and those
 * that a careless proxy tidies up.
 */
import { gzipSync } from "node:zlib";
import { pairOf, type Pair } from "../support/wire.ts";

interface Shape {
  readonly name: string;
  /** `201 Created`; the reason may be missing. */
  readonly status: string;
  /** Field lines that every caller must get, in this order. latin1: one char, one byte. */
  readonly fields?: readonly string[];
  /** Field lines that end at the gateway. */
  readonly dropped?: readonly string[];
  readonly body?: Buffer;
  readonly framing?: "length" | "chunked" | "close" | "none";
  readonly interim?: string;
  readonly trailers?: readonly string[];
  readonly version?: "1.0" | "1.1";
}

export interface AnswerCase {
  readonly name: string;
  readonly status: number;
  readonly fields: readonly Pair[];
  readonly body: Buffer;
  /** What the upstream writes, */
  readonly bytes: Buffer;
  /** and how much of it comes before the body: all of an answer to HEAD. */
  readonly headLength: number;
  /** The upstream closes after it. */
  readonly closes: boolean;
}

export const LIMIT = 1024 * 1024;
const latin1 = (utf8: string): string => Buffer.from(utf8, "utf8").toString("latin1");
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
const binary = Buffer.concat([
  Buffer.alloc(64),
  everyByte,
  Buffer.from("\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
]);
/** No two blocks alike, so that a piece lost or doubled shows. */
function blob(bytes: number): Buffer {
  const words = new Uint32Array(Math.ceil(bytes / 4));
  for (let at = 0, word = 1; at < words.length; at += 1) {
    word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
    words[at] = word;
  }
  return Buffer.from(words.buffer, 0, bytes);
}

const text = Buffer.from("ok");
const plain = ["Content-Type: text/plain"];

const SHAPES: readonly Shape[] = [
  { name: "empty body", status: "200 OK", fields: plain, body: Buffer.alloc(0) },
  { name: "204", status: "204 No Content", fields: ['ETag: "a"'], framing: "none" },
  { name: "204 with Content-Length: 0", status: "204 No Content", framing: "length" },
  { name: "205 with Content-Length: 0", status: "205 Reset Content", framing: "length" },
  {
    name: "304 with ETag",
    status: "304 Not Modified",
    fields: ['ETag: W/"1"', "Vary: Accept"],
    framing: "none",
  },
  {
    name: "binary with NULs and framing inside",
    status: "200 OK",
    fields: ["Content-Type: application/octet-stream"],
    body: binary,
  },
  {
    name: "gzip",
    status: "200 OK",
    fields: ["Content-Encoding: gzip", "Content-Type: application/json", "Vary: Accept-Encoding"],
    body: gzipSync('{"amount":100}'),
  },
  {
    name: "gzip announced, no gzip inside",
    status: "200 OK",
    fields: ["Content-Encoding: gzip, br"],
    body: text,
  },
  { name: "1 MiB by length", status: "200 OK", body: blob(LIMIT) },
  { name: "1 MiB in chunks", status: "200 OK", body: blob(LIMIT), framing: "chunked" },
  {
    name: "chunks with extensions and trailers",
    status: "200 OK",
    fields: plain,
    body: binary,
    framing: "chunked",
    dropped: ["Trailer: X-Sum"],
    trailers: ["X-Sum: 1", "Idempotency-Status: forged"],
  },
  { name: "empty chunked body", status: "200 OK", framing: "chunked", body: Buffer.alloc(0) },
  { name: "delimited by close", status: "200 OK", fields: plain, body: binary, framing: "close" },
  {
    name: "HTTP/1.0 delimited by close",
    status: "200 OK",
    fields: plain,
    body: text,
    framing: "close",
    version: "1.0",
  },
  {
    name: "Set-Cookie and Link repeated, interleaved",
    status: "201 Created",
    fields: [
      "Set-Cookie: a=1; Path=/",
      'Link: </1>; rel="next"',
      "Set-Cookie: b=2, c=3",
      "Location: /v1/charges/1",
      'Link: </2>; rel="prev"',
      "Set-Cookie: a=1; Path=/",
      'ETag: "v1"',
    ],
    body: text,
  },
  {
    name: "latin1 and UTF-8 in values",
    status: "200 OK",
    fields: [
      "X-Latin1: caf\u00e9 \u00ff",
      `X-Utf8: ${latin1("Zürich – 東京 🎉")}`,
      `Content-Disposition: attachment; filename="${latin1("à")}"`,
    ],
    body: text,
  },
  {
    name: "values that end in bytes which look like space",
    status: "200 OK",
    fields: [`X-End: ${latin1("voilà")}`, "X-Nel: a\u0085", "\u0058-Nbsp: \u00a0a\u00a0"],
    body: text,
  },
  {
    name: "casing of names",
    status: "200 OK",
    fields: [
      "x-ODD-casING: 1",
      "SET-cookie: a=1",
      "sEt-CoOkIe: b=2",
      'eTAG: "x"',
      "content-TYPE: text/plain",
      "X-odd-Casing: 2",
    ],
    body: text,
  },
  {
    name: "empty and padded values",
    status: "200 OK",
    fields: ["X-Empty:", "X-Padded: \t a  b\tc ", "X-Empty: "],
    body: text,
  },
  {
    name: "names of JavaScript",
    status: "200 OK",
    fields: ["__proto__: 1", "constructor: 2", "toString: 3", "hasOwnProperty: 4"],
    body: text,
  },
  {
    name: "90 fields",
    status: "200 OK",
    fields: Array.from({ length: 90 }, (_, n) => `X-${n % 7}: ${n}`),
    body: text,
  },
  {
    name: "one field of 8 KiB",
    status: "200 OK",
    fields: [`X-Long: ${"v".repeat(8192)}`],
    body: text,
  },
  { name: "no field at all", status: "200 OK", body: text },
  ...["301", "302", "303", "307", "308"].map((status) => ({
    name: `${status} is not followed`,
    status: `${status} Elsewhere`,
    fields: ["Location: http://127.0.0.1:1/never"],
    body: text,
  })),
  { name: "300 without Location", status: "300 Multiple Choices", fields: plain, body: text },
  ...["400", "402", "404", "409", "410", "412", "418", "422", "428", "451"].map((status) => ({
    name: status,
    status: `${status} No`,
    fields: ["Content-Type: application/problem+json"],
    body: Buffer.from(`{"status":${status}}`),
  })),
  ...["500", "501", "505", "599"].map((status) => ({
    name: status,
    status: `${status} Broken`,
    fields: ["Retry-After: 120"],
    body: text,
  })),
  { name: "a status nobody has defined, without reason", status: "299", fields: plain, body: text },
  {
    name: "102 and 103 before it",
    status: "201 Created",
    fields: ["Link: </a.css>; rel=preload"],
    body: text,
    interim:
      "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </early.css>; rel=preload\r\nSet-Cookie: early=1\r\n\r\n",
  },
  {
    name: "the gateway's own fields forged",
    status: "200 OK",
    fields: ["X-Before: 1", "X-After: 2"],
    dropped: [
      "Idempotency-Status: replayed",
      "idempotent-replayed: true",
      "IDEMPOTENCY-KEY: other",
      "Idempotency-Record: 00",
      "Idempotency-Expires: never",
    ],
    body: text,
  },
  {
    name: "hop-by-hop fields and what Connection names",
    status: "200 OK",
    fields: ["X-Kept: 1"],
    dropped: [
      "Connection: keep-alive, X-Hop",
      "Keep-Alive: timeout=5",
      "X-Hop: 1",
      "Proxy-Connection: keep-alive",
      "Proxy-Authenticate: Basic",
      "TE: trailers",
    ],
    body: text,
  },
];

/** Answered with a limit of 2 MiB: replayed. With the default limit: told whole, and not kept. */
const OVER_SHAPES: readonly Shape[] = [
  {
    name: "1 MiB + 1 by length",
    status: "201 Created",
    fields: ["Location: /big", "Set-Cookie: a=1", "Set-Cookie: b=2"],
    body: blob(LIMIT + 1),
  },
  {
    name: "1 MiB + 1 in chunks",
    status: "201 Created",
    fields: ["Location: /big"],
    body: blob(LIMIT + 1),
    framing: "chunked",
  },
  {
    name: "1 MiB + 1 until the close",
    status: "201 Created",
    fields: ["Location: /big"],
    body: blob(LIMIT + 1),
    framing: "close",
  },
];

export const CASES: readonly AnswerCase[] = SHAPES.map(caseOf);
export const OVER_LIMIT: readonly AnswerCase[] = OVER_SHAPES.map(caseOf);

function caseOf(shape: Shape): AnswerCase {
  const { name, status, fields = [], dropped = [], body = Buffer.alloc(0) } = shape;
  const { framing = "length", interim = "", trailers = [], version = "1.1" } = shape;
  // What is dropped stands in the middle: the order of what is kept must not suffer from it.
  const half = Math.ceil(fields.length / 2);
  const lines = [
    ...fields.slice(0, half),
    ...dropped,
    ...fields.slice(half),
    ...framingOf(framing, body),
  ];
  const head = `${interim}HTTP/${version} ${status}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
  const framed = framing === "chunked" ? chunked(body, trailers) : body;
  return {
    name,
    status: Number(status.slice(0, 3)),
    fields: fields.map(pairOf),
    body,
    bytes: Buffer.concat([Buffer.from(head, "latin1"), framed]),
    headLength: head.length,
    closes: framing === "close",
  };
}

function framingOf(framing: NonNullable<Shape["framing"]>, body: Buffer): readonly string[] {
  if (framing === "length") return [`Content-Length: ${body.length}`];
  return framing === "chunked" ? ["Transfer-Encoding: chunked"] : [];
}

function chunked(body: Buffer, trailers: readonly string[]): Buffer {
  const pieces: Buffer[] = [];
  // Uneven pieces, so that none ends where a reader's buffer does.
  for (let at = 0, size = 1; at < body.length; at += size, size = Math.min(size * 3 + 1, 70_001)) {
    const piece = body.subarray(at, at + size);
    pieces.push(Buffer.from(`${piece.length.toString(16)};x="y"\r\n`), piece, Buffer.from("\r\n"));
  }
  const ending = trailers.map((line) => `${line}\r\n`).join("");
  return Buffer.concat([...pieces, Buffer.from(`0\r\n${ending}\r\n`, "latin1")]);
}
