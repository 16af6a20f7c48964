/**
 * The bytes of a record, the same in LMDB and in Redis: `head ‖ answer ‖ seal ‖ body`.
 *
 *     head     version (1 byte) ‖ length of the fields (4) ‖ length of the answer (4) ‖ id (32) ‖ fingerprint (32) ‖
 *              token (16) ‖ msgpack of the named fields below
 *     answer   seal of the body (16) ‖ msgpack [status, [[name, value], …], body length or nil], or, where answers are
 *              encrypted, msgpack [key id, that list encrypted]; only behind a completed head
 *     seal     over head and answer (16), see seal.ts
 *     body     as it is, or encrypted, to the end
 *
 * The digests stand in front as raw bytes because Lua's cmsgpack knows no binary type; `scripts/record.lua` reads and
 * writes the same layout, and seals without touching the body. Nothing read here is trusted: whatever does not add up
 * is `RecordCorrupt`, never a reply.
 */
import { Packr } from "msgpackr";
import type { HeaderPair, RecordedResponse, RecordSummary, StoredRecord } from "../core/record.ts";
import {
  asAnsweredBy,
  asCount,
  asHeader,
  asReason,
  asShadow,
  asText,
  corrupt,
} from "./codec-values.ts";
import { cipherFor, cipherNamed, noKeys, refusePlain, SEALED_BYTES } from "./encryption.ts";
import type { Keyring, Place, PlaceCipher } from "./encryption.ts";
import { SEAL_BYTES, sealOf } from "./seal.ts";

/** Rises when the layout changes; a store never guesses at a version that it does not know. */
const FORMAT_VERSION = 3;
/** How many fields a version has; 2 ended with the reason. */
const FIELDS_IN: Readonly<Record<number, number>> = { 2: 9, [FORMAT_VERSION]: 12 };
const FIELDS_LENGTH_AT = 1;
const ANSWER_LENGTH_AT = 5;
const ID_AT = 9;
const FINGERPRINT_AT = 41;
const TOKEN_AT = 73;
const FIELDS_AT = 89;

const packr = new Packr({ useRecords: false, int64AsType: "number" });

/** The whole value of a record. `keyring` undefined: nothing is encrypted. */
export function encodeRecord(record: StoredRecord, keyring?: Keyring): Buffer {
  const response = record.state === "completed" ? record.response : undefined;
  if (response === undefined) {
    const head = encodeHead(record, 0);
    return Buffer.concat([head, sealOf(head)]);
  }
  const { answer, body } = encodeAnswer(record, response, keyring);
  const head = encodeHead(record, answer.length);
  return Buffer.concat([head, answer, sealOf(head, answer), body ?? Buffer.alloc(0)]);
}

/** What an answer belongs to: the token is one claim's alone, so no other claim of the same key can be told it. */
type Claimed = Pick<StoredRecord, "id" | "token">;

const placeOf = ({ id, token }: Claimed): Place => ["record", id, token];

/** Status, headers and body length, with the seal of the body, as they stand between head and seal; and the body. */
export function encodeAnswer(
  claimed: Claimed,
  { status, headers, body }: RecordedResponse,
  keyring?: Keyring,
): { readonly answer: Buffer; readonly body: Uint8Array | undefined } {
  const packed = packr.pack([status, headers, body === undefined ? null : body.length]);
  if (keyring === undefined) {
    return { answer: Buffer.concat([sealOf(body ?? Buffer.alloc(0)), packed]), body };
  }
  const cipher = cipherFor(keyring, placeOf(claimed));
  const sealed = cipher.seal("answer", packed);
  const hidden = body && cipher.seal(bodyOf(sealed), body);
  const answer = [sealOf(hidden ?? Buffer.alloc(0)), packr.pack([cipher.keyId, sealed])];
  return { answer: Buffer.concat(answer), body: hidden };
}

