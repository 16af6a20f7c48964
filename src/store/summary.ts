/** Listed records as they stand now. Listings never read a body, so core/record.ts's `asOf` does not fit them as it is. */
import { RecordCorrupt, type ListPage, type ListQuery } from "../core/ports.ts";
import type { RecordSummary } from "../core/record.ts";
import { asOf, summarise } from "../core/record.ts";
import { decodeSummary } from "./codec.ts";
import type { Keyring } from "./encryption.ts";

/** A stored value of a page: `undefined` where its time is over. */
export type Listed = RecordSummary | { readonly damaged: string } | undefined;

/** Reads one stored value; what is no record is told, and hides no other. */
export function readListed(
  id: string,
  bytes: Uint8Array,
  nowMs: number,
  keyring: Keyring | undefined,
): Listed {
  try {
    return summaryAsOf(decodeSummary(id, bytes, keyring), nowMs);
  } catch (error) {
    return damageOf(id, error);
  }
}

/** Throws what is no damage. */
export function damageOf(id: string, error: unknown): Listed {
  if (error instanceof RecordCorrupt) return { damaged: id };
  throw error;
}

/** What of a page was asked for. */
export function pageOf(page: readonly Listed[], { state }: Pick<ListQuery, "state">): ListPage {
  const damaged = page.flatMap((listed) => (listed && "damaged" in listed ? listed.damaged : []));
  const records = page.flatMap((listed) => {
    if (listed === undefined || "damaged" in listed) return [];
    return state === undefined || listed.state === state ? listed : [];
  });
  return { records, ...(damaged.length > 0 && { damaged }) };
}

export function summaryAsOf(summary: RecordSummary, nowMs: number): RecordSummary | undefined {
  if (summary.state === "completed") return summary.expiresAtMs > nowMs ? summary : undefined;
  const record = asOf(summary, nowMs);
  return record === undefined ? undefined : summarise(record);
}
