/**
 * `replay.whenChanged: conflict`: a replay whose resource has since been changed by another write is told so instead
 * of an answer that is no longer true.
 */
import { RecordCorrupt, StoreUnavailable } from "../core/ports.ts";
import { originalOf } from "../core/problem.ts";
import type { CompletedRecord } from "../core/record.ts";
import type { Admitted } from "./admit.ts";
import { problemAnswer, type About, type Answer } from "./answer.ts";
import type { FlowDeps } from "./deps.ts";
import { recall } from "./memory.ts";

/** `undefined`: nothing is known against the replay. */
export async function refuseStale(
  { policy, resource }: Admitted,
  record: CompletedRecord,
  about: About,
  deps: Pick<FlowDeps, "store">,
): Promise<Answer | undefined> {
  if (policy.replay.whenChanged !== "conflict" || resource === undefined) return undefined;
  try {
    const { memory } = await recall(resource.id, deps.store);
    const changed = memory.writer !== undefined && memory.writer.record !== record.id;
    if (!changed) return undefined;
    return problemAnswer("stale", about, {
      original: originalOf(record),
      expiresAtMs: record.expiresAtMs,
    });
  } catch (error) {
    if (error instanceof RecordCorrupt) return problemAnswer("record-corrupt", about);
    if (!(error instanceof StoreUnavailable)) throw error;
    return problemAnswer("store-unavailable", about, { retryAfterS: 1 });
  }
}
