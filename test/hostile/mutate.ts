/**
 * Requests that are almost right: well-formed ones of every kind, and what a seed changes in them: a byte inserted, taken
 * out or replaced, a byte or a line that means something put where it does not belong, lines doubled or swapped, lengths
 * made wrong, two requests run together, one cut off.
 */
import type { Random } from "../support/random.ts";

/** The bytes that framing is made of. */
const MEANINGFUL = [
  "\r",
  "\n",
  "\0",
  ":",
  "\t",
  " ",
  "\r\n",
  "\r\n\r\n",
  ",",
  ";",
  "0",
  "-",
  "+",
  "/",
  "\x0b",
  "\x80",
];

const LINES = [
  "Transfer-Encoding: chunked",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding:\tchunked",
  "transfer-encoding: identity",
  "Transfer-Encoding: gzip, chunked",
  "Content-Length: 0",
  "Content-Length: 4",
  "Content-Length: +4",
  "content_length: 4",
  "Content-Length: 4, 4",
  "Content-Length: 99999999999999999999",
  "Connection: close",
  "Connection: Idempotency-Key",
  "Connection: keep-alive, Content-Length",
  "Connection: Transfer-Encoding",
  "Expect: 100-continue",
  "Upgrade: h2c",
  "Host: evil",
  "Idempotency-Key: other",
  "Idempotency_Key: other",
  "Idempotency-Fence: 9",
  "X-Forwarded-For: 6.6.6.6",
  "X_Forwarded_For: 6.6.6.6",
  "Forwarded: for=6.6.6.6",
  "Trailer: Idempotency-Key",
  "TE: trailers",
  " folded",
  "",
  "0",
  "GET /smuggled HTTP/1.1",
];

const METHODS = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET", "HEAD"];
const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS"]);

/** A well-formed request. What it asks for can be told apart from every other one: its path, key and body say the seed. */
function wellFormed(random: Random, id: string): string {
  const method = random.pick(METHODS);
  const target = `/f/${id}${random.pick(["", "?a=1&b=%20", "/x%41y", "/"])}`;
  const lines = [
    `${method} ${random.int(12) === 0 ? `http://gateway.test${target}` : target} HTTP/1.${random.int(16) === 0 ? 0 : 1}`,
    "Host: gateway.test",
    "Content-Type: application/json",
  ];
  if (random.int(2) === 0) lines.push(`Idempotency-Key: "${random.token()}"`);
  if (random.int(3) === 0) lines.push("Authorization: Bearer abc");
  if (random.int(8) === 0) lines.push("Expect: 100-continue");
  if (random.int(8) === 0) lines.push("X-Forwarded-For: 10.1.1.1");
  if (random.int(8) === 0) lines.push("Connection: keep-alive, X-Hop", "X-Hop: 1");
  if (random.int(24) === 0) {
    lines[0] = `GET ${target} HTTP/1.1`;
    lines.push("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13");
    lines.push("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
    return `${lines.join("\r\n")}\r\n\r\n`;
  }
  const body = `{"id":"${id}","n":${random.int(1000)}}`;
  if (BODILESS.has(method) && random.int(2) === 0) return `${lines.join("\r\n")}\r\n\r\n`;
  if (random.int(2) === 0) {
    return `${[...lines, `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`;
  }
  const cut = random.int(body.length);
  const chunks = [body.slice(0, cut), body.slice(cut)].filter((chunk) => chunk !== "");
  const framed = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join("");
  const trailer = random.int(6) === 0 ? "Idempotency-Key: trailer\r\n" : "";
  return `${[...lines, "Transfer-Encoding: chunked"].join("\r\n")}\r\n\r\n${framed}0\r\n${trailer}\r\n`;
}

type Mutation = (bytes: string, random: Random, id: string) => string;

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => splice(bytes, place(bytes, random), 0, byte(random)),
  (bytes, random) => splice(bytes, place(bytes, random), 1, ""),
  (bytes, random) => splice(bytes, place(bytes, random), 1, byte(random)),
  (bytes, random) => splice(bytes, place(bytes, random), 0, random.pick(MEANINGFUL)),
  (bytes, random) => splice(bytes, place(bytes, random), 1, random.pick(MEANINGFUL)),
  (bytes, random) => splice(bytes, place(bytes, random), 1 + random.int(8), ""),
  insertLine,
  insertLine,
  duplicateLine,
  swapLines,
  wrongNumber,
  (bytes, random) => {
    const at = place(bytes, random);
    return splice(bytes, at, 0, bytes.slice(at, at + 1 + random.int(24)));
  },
  (bytes, random, id) => bytes + wellFormed(random, id),
  (bytes, random, id) => splice(bytes, place(bytes, random), 0, wellFormed(random, id)),
  (bytes, random) => bytes.slice(0, place(bytes, random)),
];

/** One to three changes of a well-formed request, mostly one: what is refused ends the connection. */
export function mutated(random: Random, id: string): string {
  let bytes = wellFormed(random, id);
  for (let left = random.pick([1, 1, 1, 2, 3]); left > 0; left -= 1) {
    bytes = random.pick(MUTATIONS)(bytes, random, id);
  }
  return bytes;
}

/** Half of the changes meet the head's framing lines, the rest anything. */
function place(bytes: string, random: Random): number {
  if (random.int(2) === 0) return random.int(bytes.length + 1);
  const at = bytes.search(/content-length|transfer-encoding|\r\n\r\n/i);
  return Math.min(bytes.length, Math.max(0, at) + random.int(32));
}

function byte(random: Random): string {
  return String.fromCharCode(random.int(256));
}

function splice(text: string, at: number, remove: number, insert: string): string {
  return text.slice(0, at) + insert + text.slice(at + remove);
}

function insertLine(bytes: string, random: Random): string {
  const lines = bytes.split("\r\n");
  lines.splice(1 + random.int(lines.length), 0, random.pick(LINES));
  return lines.join("\r\n");
}

function duplicateLine(bytes: string, random: Random): string {
  const lines = bytes.split("\r\n");
  const line = random.pick(lines);
  lines.splice(random.int(lines.length + 1), 0, random.int(2) === 0 ? line : line.toLowerCase());
  return lines.join("\r\n");
}

function swapLines(bytes: string, random: Random): string {
  const lines = bytes.split("\r\n");
  const [from, to] = [random.int(lines.length), random.int(lines.length)];
  [lines[from], lines[to]] = [lines[to] ?? "", lines[from] ?? ""];
  return lines.join("\r\n");
}

/** A length or chunk size that says something else than what follows. */
function wrongNumber(bytes: string, random: Random): string {
  const numbers = [...bytes.matchAll(/(?<=: |\r\n)[0-9a-f]+(?=\r\n)/gi)];
  if (numbers.length === 0) return bytes;
  const { index, 0: number } = random.pick(numbers);
  return splice(
    bytes,
    index,
    number.length,
    random.int(64).toString(random.int(2) === 0 ? 10 : 16),
  );
}
