/** Cells on Redis: one key each, one script to read and one to compare and set. Decides nothing: the scripts have. */
import type { WriteAnswer } from "../core/record.ts";
import type { Cells } from "../core/resource-ports.ts";
import { decodeCell, liveCell } from "./cell.ts";
import { asBytes, asNumber, oneOf, unexpected } from "./redis-call.ts";
import type { RunScript } from "./redis-call.ts";
import { sealOf } from "./seal.ts";

/** `run` puts the scripts on the keys of cells. */
export function redisCells(run: RunScript): Cells {
  return {
    async readCell(id) {
      const { word, data } = await run("readCell", id);
      if (word !== "found" && word !== "absent") throw unexpected(word);
      const nowMs = asNumber(data[0]);
      if (word === "absent") return { cell: undefined, nowMs };
      const cell = liveCell(decodeCell(id, asBytes(data[1])), nowMs);
      if (cell === undefined) return { cell: undefined, nowMs };
      return { cell: { value: cell.value, revision: cell.revision }, nowMs };
    },
    async writeCell(id, value, revision, retentionMs) {
      const bytes = Buffer.from(value ?? []);
      const what = value === undefined ? "remove" : "put";
      const seal = sealOf(bytes);
      const reply = await run("writeCell", id, what, revision, retentionMs, seal, bytes);
      return oneOf<WriteAnswer>(reply, "done", "lost");
    },
  };
}