/** A body opens only behind the status and the headers that it was sealed with: their nonce is in its name. */
function bodyOf(sealedAnswer: Uint8Array): string {
  return `body of ${Buffer.from(sealedAnswer).toString("base64", 0, 12)}`;
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
    record.claimedBy,
    record.shadow === true,
    (record.state === "completed" ? record.answeredBy : undefined) ?? "",
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
export function decodeRecord(id: string, bytes: Uint8Array, keyring?: Keyring): StoredRecord {
  const { base, response } = readHeads(id, bytes, keyring);
  if (base.state !== "completed") return base;
  if (response === undefined) return { ...base, response: undefined };
  const { status, headers, bodyLength, bodySeal, rest, opened } = response;
  const added = opened === undefined || bodyLength === undefined ? 0 : SEALED_BYTES;
  if (rest.length !== (bodyLength ?? 0) + added)
    throw corrupt("its body is not as long as it says");
  if (!sealOf(rest).equals(bodySeal)) throw corrupt("its body is not what was sealed");
  if (bodyLength === undefined) return { ...base, response: { status, headers, body: undefined } };
  const body = opened === undefined ? rest : opened.cipher.open(opened.bodyPart, rest);
  return { ...base, response: { status, headers, body } };
}

/**
 * Reads a value without its body; whether the body's bytes follow makes no difference.
 * @throws RecordCorrupt as `decodeRecord`.
 */
export function decodeSummary(id: string, bytes: Uint8Array, keyring?: Keyring): RecordSummary {
  const { base, response } = readHeads(id, bytes, keyring);
  if (base.state !== "completed") return base;
  if (response === undefined) return { ...base, response: undefined, replayable: false };
  const { status, headers, bodyLength } = response;
  return {
    ...base,
    response: { status, headers, body: undefined },
    replayable: bodyLength !== undefined,
  };
}

/**
 * Reads what a value says before its answer, which is not looked at and reads as none: an operator may forget a record
 * that no key opens any more.
 * @throws RecordCorrupt as `decodeRecord`, of what stands before the answer.
 */
export function decodeBare(id: string, bytes: Uint8Array): StoredRecord {
  const { base } = readBase(id, bytes);
  return base.state === "completed" ? { ...base, response: undefined } : base;
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
  /** What opens the body; `undefined` where nothing was encrypted. */
  readonly opened: { readonly cipher: PlaceCipher; readonly bodyPart: string } | undefined;
}

function readHeads(
  id: string,
  bytes: Uint8Array,
  keyring: Keyring | undefined,
): { readonly base: BareRecord; readonly response: ReadResponse | undefined } {
  const { base, answer, rest } = readBase(id, bytes);
  if (answer === undefined) return { base, response: undefined };
  return { base, response: readResponse(base, answer, rest, keyring) };
}

/** `answer` is undefined where there is none; `rest` is what stands behind the seal. */
function readBase(
  id: string,
  bytes: Uint8Array,
): { readonly base: BareRecord; readonly answer: Buffer | undefined; readonly rest: Buffer } {
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (value.length <= FIELDS_AT) throw corrupt("it is too short");
  const count = FIELDS_IN[value[0] ?? 0];
  if (count === undefined) throw corrupt("its format version is not known");
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
  const fields = unpack(value.subarray(FIELDS_AT, answerAt));
  if (!Array.isArray(fields) || fields.length !== count) {
    throw corrupt("its fields are not those of its format");
  }
  const base = readFields(id, value, fields);
  const rest = value.subarray(bodyAt);
  if (answerAt === sealAt) {
    if (rest.length > 0) throw corrupt("something stands behind it");
    return { base, answer: undefined, rest };
  }
  if (base.state !== "completed") throw corrupt("it carries an answer before it is completed");
  return { base, answer: value.subarray(answerAt, sealAt), rest };
}

function unpack(packed: Buffer): unknown {
  try {
    return packr.unpack(packed) as unknown;
  } catch {
    // The parser's error quotes the bytes, so it is replaced rather than passed on.
    throw corrupt("it is not msgpack");
  }
}

function readFields(id: string, value: Buffer, fields: readonly unknown[]): BareRecord {
  const [state, fence, createdAtMs, expiresAtMs, changedAtMs, method, target, route, reason] =
    fields;
  const [claimedBy, shadow, answeredBy] = fields.length > 9 ? fields.slice(9) : ["", false, ""];
  const base = {
    id,
    fingerprint: value.toString("hex", FINGERPRINT_AT, TOKEN_AT),
    fence: asCount(fence, 1),
    createdAtMs: asCount(createdAtMs, 0),
    method: asText(method),
    target: asText(target),
    route: asText(route),
    claimedBy: asText(claimedBy),
    ...asShadow(shadow),
    token: value.toString("hex", TOKEN_AT, FIELDS_AT),
    expiresAtMs: asCount(expiresAtMs, 0),
  };
  const at = asCount(changedAtMs, 0);
  switch (state) {
    case "in-flight":
      return { ...base, state, leaseUntilMs: at };
    case "completed":
      return { ...base, state, completedAtMs: at, ...asAnsweredBy(answeredBy) };
    case "unknown":
      return { ...base, state, reason: asReason(reason), sinceMs: at };
    default:
      throw corrupt("its state is not known");
  }
}

function readResponse(
  claimed: Claimed,
  answer: Buffer,
  rest: Uint8Array,
  keyring: Keyring | undefined,
): ReadResponse {
  const shown = unpack(answer.subarray(SEAL_BYTES));
  const opened = openAnswer(claimed, shown, keyring);
  const head = opened === undefined ? shown : unpack(opened.packed);
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
    opened,
  };
}

/** `undefined`: the answer is not encrypted, and need not be. Two members where a plain answer has three. */
function openAnswer(claimed: Claimed, shown: unknown, keyring: Keyring | undefined) {
  if (!Array.isArray(shown) || shown.length !== 2) {
    if (keyring?.plain === "refuse") throw refusePlain();
    return undefined;
  }
  const [keyId, sealed] = shown as unknown[];
  if (!Buffer.isBuffer(sealed)) throw corrupt("what is encrypted are not bytes");
  if (keyring === undefined) throw noKeys();
  const cipher = cipherNamed(keyring, asText(keyId), placeOf(claimed));
  return { cipher, packed: cipher.open("answer", sealed), bodyPart: bodyOf(sealed) };
}
