/**
 * The head of an upstream's answer by RFC 9112 §4 and §5, and what it says of the body by §6.3. Whatever is faulty there
 * makes it no head; nothing is repaired. Byte by byte, because every answer comes through here. Pure.
 */

export type Framing =
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  /** The end of the connection ends it. */
  | { readonly kind: "to-close" };

export interface AnswerHead {
  readonly status: number;
  readonly framing: Framing;
}

const CR = 13;
const LF = 10;
const COLON = 58;
const DIGIT_0 = 48;

/** 1 for each byte that may stand there. */
const IN_NAME = bytesOf(/[!#$%&'*+\-.^_`|~\dA-Za-z]/);
const IN_VALUE = bytesOf(/[\t -~\x80-\xff]/);

function bytesOf(set: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => Number(set.test(String.fromCharCode(byte))));
}

const STATUS = /^HTTP\/1\.[01] ([1-9]\d\d)[ \r]$/;
/** Behind `HTTP/1.1 200`. */
const STATUS_END = "HTTP/1.1 200".length;
const MINOR_AT = "HTTP/1.".length;

const LENGTH = "content-length";
const CODING = "transfer-encoding";

/** `undefined`: no head. `end` is that of the empty line. */
export function readHead(bytes: Buffer, end: number, method: string): AnswerHead | undefined {
  const status = statusOf(bytes);
  if (status === undefined) return undefined;
  let at = afterValue(bytes, STATUS_END);
  let length: string | undefined;
  let coding: string | undefined;
  while (at > 0 && at < end - 2) {
    const nameAt = at;
    while (IN_NAME[bytes[at] ?? 0] === 1) at += 1;
    if (at === nameAt || bytes[at] !== COLON) return undefined;
    const valueAt = at + 1;
    at = afterValue(bytes, valueAt);
    const name = framingName(bytes, nameAt, valueAt - 1);
    if (name === undefined) continue;
    if ((name === LENGTH ? length : coding) !== undefined) return undefined;
    const value = bytes.toString("latin1", valueAt, at - 2).replaceAll(/^[\t ]+|[\t ]+$/g, "");
    if (name === LENGTH) length = value;
    else coding = value.toLowerCase();
  }
  if (at !== end - 2) return undefined;
  const framing = framingOf(length, coding, bytes[MINOR_AT] === DIGIT_0);
  if (framing === undefined) return undefined;
  const bodiless = method === "HEAD" || status < 200 || status === 204 || status === 304;
  return { status, framing: bodiless ? { kind: "length", bytes: 0 } : framing };
}

/**
 * The space behind the status is often left out where there is no reason, and nothing can be mistaken for that. RFC 9110
 * §15: three digits, of which those from 600 on are odd but no fault of the framing.
 */
function statusOf(bytes: Buffer): number | undefined {
  const line = STATUS.exec(bytes.toString("latin1", 0, STATUS_END + 1));
  return line === null ? undefined : Number(line[1]);
}

/** Where the next line begins; 0 where this one does not end as it must. */
function afterValue(bytes: Buffer, from: number): number {
  let at = from;
  while (IN_VALUE[bytes[at] ?? 0] === 1) at += 1;
  return bytes[at] === CR && bytes[at + 1] === LF ? at + 2 : 0;
}

function framingName(
  bytes: Buffer,
  from: number,
  to: number,
): typeof LENGTH | typeof CODING | undefined {
  const size = to - from;
  if (size !== LENGTH.length && size !== CODING.length) return undefined;
  const name = bytes.toString("latin1", from, to).toLowerCase();
  return name === LENGTH || name === CODING ? name : undefined;
}

/** RFC 9112 §6.3, with everything refused that it calls faulty, and every coding that would be lost on the way. */
function framingOf(
  length: string | undefined,
  coding: string | undefined,
  isHttp10: boolean,
): Framing | undefined {
  if (coding !== undefined) {
    return coding === "chunked" && length === undefined && !isHttp10
      ? { kind: "chunked" }
      : undefined;
  }
  if (length === undefined) return { kind: "to-close" };
  return /^\d{1,15}$/.test(length) ? { kind: "length", bytes: Number(length) } : undefined;
}
