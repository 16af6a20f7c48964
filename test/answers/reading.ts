/**
 * The oracle: what a strict reader of RFC 9112 makes of all the bytes that an upstream sent to one request, and of how
 * it left the connection. Written apart from the gateway's own reader and in another manner: whole strings, no states.
 */
import type { Pair } from "../support/wire.ts";

export type Ending = "stays" | "ends" | "resets";

export type Reading =
  /** This and nothing else is the answer. `resetBehind`: whole, but the reset may have overtaken it. */
  | {
      readonly kind: "answer";
      readonly status: number;
      /** End-to-end fields. */
      readonly pairs: readonly Pair[];
      readonly body: Buffer;
      readonly resetBehind: boolean;
      /** Nothing but the end of the connection ends it, so that it must not be kept. */
      readonly unframed: boolean;
    }
  /** No answer, or not a whole one. `begun`: what of it a reader could have passed on before that was clear. */
  | {
      readonly kind: "none";
      readonly begun?: {
        readonly status: number;
        readonly announced: number;
        readonly body: Buffer;
      };
    };

const HEAD_BYTES = 16_384;
const NAME = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const VALUE = String.raw`[\t\x20-\x7e\x80-\xff]*`;
const STATUS_LINE = new RegExp(String.raw`^HTTP/1\.([01]) ([1-9][0-9]{2})($| ${VALUE}$)`);
const QUOTED = String.raw`"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"`;
const CHUNK_SIZE = new RegExp(`^([0-9A-Fa-f]{1,40})(;${NAME}(=(${NAME}|${QUOTED}))?)*\r\n`);
const TRAILERS = new RegExp(
  `^((?!content-length:|transfer-encoding:)${NAME}:${VALUE}\r\n)*\r\n`,
  "i",
);
const FIELD = new RegExp(`^(${NAME}):(${VALUE})$`);

const HOP_BY_HOP = [
  ...["connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info", "te"],
  ...["proxy-authorization", "proxy-connection", "trailer", "transfer-encoding", "upgrade"],
];

export function strictReading(bytes: Buffer, ending: Ending, method: string): Reading {
  let rest = bytes.toString("latin1");
  for (let interim = 0; interim <= 1000; interim += 1) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0 || end > HEAD_BYTES) return { kind: "none" };
    const [line = "", ...lines] = rest.slice(0, end).split("\r\n");
    rest = rest.slice(end + 4);
    const [, minor, digits] = STATUS_LINE.exec(line) ?? [];
    const pairs = lines.map(fieldOf);
    const status = Number(digits);
    if (digits === undefined || status === 101 || !pairs.every((pair) => pair !== undefined)) {
      return { kind: "none" };
    }
    const framing = framingOf(pairs, minor === "0");
    if (framing === "faulty") return { kind: "none" };
    if (status < 200) continue;
    const bodiless = method === "HEAD" || status === 204 || status === 304;
    const part = bodiless ? { body: "", whole: true } : bodyOf(rest, framing, ending);
    const body = Buffer.from(part.body, "latin1");
    const announced = typeof framing === "number" ? framing : 0;
    if (!part.whole) return { kind: "none", begun: { status, announced, body } };
    const resetBehind = ending === "resets";
    const unframed = !bodiless && framing === "close";
    return { kind: "answer", status, pairs: endToEnd(pairs), body, resetBehind, unframed };
  }
  return { kind: "none" };
}

function fieldOf(line: string): Pair | undefined {
  const [, name, value] = FIELD.exec(line) ?? [];
  if (name === undefined || value === undefined) return undefined;
  return [name, value.replace(/^[\t ]+/, "").replace(/[\t ]+$/, "")];
}

type Framing = number | "chunked" | "close" | "faulty";

function framingOf(pairs: readonly Pair[], isHttp10: boolean): Framing {
  const values = (field: string) =>
    pairs.filter(([name]) => name.toLowerCase() === field).map(([, value]) => value);
  const lengths = values("content-length");
  const codings = values("transfer-encoding");
  if (lengths.length + codings.length > 1) return "faulty";
  const [length] = lengths;
  const [coding] = codings;
  if (coding !== undefined) {
    return coding.toLowerCase() === "chunked" && !isHttp10 ? "chunked" : "faulty";
  }
  if (length === undefined) return "close";
  return /^[0-9]{1,15}$/.test(length) ? Number(length) : "faulty";
}

function bodyOf(
  rest: string,
  framing: Framing,
  ending: Ending,
): { readonly body: string; readonly whole: boolean } {
  if (framing === "chunked") return dechunk(rest);
  // That what came before the end is all there was, nobody can tell. Node ends a connection before it resets it, and
  // which of the two is seen first is chance.
  if (framing === "close") return { body: rest, whole: ending !== "stays" };
  const length = Number(framing);
  return { body: rest.slice(0, length), whole: rest.length >= length };
}

function dechunk(text: string): { readonly body: string; readonly whole: boolean } {
  let body = "";
  let rest = text;
  for (;;) {
    const size = CHUNK_SIZE.exec(rest);
    const count = Number.parseInt(size?.[1] ?? "", 16);
    if (size === null || size[0].length > 1024 || !(count < 2 ** 52)) return { body, whole: false };
    rest = rest.slice(size[0].length);
    if (count === 0) {
      const trailers = TRAILERS.exec(rest);
      return { body, whole: trailers !== null && trailers[0].length - 2 <= HEAD_BYTES };
    }
    body += rest.slice(0, count);
    if (!rest.startsWith("\r\n", count)) return { body, whole: false };
    rest = rest.slice(count + 2);
  }
}

function endToEnd(pairs: readonly Pair[]): readonly Pair[] {
  const named = pairs
    .filter(([name]) => name.toLowerCase() === "connection")
    .flatMap(([, value]) => value.split(",").map((token) => token.trim().toLowerCase()));
  return pairs.filter(([name]) => ![...HOP_BY_HOP, ...named].includes(name.toLowerCase()));
}
