/** Whether a key has a record, for those who must not refuse its retries. Changes nothing. */
import { RecordCorrupt, StoreUnavailable } from "../core/ports.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";

export async function isKnown(
  id: string,
  { store }: Pick<FlowDeps, "store">,
): Promise<"yes" | "no" | Extract<Claimed, { kind: "unavailable" }>> {
  try {
    return (await store.inspect(id)) === undefined ? "no" : "yes";
  } catch (error) {
    // What the claim comes upon as well, and tells.
    if (error instanceof RecordCorrupt) return "yes";
    if (!(error instanceof StoreUnavailable)) throw error;
    return { kind: "unavailable", cause: error.code };
  }
}
