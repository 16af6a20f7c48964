/**
 * Cells whose values are encrypted: a deletion's recorded answer stands in one. Around the cells of any store, which
 * see bytes. A value opens only as that revision of that cell.
 *
 *     marker (1 byte) ‖ length of the key id (1) ‖ key id ‖ sealed bytes, see encryption.ts
 */
import { RecordCorrupt } from "../core/ports.ts";
import type { Cells } from "../core/resource-ports.ts";
import { cipherFor, cipherNamed, refusePlain, type Keyring } from "./encryption.ts";

/** No plain value begins with it: those are JSON. */
const MARKER = 1;
const KEY_ID_AT = 2;

export function encryptedCells(cells: Cells, keyring: Keyring): Cells {
  return {
    async readCell(id) {
      const { cell, nowMs } = await cells.readCell(id);
      if (cell === undefined) return { cell, nowMs };
      const { value, revision } = cell;
      return { cell: { value: open(id, value, revision, keyring), revision }, nowMs };
    },
    writeCell: (id, value, revision, retentionMs) =>
      cells.writeCell(id, value && seal(id, value, revision + 1, keyring), revision, retentionMs),
  };
}

const partOf = (revision: number): string => `revision ${revision}`;

function seal(id: string, value: Uint8Array, revision: number, keyring: Keyring): Buffer {
  const cipher = cipherFor(keyring, ["cell", id]);
  const keyId = Buffer.from(cipher.keyId);
  const marked = Buffer.from([MARKER, keyId.length]);
  return Buffer.concat([marked, keyId, cipher.seal(partOf(revision), value)]);
}

function open(id: string, value: Uint8Array, revision: number, keyring: Keyring): Uint8Array {
  if (value[0] !== MARKER) {
    if (keyring.plain === "refuse") throw refusePlain();
    return value;
  }
  const sealedAt = KEY_ID_AT + (value[1] ?? 0);
  if (value.length < sealedAt) throw new RecordCorrupt("A cell is shorter than it says.");
  const keyId = Buffer.from(value.subarray(KEY_ID_AT, sealedAt)).toString();
  return cipherNamed(keyring, keyId, ["cell", id]).open(partOf(revision), value.subarray(sealedAt));
}
