/**
 * The rolls of the memory store: in this process, gone with it, and bounded like its records. What an entry comes to
 * roll.ts decides.
 */
import { StoreFull } from "../core/ports.ts";
import type { Roll } from "../core/roll-ports.ts";
import { enterRoll, strikeRoll, type Listed, type RollTable, type StandsUntil } from "./roll.ts";

/** `now`: the store's clock, epoch milliseconds. `most`: entries of all scopes. */
export function memoryRoll(now: () => number, standsUntil: StandsUntil, most: number): Roll {
  const rolls = new Map<string, Map<string, Listed>>();
  let size = 0;
  let turn = 0;

  function remove(scope: string, id: string): void {
    const roll = rolls.get(scope);
    if (roll?.delete(id) !== true) return;
    size -= 1;
    if (roll.size === 0) rolls.delete(scope);
  }

  /** Records are bounded too, so that what has none makes room in the end. */
  function makeRoom(): void {
    if (size < most) return;
    const nowMs = now();
    for (const [scope, roll] of rolls) {
      for (const [id, { claimingUntilMs }] of roll) {
        if (claimingUntilMs <= nowMs && standsUntil(id) === undefined) remove(scope, id);
      }
    }
    if (size >= most)
      throw new StoreFull(`The memory store lists ${most} live records and no more.`);
  }

  const table: RollTable = {
    get: (scope, id) => rolls.get(scope)?.get(id),
    count: (scope) => rolls.get(scope)?.size ?? 0,
    set(scope, id, listed) {
      if (table.get(scope, id) === undefined) makeRoom();
      remove(scope, id);
      const roll = rolls.get(scope) ?? new Map<string, Listed>();
      rolls.set(scope, roll.set(id, listed));
      size += 1;
    },
    delete: remove,
    page: (scope, from, limit) =>
      [...(rolls.get(scope) ?? [])]
        .sort(([, a], [, b]) => a.expiresAtMs - b.expiresAtMs)
        .slice(from, from + limit)
        .map(([id]) => id),
  };

  return {
    enterRoll: async (entry) => enterRoll(table, standsUntil, entry, now(), () => turn++),
    strikeRoll: async (scope, id, mark) =>
      strikeRoll(table, standsUntil, { scope, id, mark }, now()),
  };
}
