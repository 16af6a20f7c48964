/**
 * The bytes of an upstream's answers, read strictly by RFC 9112: where an answer begins and ends, and whether it is one.
 * undici's parser comes after this and is more lenient. Interim answers end here. Holds no socket and keeps no body.
 */
import { MOST_HEAD_BYTES } from "../core/fields.ts";
import { readHead, type Framing } from "./answer-head.ts";

/** What the bytes come to. `bytes` belong to the answer; what came behind them is left out. */
export type Heard =
  | { readonly kind: "part"; readonly bytes: Buffer | undefined }
  /** The answer ended with these. `more`: something came behind it, which nobody asked for. */
  | { readonly kind: "end"; readonly bytes: Buffer; readonly more: boolean }
  | { readonly kind: "malformed" };

const MALFORMED: Heard = { kind: "malformed" };
const NOTHING_YET: Heard = { kind: "part", bytes: undefined };

/** Of one chunk's size and extensions. */
const LINE_BYTES = 1024;
/** The upstream may say for long that it is at it, but not without end. */
const INTERIM_ANSWERS = 1000;

const EMPTY_LINE = Buffer.from("\r\n\r\n");
const CR = 13;
const LF = 10;

/** Of a trailer section, where framing has no place (RFC 9110 §6.5.1). */
const FIELD_LINE =
  /^(?!(?:content-length|transfer-encoding):)[!#$%&'*+\-.^_`|~\dA-Za-z]+:[\t -~\x80-\xff]*$/i;
/** Up to 2^52 bytes, and extensions (RFC 9112 §7.1.1), which are let be. */
const CHUNK_LINE = chunkLine();

function chunkLine(): RegExp {
  const token = String.raw`[!#$%&'*+\-.^_\x60|~\dA-Za-z]+`;
  const quoted = String.raw`"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"`;
  return new RegExp(String.raw`^0*([\dA-Fa-f]{1,13})(?:;${token}(?:=(?:${token}|${quoted}))?)*$`);
}

type State = "head" | "length" | "to-close" | "chunk-line" | "chunk" | "chunk-end" | "trailers";

export class AnswerReader {
  #method = "";
  #state: State = "head";
  /** A head or line that is not whole yet. */
  #held: Buffer | undefined;
  #leftBytes = 0;
  #trailerBytes = 0;
  #interim = 0;

  /** From here on the bytes are the answer to a request with this method. */
  begin(method: string): void {
    this.#method = method;
    this.#state = "head";
    this.#held = undefined;
    this.#interim = 0;
  }

  read(chunk: Buffer): Heard {
    if (this.#state !== "head") return this.#readBody(chunk, 0);
    let bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      const end = bytes.indexOf(EMPTY_LINE);
      if ((end < 0 ? bytes.length : end) > MOST_HEAD_BYTES) return MALFORMED;
      if (end < 0) {
        this.#held = bytes;
        return mayBecomeHead(bytes) ? NOTHING_YET : MALFORMED;
      }
      const head = readHead(bytes, end + 4, this.#method);
      if (head === undefined || head.status === 101) return MALFORMED;
      if (head.status >= 200) {
        this.#held = undefined;
        this.#expect(head.framing);
        return this.#readBody(bytes, end + 4);
      }
      // RFC 9110 §15.2: interim answers, asked for or not, are no answer. undici breaks off at a 100.
      this.#interim += 1;
      if (this.#interim > INTERIM_ANSWERS) return MALFORMED;
      bytes = bytes.subarray(end + 4);
    }
  }

  #expect(framing: Framing): void {
    this.#state = framing.kind === "chunked" ? "chunk-line" : framing.kind;
    if (framing.kind === "length") this.#leftBytes = framing.bytes;
  }

  /** Everything before `from` is the head, and goes along. */
  #readBody(bytes: Buffer, from: number): Heard {
    let at = from;
    for (;;) {
      switch (this.#state) {
        case "to-close":
          return { kind: "part", bytes };
        case "length":
        case "chunk": {
          const taken = Math.min(this.#leftBytes, bytes.length - at);
          this.#leftBytes -= taken;
          at += taken;
          if (this.#leftBytes > 0) return { kind: "part", bytes };
          if (this.#state === "length") return ended(bytes, at);
          this.#state = "chunk-end";
          break;
        }
        case "chunk-end":
        case "chunk-line":
        case "trailers": {
          const line = this.#line(bytes, at);
          if (line === "malformed") return MALFORMED;
          if (line === undefined) return { kind: "part", bytes };
          at = line.end;
          const went = this.#onLine(line.text);
          if (went === "malformed") return MALFORMED;
          if (went === "end") return ended(bytes, at);
          break;
        }
        case "head":
          return MALFORMED;
      }
    }
  }

  #onLine(text: string): "on" | "end" | "malformed" {
    if (this.#state === "chunk-end") {
      this.#state = "chunk-line";
      return text === "" ? "on" : "malformed";
    }
    if (this.#state === "trailers") {
      if (text === "") return "end";
      this.#trailerBytes += text.length + 2;
      return this.#trailerBytes <= MOST_HEAD_BYTES && FIELD_LINE.test(text) ? "on" : "malformed";
    }
    const size = CHUNK_LINE.exec(text)?.[1];
    if (size === undefined) return "malformed";
    this.#leftBytes = Number.parseInt(size, 16);
    this.#trailerBytes = 0;
    this.#state = this.#leftBytes === 0 ? "trailers" : "chunk";
    return "on";
  }

  /** The next line, without its end; `undefined` while it is not whole. */
  #line(
    bytes: Buffer,
    from: number,
  ): { readonly text: string; readonly end: number } | "malformed" | undefined {
    const lf = bytes.indexOf(LF, from);
    const part = bytes.subarray(from, lf < 0 ? bytes.length : lf + 1);
    const line = this.#held === undefined ? part : Buffer.concat([this.#held, part]);
    if (line.length > (this.#state === "trailers" ? MOST_HEAD_BYTES : LINE_BYTES))
      return "malformed";
    this.#held = lf < 0 ? line : undefined;
    if (lf < 0) return undefined;
    if (line[line.length - 2] !== CR) return "malformed";
    return { text: line.toString("latin1", 0, line.length - 2), end: lf + 1 };
  }
}

/** Told early, because what waits for the rest of a head that never comes waits until its deadline. */
function mayBecomeHead(bytes: Buffer): boolean {
  const text = bytes.toString("latin1");
  return "HTTP/1.".startsWith(text.slice(0, 7)) && !/(?:^|[^\r])\n/.test(text);
}

function ended(bytes: Buffer, at: number): Heard {
  const more = at < bytes.length;
  return { kind: "end", bytes: more ? bytes.subarray(0, at) : bytes, more };
}
