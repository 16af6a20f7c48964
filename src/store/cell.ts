/**
 * A cell: one small value beside the records, with its revision and its end. What a write comes to is decided here for
 * the memory and the embedded store; `scripts/write-cell.lua` says the same in Lua. The bytes, alike in LMDB and Redis:
 *
 *     version (1 byte) ‖ id (32) ‖ revision (8, big-endian) ‖ expiresAtMs (8, big-endian) ‖ seal of the value (16) ‖
 *     seal of all before it (16) ‖ value, as it is, to the end
 *
 * See seal.ts; Lua takes the value's seal from the gateway, so that it never digests a value. Nothing read here is trusted: whatever does not add up is `RecordCorrupt`.
 */
import { RecordCorrupt } from "../core/ports.ts";
import type { WriteAnswer } from "../core/record.ts";
import type { Cell } from "../core/resource-ports.ts";
import { SEAL_BYTES, sealOf } from "./seal.ts";

export interface StoredCell extends Cell {
  /** When the cell is forgotten, on the store's clock. */
  readonly expiresAtMs: number;
}

/** See `Cells.writeCell`. */
export interface CellWrite {
  readonly value: Uint8Array | undefined;
  readonly revision: number;
  readonly retentionMs: number;
}

export type CellDecision =
  | { readonly answer: Extract<WriteAnswer, "lost"> }
  /** `next` undefined: nothing may stand there afterwards. */
  | { readonly answer: Extract<WriteAnswer, "done">; readonly next: StoredCell | undefined };

/** Rises when the layout changes; a store never guesses at a version that it does not know. */
const FORMAT_VERSION = 2;
const REVISION_AT = 33;
const EXPIRY_AT = 41;
const VALUE_SEAL_AT = 49;
const SEAL_AT = 65;
const VALUE_AT = 81;

/** The cell as of `nowMs`: absent once its time is over, swept or not. */
export function liveCell(stored: StoredCell | undefined, nowMs: number): StoredCell | undefined {
  return stored !== undefined && stored.expiresAtMs > nowMs ? stored : undefined;
}

export function decideCellWrite(
  stored: StoredCell | undefined,
  { value, revision, retentionMs }: CellWrite,
  nowMs: number,
): CellDecision {
  const standing = liveCell(stored, nowMs)?.revision ?? 0;
  if (standing !== revision) return { answer: "lost" };
  if (value === undefined) return { answer: "done", next: undefined };
  const expiresAtMs = Math.ceil(nowMs + retentionMs);
  const next = { value, revision: revision + 1, expiresAtMs };
  return { answer: "done", next };
}

/** `id`: 64 hex digits. */
export function encodeCell(id: string, { value, revision, expiresAtMs }: StoredCell): Buffer {
  const head = Buffer.alloc(VALUE_SEAL_AT);
  head[0] = FORMAT_VERSION;
  head.write(id, 1, "hex");
  head.writeBigUInt64BE(BigInt(revision), REVISION_AT);
  head.writeBigUInt64BE(BigInt(expiresAtMs), EXPIRY_AT);
  const valueSeal = sealOf(value);
  return Buffer.concat([head, valueSeal, sealOf(head, valueSeal), value]);
}

/**
 * Reads what was stored for `id`. The value is a view on `bytes`.
 * @throws RecordCorrupt when it is not what a store wrote for this id.
 */
export function decodeCell(id: string, bytes: Uint8Array): StoredCell {
  const stored = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (stored.length < VALUE_AT) throw corrupt("it is too short");
  if (stored[0] !== FORMAT_VERSION) throw corrupt("its format version is not known");
  if (stored.toString("hex", 1, REVISION_AT) !== id) throw corrupt("it names another resource");
  const sealed = stored.subarray(0, SEAL_AT);
  const value = stored.subarray(VALUE_AT);
  const sound =
    sealOf(sealed).equals(stored.subarray(SEAL_AT, VALUE_AT)) &&
    sealOf(value).equals(stored.subarray(VALUE_SEAL_AT, VALUE_SEAL_AT + SEAL_BYTES));
  if (!sound) throw corrupt("it is not what was sealed");
  const revision = wholeAt(stored, REVISION_AT);
  if (revision < 1) throw corrupt("its revision is not one");
  return {
    value,
    revision,
    expiresAtMs: wholeAt(stored, EXPIRY_AT),
  };
}

function wholeAt(stored: Buffer, at: number): number {
  const value = Number(stored.readBigUInt64BE(at));
  if (!Number.isSafeInteger(value)) throw corrupt("a number is not a whole one in range");
  return value;
}

function corrupt(why: string): RecordCorrupt {
  return new RecordCorrupt(`The memory of a resource cannot be read: ${why}.`);
}
