/**
 * Answers of an upstream, sound and unsound, one for each number: what it writes, in which pieces, what it sends behind
 * it and how it leaves the connection. Everything is drawn from the number alone.
 */
import { Random } from "../support/random.ts";
import { strictReading, type Ending } from "./reading.ts";

export interface Piece {
  readonly bytes: Buffer;
  /** When it is written after the piece before: in the same write, in a later turn of the loop, or that much later. */
  readonly after: "turn" | number;
}

export interface Said {
  readonly number: number;
  readonly method: string;
  readonly what: string;
  readonly pieces: readonly Piece[];
  /** All of them. */
  readonly bytes: Buffer;
  readonly ending: Ending;
  /** With this piece the answer is whole: what comes later, the ending too, changes nothing of it. -1 where none is. */
  readonly wholeAt: number;
}

/** What a gateway keeps of an answer; some bodies are longer. */
export const RESPONSE_BYTES = 1024;

const STATUSES = [
  "200 OK",
  "201 Created",
  "202",
  "299 ",
  "404 Not Found",
  "422 No\u00fcn",
  "500 Oops",
];
const METHODS = ["POST", "POST", "POST", "PUT", "PATCH", "DELETE"];

interface Draft {
  line: string;
  fields: string[];
  framing: "length" | "chunked" | "close" | "none";
  body: string;
  /** Instead of what `framing` makes of `body`. */
  wire?: string;
  before: string;
  behind: string;
}

export function saidBy(number: number): Said {
  const random = new Random(number);
  const method = random.pick(METHODS);
  const draft = newDraft(number, random);
  const family = random.pick(FAMILIES);
  const [what, change] = random.pick(family);
  change(draft, random, number);
  const whole = Buffer.from(render(draft), "latin1");
  const [how, bytes] = random.pick(BYTES)(whole, random, number, family === SOUND);
  const ending = endingOf(bytes, method, draft, random);
  const behind = random.chance(0.25) ? random.pick(BEHIND) : "nothing";
  const pieces = piecesOf(bytes, behind, number, random);
  return {
    number,
    method,
    what: `${what}, ${how}, behind it ${behind}, the connection ${ending}`,
    pieces,
    wholeAt: wholeAt(pieces, method),
    bytes: Buffer.concat(pieces.map((piece) => piece.bytes)),
    ending,
  };
}

function wholeAt(pieces: readonly Piece[], method: string): number {
  let bytes = Buffer.alloc(0);
  return pieces.findIndex((piece) => {
    bytes = Buffer.concat([bytes, piece.bytes]);
    return strictReading(bytes, "stays", method).kind === "answer";
  });
}

function newDraft(number: number, random: Random): Draft {
  const size = random.chance(0.1) ? random.between(900, 3000) : random.int(200);
  const draft: Draft = {
    line: `HTTP/1.1 ${random.pick(STATUSES)}`,
    fields: [`X-Unit: ${number}`, "Content-Type: text/plain", "Set-Cookie: a=1", "Set-Cookie: b=2"],
    framing: random.pick(["length", "length", "chunked", "chunked", "close"] as const),
    body: `unit ${number} ${"x".repeat(size)}`,
    before: "",
    behind: "",
  };
  if (random.chance(0.1)) {
    draft.line = random.pick(["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified"]);
    draft.framing = "none";
    draft.body = "";
  }
  if (random.chance(0.2)) draft.fields.push("Connection: close");
  if (random.chance(0.1)) draft.line = draft.line.replace("1.1", "1.0");
  return draft;
}

function render(draft: Draft): string {
  const framing = {
    length: [`Content-Length: ${draft.body.length}`],
    chunked: ["Transfer-Encoding: chunked"],
    close: [],
    none: [],
  }[draft.framing];
  const wire = draft.wire ?? (draft.framing === "chunked" ? chunked(draft.body) : draft.body);
  const head = [draft.line, ...framing, ...draft.fields].join("\r\n");
  return `${draft.before}${head}\r\n\r\n${wire}${draft.behind}`;
}

