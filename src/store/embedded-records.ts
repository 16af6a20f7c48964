/** Records in the embedded store's tables: read as they stand, and written with their expiry beside them. */
import { RecordCorrupt, type Store } from "../core/ports.ts";
import { asOf, type Decision, type StoredRecord } from "../core/record.ts";
import { decodeBare, decodeRecord, encodeRecord } from "./codec.ts";
import type { ExpiringTables } from "./embedded-sweep.ts";
import type { Keyring } from "./encryption.ts";
import type { StandsUntil } from "./roll.ts";

const NOTHING = Buffer.alloc(0);

export function lookAt(
  records: ExpiringTables["values"],
  id: string,
  nowMs: number,
  keyring: Keyring | undefined,
): Awaited<ReturnType<Store["look"]>> {
  const bytes = records.getBinary(id);
  const record = bytes && asOf(decodeRecord(id, bytes, keyring), nowMs);
  return record && { record, nowMs };
}

/** What cannot be read stands there as well; what it is the claim that meets it tells. */
export function standing(records: ExpiringTables["values"], now: () => number): StandsUntil {
  return (id) => {
    const bytes = records.getBinary(id);
    try {
      return bytes && asOf(decodeBare(id, bytes), now())?.expiresAtMs;
    } catch (error) {
      if (error instanceof RecordCorrupt) return Infinity;
      throw error;
    }
  };
}

export function write<Answer>(
  { values, expiry }: ExpiringTables,
  id: string,
  stored: StoredRecord | undefined,
  { change }: Decision<Answer>,
  keyring: Keyring | undefined,
): void {
  if (change.kind === "keep") return;
  if (stored !== undefined) expiry.removeSync([stored.expiresAtMs, id]);
  if (change.kind === "delete") {
    values.removeSync(id);
    return;
  }
  values.putSync(id, encodeRecord(change.record, keyring));
  expiry.putSync([change.record.expiresAtMs, id], NOTHING);
}
