/**
 * A cell: one small value beside the records, with its revision and its end. What a write comes to is decided here for
 * the memory and the embedded store; `scripts/write-cell.lua` says the same in Lua. The bytes, alike in LMDB and Redis:
 *
 *     version (1 byte) ‖ id (32) ‖ revision (8, big-endian) ‖ expiresAtMs (8, big-endian) ‖ value, as it is, to the end
 *
 * Nothing read here is trusted: whatever does not add up is `RecordCorrupt`.
 */
import { RecordCorrupt } from "../core/ports.ts";
import type { WriteAnswer } from "../core/record.ts";
import type { Cell } from "../core/resource-ports.ts";

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
const FORMAT_VERSION = 1;
const REVISION_AT = 33;
const EXPIRY_AT = 41;
const VALUE_AT = 49;

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
  const head = Buffer.alloc(VALUE_AT);
  head[0] = FORMAT_VERSION;
  head.write(id, 1, "hex");
  head.writeBigUInt64BE(BigInt(revision), REVISION_AT);
  head.writeBigUInt64BE(BigInt(expiresAtMs), EXPIRY_AT);
  return Buffer.concat([head, value]);
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
  const revision = wholeAt(stored, REVISION_AT);
  if (revision < 1) throw corrupt("its revision is not one");
  return {
    value: stored.subarray(VALUE_AT),
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
