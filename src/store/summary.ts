/** A listed record as it stands now. Listings never read a body, so core/record.ts's `asOf` does not fit them as it is. */
import type { RecordSummary } from "../core/record.ts";
import { asOf, summarise } from "../core/record.ts";

export function summaryAsOf(summary: RecordSummary, nowMs: number): RecordSummary | undefined {
  if (summary.state === "completed") return summary.expiresAtMs > nowMs ? summary : undefined;
  const record = asOf(summary, nowMs);
  return record === undefined ? undefined : summarise(record);
}
