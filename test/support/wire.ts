/**
 * One request, one answer, one connection, and nothing normalised: the head split at its line ends, values as latin1
 * with only the optional white space of RFC 9112 §5 taken off (JavaScript's `trim` would eat the last byte of an à).
 */
import { connectRaw } from "./raw.ts";
import type { Teardown } from "./upstream.ts";

export type Pair = readonly [name: string, value: string];

export interface WireAnswer {
  readonly statusLine: string;
  readonly status: number;
  /** As they stand in the last head, in order. */
  readonly pairs: readonly Pair[];
  /** Heads of 1xx answers before it. */
  readonly interim: readonly string[];
  /** Of the message, without chunk framing. */
  readonly body: Buffer;
  /** Whether the framing was kept to its end. */
  readonly whole: boolean;
  all(name: string): readonly string[];
}

/** Sends the bytes, which must ask for `Connection: close`, and reads until the connection is closed. */
export async function wire(
  t: Teardown,
  port: number,
  bytes: string | Uint8Array,
  method = "POST",
): Promise<WireAnswer> {
  const client = await connectRaw(t, port);
  client.send(bytes);
  await client.closed;
  return parseAnswer(client.rest(), method);
}

function parseAnswer(bytes: Buffer, method: string): WireAnswer {
  const interim: string[] = [];
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) throw new Error("the connection closed without an answer");
    const head = rest.subarray(0, end).toString("latin1");
    rest = rest.subarray(end + 4);
    const [statusLine = "", ...lines] = head.split("\r\n");
    const status = Number(statusLine.split(" ")[1]);
    if (status < 200 && status !== 101) {
      interim.push(head);
      continue;
    }
    const pairs = lines.map(pairOf);
    const all = (name: string) =>
      pairs.filter(([field]) => field.toLowerCase() === name.toLowerCase()).map(([, v]) => v);
    const bodiless = method === "HEAD" || status === 204 || status === 304;
    const { body, whole } = bodiless
      ? { body: rest, whole: rest.length === 0 }
      : framedBody(rest, all("transfer-encoding")[0], all("content-length")[0]);
    return { statusLine, status, pairs, interim, body, whole, all };
  }
}

export function pairOf(line: string): Pair {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "")];
}

function framedBody(rest: Buffer, coding: string | undefined, length: string | undefined) {
  if (coding === "chunked") return dechunked(rest);
  return { body: rest, whole: length === undefined || Number(length) === rest.length };
}

/** A chunked body, and how many bytes its framing took. Trailers are skipped. */
export function dechunked(rest: Buffer): { body: Buffer; whole: boolean; length: number } {
  const chunks: Buffer[] = [];
  const cut = { whole: false, length: rest.length };
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf("\r\n", at);
    if (lineEnd < 0) return { body: Buffer.concat(chunks), ...cut };
    const size = Number.parseInt(rest.subarray(at, lineEnd).toString("latin1"), 16);
    if (size === 0) {
      const end = rest.indexOf("\r\n\r\n", lineEnd);
      if (end < 0) return { body: Buffer.concat(chunks), ...cut };
      return { body: Buffer.concat(chunks), whole: true, length: end + 4 };
    }
    chunks.push(rest.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
    if (at > rest.length) return { body: Buffer.concat(chunks), ...cut };
  }
}

/** Framing and moment: everything else of a head must come through as it was. */
const OF_THIS_HOP: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "transfer-encoding",
]);

const OF_THE_GATEWAY: ReadonlySet<string> = new Set([
  "idempotency-expires",
  "idempotency-key",
  "idempotency-record",
  "idempotency-status",
  "idempotent-replayed",
  "stripe-should-retry",
  "x-should-retry",
]);

/** What the upstream said, as the client received it. */
export function told(pairs: readonly Pair[]): readonly Pair[] {
  return pairs.filter(([name]) => {
    const field = name.toLowerCase();
    return !OF_THIS_HOP.has(field) && !OF_THE_GATEWAY.has(field);
  });
}

/** All but what may differ between a first answer and its replay. */
export function lasting(pairs: readonly Pair[]): readonly Pair[] {
  return pairs.filter(([name]) => {
    const field = name.toLowerCase();
    return field !== "date" && !OF_THE_GATEWAY.has(field);
  });
}