function chunked(body: string): string {
  const half = Math.ceil(body.length / 2);
  return [body.slice(0, half), body.slice(half), ""]
    .filter((chunk, at) => chunk !== "" || at === 2)
    .map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
    .join("");
}

type Change = readonly [what: string, change: (draft: Draft, random: Random, n: number) => void];

const framed = (what: string, ...fields: readonly string[]): Change => [
  what,
  (draft) => {
    draft.wire = draft.framing === "chunked" ? chunked(draft.body) : draft.body;
    draft.framing = "none";
    draft.fields.push(...fields.map((field) => field.replace("LENGTH", String(draft.body.length))));
  },
];

const field = (what: string, text: string): Change => [
  what,
  (d, r) => d.fields.splice(r.int(5), 0, text),
];

const line = (what: string, text: string): Change => [what, (draft) => void (draft.line = text)];

const wire = (what: string, text: (body: string) => string): Change => [
  what,
  (draft) => {
    draft.framing = "chunked";
    draft.wire = text(draft.body);
  },
];

const size = (body: string): string => body.length.toString(16);

const SOUND: readonly Change[] = [
  ["sound", () => {}],
  ["a 103 before it", (draft) => void (draft.before = "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n")],
  ["a 100 unasked", (draft) => void (draft.before = "HTTP/1.1 100 Continue\r\n\r\n")],
  ["many 1xx", (d, r) => void (d.before = "HTTP/1.1 102 P\r\n\r\n".repeat(r.between(1, 40)))],
  wire("chunk extensions", (b) => `${size(b)};a="b c";d=e\r\n${b}\r\n0;f\r\n\r\n`),
  wire("trailers", (b) => `0${size(b).toUpperCase()}\r\n${b}\r\n000\r\nX-T: 1\r\nX-U:\r\n\r\n`),
  field("a long field", `X-Long: ${"y".repeat(8000)}`),
];

