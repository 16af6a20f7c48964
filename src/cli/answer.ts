/**
 * An answer in a file, as `curl -i` prints it: for `records resolve ID executed --answer FILE`. Its head is read as strictly as an
 * upstream's; what belongs to the connection and the moment that it came in is left out. What may be recorded the gateway says.
 */
import { readHead, type Framing } from "../http/answer-head.ts";
import { endToEnd, without } from "../http/headers.ts";

type Pair = readonly [name: string, value: string];

export interface Given {
  readonly status: number;
  readonly headers: readonly Pair[];
  readonly body: Buffer;
}

/** The answer, or what is wrong with it. Quotes nothing of it. */
export function readAnswer(bytes: Buffer): Given | string {
  // One byte is one char, so that places in the text are places in the bytes.
  const text = bytes.toString("latin1");
  let at = 0;
  for (;;) {
    const end = /\r?\n\r?\n/.exec(text.slice(at));
    if (end === null) {
      return "no empty line ends its header fields; it must be an HTTP answer, as curl -i prints it";
    }
    const lines = headLines(text.slice(at, at + end.index));
    const head = headOf(lines);
    if (head === undefined) return faultOf(lines, text.slice(0, at).split("\n").length);
    at += end.index + end[0].length;
    // What comes before the answer itself, as to `Expect: 100-continue`.
    if (head.status >= 200) return whole(head.status, fieldsOf(lines), head.framing, bytes, at);
  }
}

/** An editor may have ended them by a line feed alone; HTTP/2 and 3 have no minor version, and curl says so. */
function headLines(text: string): readonly [status: string, ...fields: string[]] {
  const [status = "", ...fields] = text.split(/\r?\n/);
  return [status.replace(/^HTTP\/[23](?:\.0)? /, "HTTP/1.1 "), ...fields];
}

function headOf(lines: readonly string[]) {
  const head = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  return readHead(head, head.length, "POST");
}

/** Line by line, because what reads them together does not say which it is. */
function faultOf([status, ...fields]: readonly [string, ...string[]], firstLine: number): string {
  if (headOf([status]) === undefined) {
    return `line ${firstLine} is no status line such as HTTP/1.1 201 Created`;
  }
  const index = fields.findIndex((field) => headOf(["HTTP/1.1 200 ", field]) === undefined);
  return index < 0
    ? "its Content-Length and Transfer-Encoding do not say together what follows"
    : `line ${firstLine + 1 + index} is no header field such as Content-Type: application/json`;
}

function fieldsOf([, ...fields]: readonly string[]): readonly Pair[] {
  return fields.map((line) => {
    const colonAt = line.indexOf(":");
    return [line.slice(0, colonAt), line.slice(colonAt + 1).replaceAll(/^[\t ]+|[\t ]+$/g, "")];
  });
}

function whole(
  status: number,
  fields: readonly Pair[],
  framing: Framing,
  bytes: Buffer,
  bodyAt: number,
): Given | string {
  const body = bytes.subarray(bodyAt);
  const fault = faultOfBody(fields, framing, body);
  if (fault !== undefined) return fault;
  return { status, headers: without(endToEnd(fields), "content-length", "date"), body };
}

/** RFC 9112 §7.1: the line that begins a chunk; where an editor has taken the carriage returns, with a last chunk at the end. */
const CHUNK = /^[\dA-Fa-f]{1,15}[\t ]*(?:;[^\r\n]*)?(?:\r\n|\n(?:[^]*\n)?0+\n{0,2}$)/;
/** A status line that begins a line, or one with a field behind it wherever the body before it ends. */
const HEAD =
  /^HTTP\/(?:1\.[01]|[23](?:\.0)?) [1-5]\d\d\b|HTTP\/(?:1\.[01]|[23](?:\.0)?) [1-5]\d\d(?: [^\r\n]*)?\r?\n[^\s:]+:/m;

/** What shows that it is not the body as the upstream sent it: every client would fail on that, or get too much. */
function faultOfBody(fields: readonly Pair[], framing: Framing, body: Buffer): string | undefined {
  if (fields.some(isEncoded)) {
    return "its body is encoded (Content-Encoding), or was, and curl has undone it: ask again without --compressed and without Accept-Encoding (an answer that must be encoded is given to the records API itself)";
  }
  if (framing.kind === "length" && framing.bytes === body.length) return undefined;
  const text = body.toString("latin1");
  const otherwise = `; if that is the body's own text, let its head say Content-Length: ${body.length} and no Transfer-Encoding`;
  if (HEAD.test(text)) {
    return `another answer stands behind the first: leave the one that retries are to get${framing.kind === "length" ? "" : otherwise}`;
  }
  if (framing.kind === "length") {
    return `its head says that ${framing.bytes} bytes follow, and ${body.length} do: it must be whole, and as it came (curl without --compressed)`;
  }
  return framing.kind === "chunked" && CHUNK.test(text)
    ? `its body begins with the size of a chunk: ask again without --raw${otherwise}`
    : undefined;
}

function isEncoded([name, value]: Pair): boolean {
  const isPlain = /^[\t ,]*(?:identity(?:[\t ,]+|$))*$/i.test(value);
  return name.toLowerCase() === "content-encoding" && !isPlain;
}

/** As the records API takes it: text where that is shorter, and base64 for all other bytes. */
export function documentOf({ status, headers, body }: Given): object {
  const bodyBase64 = body.toString("base64");
  const text = body.toString();
  const isText = Buffer.from(text).equals(body);
  return isText && Buffer.byteLength(JSON.stringify(text)) <= bodyBase64.length + 2
    ? { status, headers, body: text }
    : { status, headers, bodyBase64 };
}
