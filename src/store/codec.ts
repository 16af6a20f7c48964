/**
 * The bytes of a record, the same in LMDB and in Redis: `head ‖ answer ‖ seal ‖ body`.
 *
 *     head     version (1 byte) ‖ length of the fields (4) ‖ length of the answer (4) ‖ id (32) ‖ fingerprint (32) ‖
 *              token (16) ‖ msgpack of the named fields below
 *     answer   seal of the body (16) ‖ msgpack [status, [[name, value], …], body length or nil]; only behind a
 *              completed head
 *     seal     over head and answer (16), see seal.ts
 *     body     as it is, to the end
 *
 * The digests stand in front as raw bytes because Lua's cmsgpack knows no binary type; `scripts/record.lua` reads and
 * writes the same layout, and seals without touching the body. Nothing read here is trusted: whatever does not add up
 * is `RecordCorrupt`, never a reply.
 */
import { validateHeaderName, validateHeaderValue } from "node:http";
import { Packr } from "msgpackr";
import { RecordCorrupt } from "../core/ports.ts";
import type {
  HeaderPair,
  RecordedResponse,
  RecordSummary,
  StoredRecord,
  UnknownReason,
} from "../core/record.ts";
import { UNKNOWN_REASONS } from "../core/record.ts";
import { SEAL_BYTES, sealOf } from "./seal.ts";

/** Rises when the layout changes; a store never guesses at a version that it does not know. */
const FORMAT_VERSION = 2;
const FIELDS_LENGTH_AT = 1;
const ANSWER_LENGTH_AT = 5;
const ID_AT = 9;
const FINGERPRINT_AT = 41;
const TOKEN_AT = 73;
const FIELDS_AT = 89;

const packr = new Packr({ useRecords: false, int64AsType: "number" });

/** The whole value of a record. */
export function encodeRecord(record: StoredRecord): Buffer {
  const response = record.state === "completed" ? record.response : undefined;
  const answer = response === undefined ? Buffer.alloc(0) : encodeAnswer(response);
  const head = encodeHead(record, answer.length);
  return Buffer.concat([head, answer, sealOf(head, answer), response?.body ?? Buffer.alloc(0)]);
}

/** Status, headers and body length, with the seal of the body, as they stand between the head and the seal. */
export function encodeAnswer({ status, headers, body }: RecordedResponse): Buffer {
  const packed = packr.pack([status, headers, body === undefined ? null : body.length]);
  return Buffer.concat([sealOf(body ?? Buffer.alloc(0)), packed]);
}

function encodeHead(record: StoredRecord, answerLength: number): Buffer {
  const changedAtMs = changeTimeOf(record);
  const fields = packr.pack([
    record.state,
    record.fence,
    integer(record.createdAtMs),
    integer(record.expiresAtMs),
    integer(changedAtMs),
    record.method,
    record.target,
    record.route,
    record.state === "unknown" ? record.reason : "",
  ]);
  const head = Buffer.alloc(FIELDS_AT);
  head[0] = FORMAT_VERSION;
  head.writeUInt32BE(fields.length, FIELDS_LENGTH_AT);
  head.writeUInt32BE(answerLength, ANSWER_LENGTH_AT);
  head.write(record.id, ID_AT, "hex");
  head.write(record.fingerprint, FINGERPRINT_AT, "hex");
  head.write(record.token, TOKEN_AT, "hex");
  return Buffer.concat([head, fields]);
}

/** One field holds the time that belongs to the state: lease end, completion, or since when it is unknown. */
function changeTimeOf(record: StoredRecord): number {
  switch (record.state) {
    case "in-flight":
      return record.leaseUntilMs;
    case "completed":
      return record.completedAtMs;
    case "unknown":
      return record.sinceMs;
  }
}

/** msgpackr writes a number over 2^32 as a float; cmsgpack writes an integer. A bigint makes both the same byte. */
function integer(value: number): number | bigint {
  return value > 0xffff_ffff ? BigInt(value) : value;
}

/**
 * Reads a whole value that was stored for `id`.
 * @throws RecordCorrupt when any part of it is not what a store wrote for this id.
 */
export function decodeRecord(id: string, bytes: Uint8Array): StoredRecord {
  const { base, response } = readHeads(id, bytes);
  if (base.state !== "completed") return base;
  if (response === undefined) return { ...base, response: undefined };
  const { status, headers, bodyLength, bodySeal, rest } = response;
  if (rest.length !== (bodyLength ?? 0)) throw corrupt("its body is not as long as it says");
  if (!sealOf(rest).equals(bodySeal)) throw corrupt("its body is not what was sealed");
  return {
    ...base,
    response: { status, headers, body: bodyLength === undefined ? undefined : rest },
  };
}

/**
 * Reads a value without its body; whether the body's bytes follow makes no difference.
 * @throws RecordCorrupt as `decodeRecord`.
 */
export function decodeSummary(id: string, bytes: Uint8Array): RecordSummary {
  const { base, response } = readHeads(id, bytes);
  if (base.state !== "completed") return base;
  if (response === undefined) return { ...base, response: undefined, replayable: false };
  const { status, headers, bodyLength } = response;
  return {
    ...base,
    response: { status, headers, body: undefined },
    replayable: bodyLength !== undefined,
  };
}

