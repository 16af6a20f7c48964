/**
 * Cells in the embedded store: a pair of databases of their own, written in the store's transactions. The store hands
 * its tables and its ways to read and write in; nothing is opened here.
 */
import type { WriteAnswer } from "../core/record.ts";
import type { Cells } from "../core/resource-ports.ts";
import type { StoredCell } from "./cell.ts";
import { decideCellWrite, decodeCell, encodeCell, liveCell } from "./cell.ts";
import type { ExpiringTables } from "./embedded-sweep.ts";

const NOTHING = Buffer.alloc(0);

interface CellPlace {
  readonly tables: ExpiringTables;
  /** Runs the body in a write transaction. */
  readonly transact: (body: () => WriteAnswer) => Promise<WriteAnswer>;
  /** Runs the body on what every process has committed until now. */
  readonly read: <Answer>(body: () => Answer) => Promise<Answer>;
  readonly now: () => number;
}

export function embeddedCells({ tables, transact, read, now }: CellPlace): Cells {
  function stored(id: string): StoredCell | undefined {
    const bytes = tables.values.getBinary(id);
    return bytes === undefined ? undefined : decodeCell(id, bytes);
  }

  function put(id: string, before: StoredCell | undefined, next: StoredCell | undefined): void {
    if (before !== undefined) tables.expiry.removeSync([before.expiresAtMs, id]);
    if (next === undefined) {
      tables.values.removeSync(id);
      return;
    }
    tables.values.putSync(id, encodeCell(id, next));
    tables.expiry.putSync([next.expiresAtMs, id], NOTHING);
  }

  return {
    readCell: (id) =>
      read(() => {
        const nowMs = now();
        const cell = liveCell(stored(id), nowMs);
        if (cell === undefined) return { cell: undefined, nowMs };
        return { cell: { value: cell.value, revision: cell.revision }, nowMs };
      }),
    writeCell: (id, value, revision, retentionMs) => {
      // The transaction may run later, and by then the caller may use its buffer for something else.
      const kept = value === undefined ? undefined : Uint8Array.from(value);
      return transact(() => {
        const before = stored(id);
        const decision = decideCellWrite(before, { value: kept, revision, retentionMs }, now());
        if (decision.answer === "done") put(id, before, decision.next);
        return decision.answer;
      });
    },
  };
}
