/**
 * The roll of a scope's records, as the memory and the embedded store decide it inside their transactions;
 * `scripts/enter-roll.lua` and redis-roll.ts say the same for Redis. Knows no bytes and no clock.
 */
import type { RollAnswer, RollEntry } from "../core/roll-ports.ts";

export interface Listed {
  /** When the entry is forgotten, on the store's clock. */
  readonly expiresAtMs: number;
  /** Until when its claim may be on its way. */
  readonly claimingUntilMs: number;
}

/** The entries of all scopes, as a store keeps them. */
export interface RollTable {
  get(scope: string, id: string): Listed | undefined;
  count(scope: string): number;
  set(scope: string, id: string, listed: Listed): void;
  delete(scope: string, id: string): void;
  /** Ids in the order of their expiry, from the one at `from` on. */
  page(scope: string, from: number, limit: number): readonly string[];
}

/** When the record of that id ends; `undefined` where none stands. */
export type StandsUntil = (id: string) => number | undefined;

/** Of a full roll so many of the oldest entries are looked at, and so many from a place that moves on. */
export const LOOKED_AT = 8;

/** `nextTurn`: rises with each full roll that is looked at, so that in the end every entry is. */
export function enterRoll(
  table: RollTable,
  standsUntil: StandsUntil,
  entry: RollEntry,
  nowMs: number,
  nextTurn: () => number,
): RollAnswer {
  const { scope, id, most, how } = entry;
  const stored = table.get(scope, id);
  const listed = stored !== undefined && stored.expiresAtMs > nowMs ? stored : undefined;
  if (listed !== undefined && how === "look") return { kind: "listed" };
  // What is over and not swept yet: it counts no more, and lets nobody in.
  if (stored !== undefined && listed === undefined) table.delete(scope, id);
  let roomAtMs: number | undefined;
  if (listed === undefined && how !== "always" && table.count(scope) >= most) {
    roomAtMs = strikeGone(table, standsUntil, scope, nowMs, nextTurn());
    if (table.count(scope) >= most) {
      return { kind: "full", roomInMs: roomAtMs && Math.max(0, roomAtMs - nowMs) };
    }
  }
  const mark = nowMs + entry.claimMs;
  const expiresAtMs = Math.max(listed?.expiresAtMs ?? 0, nowMs + entry.keepMs);
  table.set(scope, id, { expiresAtMs, claimingUntilMs: mark });
  return { kind: "entered", mark };
}

/** Returns when the first of those that stay ends. */
function strikeGone(
  table: RollTable,
  standsUntil: StandsUntil,
  scope: string,
  nowMs: number,
  turn: number,
): number | undefined {
  const others = Math.max(1, table.count(scope) - LOOKED_AT);
  const from = LOOKED_AT + ((turn * LOOKED_AT) % others);
  const looked = new Set([
    ...table.page(scope, 0, LOOKED_AT),
    ...table.page(scope, from, LOOKED_AT),
  ]);
  let firstMs: number | undefined;
  for (const id of looked) {
    const { expiresAtMs = 0, claimingUntilMs = 0 } = table.get(scope, id) ?? {};
    const untilMs = standsUntil(id);
    if (expiresAtMs <= nowMs || (untilMs === undefined && claimingUntilMs <= nowMs)) {
      table.delete(scope, id);
    } else if (untilMs !== undefined) {
      firstMs = Math.min(firstMs ?? untilMs, untilMs);
    }
  }
  return firstMs;
}

/** See `Roll.strikeRoll`. */
export function strikeRoll(
  table: RollTable,
  standsUntil: StandsUntil,
  { scope, id, mark }: { readonly scope: string; readonly id: string; readonly mark: number },
  nowMs: number,
): void {
  const listed = table.get(scope, id);
  if (listed === undefined || standsUntil(id) !== undefined) return;
  if (listed.claimingUntilMs === mark || listed.claimingUntilMs <= nowMs) table.delete(scope, id);
}
