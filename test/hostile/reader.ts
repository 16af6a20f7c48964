/**
 * A reader of HTTP/1.1 requests of our own, by the letter of RFC 9112, that shares no code with the gateway's: what it
 * finds in a client's bytes is all that may reach the upstream, and what the upstream receives must be read by it
 * without a rest. Strict where the standard leaves no choice; it judges framing alone, not what a request means.
 */

export type Field = readonly [name: string, value: string];
export type Framing = "none" | "length" | "chunked";

export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  /** As in `1.1`. */
  readonly version: string;
  /** latin1, one char per byte, optional white space taken off. */
  readonly fields: readonly Field[];
  readonly framing: Framing;
  /** Without chunk framing. */
  readonly body: Buffer;
  /** False: the head is whole, and the body ended early, or in bytes that are no body. */
  readonly whole: boolean;
}

export type Read =
  /** `end`: where the next request would begin. `clean`: its chunks had no extensions and no trailers. */
  | {
      readonly kind: "request";
      readonly request: SeenRequest;
      readonly end: number;
      readonly clean: boolean;
    }
  /** The head is whole and its body is not (yet), or never will be (`broken`). */
  | { readonly kind: "partial"; readonly request: SeenRequest; readonly broken?: string }
  | { readonly kind: "no-head" }
  | { readonly kind: "malformed"; readonly why: string };

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+)( +)([\x21-\x7e]+)( +)HTTP\/(\d\.\d)$/;
/**
 * RFC 9112 §3.2: origin, asterisk and absolute form; the authority form is CONNECT's. An authority is made of what RFC 3986
 * §3.2 allows: where a parser gives it up there, the method before it says nothing.
 */
const TARGET = /^(?:\/|\*$|[a-z][a-z0-9+.-]*:\/\/[\w\-.~%!$&'()*+,;=:@[\]]*(?:[/?]|$))/i;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;
const HEX = /^[0-9A-Fa-f]{1,15}$/;

/** Reads one request that begins at `from`. RFC 9112 §3 lets a server take several spaces for one. */
export function readRequest(bytes: Buffer, from: number, spaces: "one" | "some" = "one"): Read {
  const headEnd = bytes.indexOf("\r\n\r\n", from);
  if (headEnd < 0) return { kind: "no-head" };
  const read = readHead(bytes.toString("latin1", from, headEnd), spaces);
  if (typeof read === "string") return { kind: "malformed", why: read };
  const { head, length } = read;
  const bodyAt = headEnd + 4;
  if (head.framing === "chunked") return readChunks(bytes, bodyAt, head);
  const end = bodyAt + length;
  const body = bytes.subarray(bodyAt, end);
  if (end > bytes.length) return { kind: "partial", request: { ...head, body, whole: false } };
  return { kind: "request", request: { ...head, body, whole: true }, end, clean: true };
}

type Head = Omit<SeenRequest, "body" | "whole">;

/** A string says why it is none. */
function readHead(text: string, spaces: "one" | "some"): { head: Head; length: number } | string {
  const [first = "", ...lines] = text.split("\r\n");
  const requestLine = REQUEST_LINE.exec(first);
  if (requestLine === null) return "request line";
  const [, method = "", space = "", target = "", gap = "", version = ""] = requestLine;
  if (method !== "CONNECT" && !TARGET.test(target)) return "target";
  if (spaces === "one" && space.length + gap.length > 2) return "spaces";
  const fields: Field[] = [];
  for (const line of lines) {
    const field = FIELD.exec(line);
    if (field === null) return "field line";
    fields.push([field[1] ?? "", field[2] ?? ""]);
  }
  const framed = framingOf(fields);
  if (typeof framed === "string") return framed;
  const { framing, length } = framed;
  return { head: { method, target, version, fields, framing }, length };
}

/** Every value of a field; `name` must be lower-case. */
export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value);
}