const FRAMING: readonly Change[] = [
  framed("a length too short", "Content-Length: 3"),
  framed("a length too long", "Content-Length: 5000"),
  framed("the length twice", "Content-Length: LENGTH", "Content-Length: LENGTH"),
  framed("two lengths", "Content-Length: LENGTH", "Content-Length: 1"),
  framed("a list of lengths", "Content-Length: LENGTH, LENGTH"),
  framed("a signed length", "Content-Length: +LENGTH"),
  framed("a negative length", "Content-Length: -1"),
  framed("a hexadecimal length", "Content-Length: 0x10"),
  framed("an empty length", "Content-Length: "),
  framed("a length beyond measure", "Content-Length: 99999999999999999999"),
  framed("a padded length", "CONTENT-length:   00LENGTH  "),
  framed("length and chunked", "Content-Length: LENGTH", "Transfer-Encoding: chunked"),
  framed("chunked and length", "Transfer-Encoding: chunked", "Content-Length: LENGTH"),
  framed("a coding", "Transfer-Encoding: gzip"),
  framed("a coding and chunked", "Transfer-Encoding: gzip, chunked"),
  framed("chunked and a coding", "Transfer-Encoding: chunked, identity"),
  framed("chunked twice", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
  framed("chunked misspelt", "Transfer-Encoding: xchunked"),
  framed("an empty coding", "Transfer-Encoding:"),
];

const CHUNKS: readonly Change[] = [
  wire("a chunk too large", (b) => `${(b.length + 2).toString(16)}\r\n${b}\r\n0\r\n\r\n`),
  wire("a chunk too small", (b) => `${(b.length - 1).toString(16)}\r\n${b}\r\n0\r\n\r\n`),
  wire("chunks without end", (b) => `${size(b)}\r\n${b}\r\n`),
  wire("no empty line at the end", (b) => `${size(b)}\r\n${b}\r\n0\r\n`),
  wire("no line end behind a chunk", (b) => `${size(b)}\r\n${b}0\r\n\r\n`),
  wire("a bare LF behind a chunk", (b) => `${size(b)}\r\n${b}\n0\r\n\r\n`),
  wire("a bare LF behind a size", (b) => `${size(b)}\n${b}\r\n0\r\n\r\n`),
  wire("a negative size", (b) => `-${size(b)}\r\n${b}\r\n0\r\n\r\n`),
  wire("a size with 0x", (b) => `0x${size(b)}\r\n${b}\r\n0\r\n\r\n`),
  wire("a space before a size", (b) => ` ${size(b)}\r\n${b}\r\n0\r\n\r\n`),
  wire("an empty size", (b) => `\r\n${b}\r\n0\r\n\r\n`),
  wire("a size beyond measure", (b) => `f0000000000000000\r\n${b}\r\n0\r\n\r\n`),
  wire("an LF in an extension", (b) => `${size(b)};a\nb\r\n${b}\r\n0\r\n\r\n`),
  wire("an extension without end", (b) => `${size(b)};${"e".repeat(1100)}\r\n${b}\r\n0\r\n\r\n`),
  wire("a trailer that is none", (b) => `${size(b)}\r\n${b}\r\n0\r\nnothing\r\n\r\n`),
  wire("a folded trailer", (b) => `${size(b)}\r\n${b}\r\n0\r\nX-T: 1\r\n 2\r\n\r\n`),
  wire("trailers beyond measure", (b) => `0\r\n${"X-T: tttttttttttt\r\n".repeat(1000)}\r\n${b}`),
];

const HEADS: readonly Change[] = [
  ...["2000 OK", "20 OK", "099 OK", "abc OK", "000 OK", "", "101 Switch", "100 Go", "-200 OK"].map(
    (status) => line(`status ${status}`, `HTTP/1.1 ${status}`),
  ),
  ...[
    "HTTP/2.0 200 OK",
    "HTTP/1.2 200 OK",
    "HTTP/1.1  200 OK",
    "HTTP/1.1\t200 OK",
    "http/1.1 200 OK",
  ].map((text) => line(text, text)),
  ...[
    "200 OK",
    "HTTP 200 OK",
    "ICY 200 OK",
    "HTTP/11 200 OK",
    "HTTP/1.1 200OK",
    " HTTP/1.1 200 OK",
  ].map((text) => line(text, text)),
  line("a control character in the reason", "HTTP/1.1 200 O\u0001K"),
  field("a folded line", "X-A: a\r\n b"),
  field("a line of blanks", "X-A: a\r\n  "),
  field("a NUL", "X-A: a\0b"),
  field("a DEL", "X-A: a\u007fb"),
  field("a bare CR", "X-A: a\rb"),
  field("a bare LF", "X-A: a\nb"),
  field("a bare CR at the end", "X-A: a\r"),
  field("a space before the colon", "X-A : a"),
  field("a space in a name", "X A: a"),
  field("no name", ": a"),
  field("no colon", "X-A"),
  field("a high byte in a name", "X-\u00e9: a"),
  field("a high byte in a value", "X-A: \u00e9\u00ff"),
  field("a field beyond measure", `X-Long: ${"y".repeat(17_000)}`),
  [
    "fields beyond measure",
    (d) => d.fields.push(...Array.from({ length: 1100 }, () => "X-A: aaaaaaaaaa")),
  ],
  ["an empty line first", (draft) => void (draft.before = "\r\n")],
  ["an unsound 1xx", (draft) => void (draft.before = "HTTP/1.1 102 P\r\nX A: a\r\n\r\n")],
  ["a 101 before it", (draft) => void (draft.before = "HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n")],
  ["1xx without measure", (draft) => void (draft.before = "HTTP/1.1 102 P\r\n\r\n".repeat(1001))],
  [
    "1xx and nothing else",
    (draft) => void ((draft.line = "HTTP/1.1 102 P"), (draft.framing = "none")),
  ],
];

const FAMILIES = [SOUND, SOUND, SOUND, FRAMING, CHUNKS, HEADS];

type Bytes = (
  bytes: Buffer,
  random: Random,
  n: number,
  sound: boolean,
) => readonly [string, Buffer];

const asIs: Bytes = (bytes) => ["as it is", bytes];

/** A byte that changes no status into one that means something else to the gateway than an answer. */
const at = (bytes: Buffer, random: Random): number => {
  const place = random.int(bytes.length - 3);
  return place < 9 ? place : place + 3;
};

const BYTES: readonly Bytes[] = [
  asIs,
  asIs,
  asIs,
  // At every place in turn, because neighbouring numbers are neighbouring places.
  (bytes, random, n) => {
    const place = random.chance(0.5) ? n % bytes.length : random.int(bytes.length);
    return [`cut at ${place}`, bytes.subarray(0, place)];
  },
  (bytes, random, n, sound) => {
    if (!sound) return asIs(bytes, random, n, sound);
    const place = at(bytes, random);
    const changed = Buffer.from(bytes);
    changed[place] = random.int(128);
    return [`byte ${place} is ${changed[place]}`, changed];
  },
  (bytes, random, n, sound) => {
    if (!sound) return asIs(bytes, random, n, sound);
    const place = at(bytes, random);
    const more = Buffer.from(
      random.pick(["\n", "\r", "\r\n", "\0", " ", "0", ":", ";", "\r\n\r\n"]),
    );
    return [
      `${JSON.stringify(String(more))} at ${place}`,
      Buffer.concat([bytes.subarray(0, place), more, bytes.subarray(place)]),
    ];
  },
  (bytes, random, n, sound) => {
    if (!sound) return asIs(bytes, random, n, sound);
    const place = at(bytes, random);
    const gone = random.between(1, 4);
    return [
      `${gone} bytes missing at ${place}`,
      Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + gone)]),
    ];
  },
];

