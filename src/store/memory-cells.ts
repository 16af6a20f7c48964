/** Cells in the memory store: in a bounded map of their own, gone with the process. What a write comes to cell.ts decides. */
import type { Cells } from "../core/resource-ports.ts";
import type { StoredCell } from "./cell.ts";
import { decideCellWrite, liveCell } from "./cell.ts";
import type { ExpiringMap } from "./expiring-map.ts";

/** `now`: the store's clock, epoch milliseconds. */
export function memoryCells(now: () => number, cells: ExpiringMap<StoredCell>): Cells {
  return {
    async readCell(id) {
      const nowMs = now();
      const cell = liveCell(cells.get(id), nowMs);
      if (cell === undefined) return { cell: undefined, nowMs };
      // Copied on the way out as on the way in: the other stores serialise, so nobody may share bytes with this one.
      return { cell: { value: Uint8Array.from(cell.value), revision: cell.revision }, nowMs };
    },
    async writeCell(id, value, revision, retentionMs) {
      const nowMs = now();
      const kept = value === undefined ? undefined : Uint8Array.from(value);
      const write = { value: kept, revision, retentionMs };
      const decision = decideCellWrite(cells.get(id), write, nowMs);
      if (decision.answer === "lost") return "lost";
      if (decision.next === undefined) cells.delete(id);
      else cells.set(id, decision.next, nowMs);
      return "done";
    },
  };
}