/** RFC 9112 §6.3. A string says why there is no telling where the body ends. */
function framingOf(fields: readonly Field[]): { framing: Framing; length: number } | string {
  const codings = valuesOf(fields, "transfer-encoding");
  const lengths = valuesOf(fields, "content-length");
  if (codings.length > 0) {
    if (lengths.length > 0) return "both Transfer-Encoding and Content-Length";
    if (codings.length > 1 || codings[0]?.toLowerCase() !== "chunked") return "transfer coding";
    return { framing: "chunked", length: 0 };
  }
  const [length] = lengths;
  if (length === undefined) return { framing: "none", length: 0 };
  if (lengths.length > 1 || !/^\d{1,15}$/.test(length)) return "Content-Length";
  return { framing: "length", length: Number(length) };
}

function readChunks(bytes: Buffer, from: number, head: Head): Read {
  const chunks: Buffer[] = [];
  let clean = true;
  const partial = (broken?: string): Read => ({
    kind: "partial",
    request: { ...head, body: Buffer.concat(chunks), whole: false },
    ...(broken !== undefined && { broken }),
  });
  for (let at = from; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return partial();
    const [size = "", ...extensions] = bytes.toString("latin1", at, lineEnd).split(";");
    if (!HEX.test(size)) return partial("chunk size");
    if (extensions.some((extension) => /[\r\n\0]/.test(extension))) return partial("extension");
    if (extensions.length > 0) clean = false;
    const length = Number.parseInt(size, 16);
    if (length === 0) {
      const trailers = readTrailers(bytes, lineEnd + 2);
      if (trailers === undefined) return partial();
      if (typeof trailers === "string") return partial(trailers);
      const request = { ...head, body: Buffer.concat(chunks), whole: true };
      return { kind: "request", request, end: trailers.end, clean: clean && trailers.count === 0 };
    }
    const dataEnd = lineEnd + 2 + length;
    chunks.push(bytes.subarray(lineEnd + 2, dataEnd));
    if (dataEnd + 2 > bytes.length) return partial();
    if (bytes.toString("latin1", dataEnd, dataEnd + 2) !== "\r\n") return partial("chunk end");
    at = dataEnd + 2;
  }
}

/** `undefined`: not all there yet. */
function readTrailers(
  bytes: Buffer,
  from: number,
): { end: number; count: number } | string | undefined {
  for (let at = from, count = 0; ; count += 1) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    if (lineEnd === at) return { end: at + 2, count };
    if (!FIELD.test(bytes.toString("latin1", at, lineEnd))) return "trailer";
    at = lineEnd + 2;
  }
}

/**
 * All requests that a client's bytes hold, up to the first place where there is no telling, or where the connection is
 * the client's last word (`Connection: close`, HTTP/1.0, an upgrade). The last one may be partial. Empty lines before a
 * request are skipped (RFC 9112 §2.2).
 */
export function readAll(bytes: Buffer): readonly SeenRequest[] {
  const requests: SeenRequest[] = [];
  for (let at = skipEmptyLines(bytes, 0); at < bytes.length;) {
    const read = readRequest(bytes, at, "some");
    if (read.kind === "no-head" || read.kind === "malformed") return requests;
    requests.push(read.request);
    if (read.kind === "partial" || isLast(read.request)) return requests;
    at = skipEmptyLines(bytes, read.end);
  }
  return requests;
}

function skipEmptyLines(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 13 || bytes[at] === 10) at += 1;
  return at;
}

/** Whether the connection ends with this request. */
export function isLast({ method, version, fields }: SeenRequest): boolean {
  const connection = tokensOf(fields, "connection");
  if (
    method === "CONNECT" ||
    (valuesOf(fields, "upgrade").length > 0 && connection.includes("upgrade"))
  ) {
    return true;
  }
  if (connection.includes("close")) return true;
  return version !== "1.1" && !connection.includes("keep-alive");
}

export function tokensOf(fields: readonly Field[], name: string): string[] {
  return valuesOf(fields, name)
    .flatMap((value) => value.split(","))
    .map((token) => token.trim().toLowerCase());
}