const BEHIND = ["at once", "a turn later", "30 ms later", "5 ms later"] as const;

/** What must never answer anybody. */
function poison(number: number): Buffer {
  return Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Poison: ${number}\r\n\r\npoison`);
}

/** A reader waits for what never comes until its deadline, or without end where it has begun to pass it on. */
function endingOf(bytes: Buffer, method: string, draft: Draft, random: Random): Ending {
  if (draft.framing === "close") return random.pick(["ends", "ends", "resets"]);
  const ending = random.pick(["stays", "stays", "stays", "ends", "resets"] as const);
  const reading = strictReading(bytes, ending, method);
  if (ending !== "stays" || reading.kind === "answer") return ending;
  const passedOn = Math.max(reading.begun?.announced ?? 0, bytes.length) > RESPONSE_BYTES;
  return passedOn || random.chance(0.9) ? random.pick(["ends", "resets"]) : ending;
}

function piecesOf(
  bytes: Buffer,
  behind: (typeof BEHIND)[number] | "nothing",
  number: number,
  random: Random,
): readonly Piece[] {
  const pieces: Piece[] = [];
  const count = random.chance(0.6) ? 1 : random.between(2, 6);
  const places = Array.from({ length: count - 1 }, () => random.int(bytes.length + 1));
  const cuts = [0, ...places.toSorted((a, b) => a - b), bytes.length];
  for (let n = 1; n < cuts.length; n += 1) {
    pieces.push({ bytes: bytes.subarray(cuts[n - 1], cuts[n]), after: "turn" });
  }
  if (behind === "nothing") return pieces;
  const last = pieces.at(-1);
  if (behind === "at once" && last !== undefined) {
    pieces[pieces.length - 1] = { ...last, bytes: Buffer.concat([last.bytes, poison(number)]) };
    return pieces;
  }
  const after = behind === "a turn later" ? "turn" : Number.parseInt(behind, 10);
  return [...pieces, { bytes: poison(number), after }];
}