type BareRecord =
  | Exclude<StoredRecord, { readonly state: "completed" }>
  | Omit<Extract<StoredRecord, { readonly state: "completed" }>, "response">;

interface ReadResponse {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly bodyLength: number | undefined;
  readonly bodySeal: Buffer;
  readonly rest: Uint8Array;
}

function readHeads(
  id: string,
  bytes: Uint8Array,
): { readonly base: BareRecord; readonly response: ReadResponse | undefined } {
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (value.length <= FIELDS_AT) throw corrupt("it is too short");
  if (value[0] !== FORMAT_VERSION) throw corrupt("its format version is not known");
  // DANGER: this comparison stands between one caller and another caller's answer.
  if (value.toString("hex", ID_AT, FINGERPRINT_AT) !== id) throw corrupt("it names another record");
  const answerAt = FIELDS_AT + value.readUInt32BE(FIELDS_LENGTH_AT);
  const sealAt = answerAt + value.readUInt32BE(ANSWER_LENGTH_AT);
  const bodyAt = sealAt + SEAL_BYTES;
  if (value.length < bodyAt) throw corrupt("it is shorter than it says");
  // Before anything is taken apart: what was damaged is not even parsed.
  if (!sealOf(value.subarray(0, sealAt)).equals(value.subarray(sealAt, bodyAt))) {
    throw corrupt("it is not what was sealed");
  }
  const base = readFields(id, value, unpack(value.subarray(FIELDS_AT, answerAt)));
  if (answerAt === sealAt) {
    if (value.length > bodyAt) throw corrupt("something stands behind it");
    return { base, response: undefined };
  }
  if (base.state !== "completed") throw corrupt("it carries an answer before it is completed");
  const answer = value.subarray(answerAt, sealAt);
  return { base, response: readResponse(answer, value.subarray(bodyAt)) };
}

function unpack(packed: Buffer): unknown {
  try {
    return packr.unpack(packed) as unknown;
  } catch {
    // The parser's error quotes the bytes, so it is replaced rather than passed on.
    throw corrupt("it is not msgpack");
  }
}

function readFields(id: string, value: Buffer, fields: unknown): BareRecord {
  if (!Array.isArray(fields) || fields.length !== 9) throw corrupt("its fields are not nine");
  const [state, fence, createdAtMs, expiresAtMs, changedAtMs, method, target, route, reason] =
    fields as unknown[];
  const base = {
    id,
    fingerprint: value.toString("hex", FINGERPRINT_AT, TOKEN_AT),
    fence: asCount(fence, 1),
    createdAtMs: asCount(createdAtMs, 0),
    method: asText(method),
    target: asText(target),
    route: asText(route),
    token: value.toString("hex", TOKEN_AT, FIELDS_AT),
    expiresAtMs: asCount(expiresAtMs, 0),
  };
  const at = asCount(changedAtMs, 0);
  switch (state) {
    case "in-flight":
      return { ...base, state, leaseUntilMs: at };
    case "completed":
      return { ...base, state, completedAtMs: at };
    case "unknown":
      return { ...base, state, reason: asReason(reason), sinceMs: at };
    default:
      throw corrupt("its state is not known");
  }
}

function readResponse(answer: Buffer, rest: Uint8Array): ReadResponse {
  const head = unpack(answer.subarray(SEAL_BYTES));
  if (!Array.isArray(head) || head.length !== 3) throw corrupt("its answer is not status to body");
  const [status, headers, length] = head as unknown[];
  if (asCount(status, 100) > 999) throw corrupt("its status is not one");
  if (!Array.isArray(headers)) throw corrupt("its headers are not a list");
  return {
    status: asCount(status, 100),
    headers: headers.map(asHeader),
    bodyLength: length === null ? undefined : asCount(length, 0),
    bodySeal: answer.subarray(0, SEAL_BYTES),
    rest,
  };
}

/** A stored CR or LF would split the replay in two (RFC 9112 §11.1), so each field is judged again on its way out. */
function asHeader(pair: unknown): HeaderPair {
  if (!Array.isArray(pair) || pair.length !== 2) throw corrupt("a header is not name and value");
  const [name, value] = pair as unknown[];
  const text = { name: asText(name), value: asText(value) };
  try {
    validateHeaderName(text.name);
    validateHeaderValue(text.name, text.value);
  } catch {
    // Node's error quotes the value, which may be a cookie.
    throw corrupt("a header is not valid");
  }
  return [text.name, text.value];
}

function asCount(value: unknown, least: number): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw corrupt("a number is not a whole one in range");
}

function asText(value: unknown): string {
  if (typeof value === "string") return value;
  throw corrupt("a text is not one");
}

function asReason(value: unknown): UnknownReason {
  const reason = UNKNOWN_REASONS.find((known) => known === value);
  if (reason === undefined) throw corrupt("its reason is not known");
  return reason;
}

function corrupt(why: string): RecordCorrupt {
  return new RecordCorrupt(`The stored record cannot be read: ${why}.`);
}
