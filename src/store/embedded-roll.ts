/**
 * The rolls of the embedded store: databases of their own, written in the store's transactions, so that all processes of
 * the host share one count and it outlives them. What an entry comes to roll.ts decides; nothing is opened here.
 */
import type { Roll } from "../core/roll-ports.ts";
import type { ExpiringTables, ExpiryKey } from "./embedded-sweep.ts";
import { enterRoll, strikeRoll, type Listed, type RollTable, type StandsUntil } from "./roll.ts";

type OrderKey = [scope: string, expiresAtMs: number, id: string];

/**
 * `values`: of scope and id the times of the entry, of a scope alone how many it has. `expiry`: over all scopes. `order`:
 * within each.
 */
export interface RollTables extends ExpiringTables {
  readonly order: {
    putSync(key: OrderKey, value: Buffer): unknown;
    removeSync(key: OrderKey): unknown;
    getKeys(range: {
      readonly start: OrderKey;
      readonly end: OrderKey;
      readonly offset: number;
      readonly limit: number;
    }): Iterable<OrderKey>;
  };
}

const NOTHING = Buffer.alloc(0);
const ID_DIGITS = 64;
/** Scopes of which it is known where the last page ended, about: entries come and go between. */
const MOST_SEEN = 1000;

/** `transact` runs its body in a write transaction. */
export function embeddedRoll(
  tables: RollTables,
  transact: <Answer>(body: () => Answer, bodyBytes?: number) => Promise<Answer>,
  standsUntil: StandsUntil,
  now: () => number,
): Roll {
  const table = tableOf(tables);
  let turn = 0;
  return {
    // Like a claim it is refused while the store has hardly any room left.
    enterRoll: (entry) =>
      transact(() => enterRoll(table, standsUntil, entry, now(), () => turn++), 0),
    strikeRoll: (scope, id, mark) =>
      transact(() => strikeRoll(table, standsUntil, { scope, id, mark }, now())),
  };
}

/** Deletes the first entries whose time is over, at most `limit`; returns how many. */
export function sweepRolls(tables: RollTables, nowMs: number, limit: number): number {
  // `end` is exclusive, and an array sorts before the longer ones that it begins.
  const due = [...tables.expiry.getKeys({ end: [nowMs + 1] as unknown as ExpiryKey, limit })];
  const table = tableOf(tables);
  for (const [, name] of due) table.delete(name.slice(0, ID_DIGITS), name.slice(ID_DIGITS));
  return due.length;
}

function tableOf({ values, expiry, order }: RollTables): RollTable {
  function get(scope: string, id: string): Listed | undefined {
    const bytes = values.getBinary(scope + id);
    return bytes && { expiresAtMs: bytes.readDoubleBE(0), claimingUntilMs: bytes.readDoubleBE(8) };
  }

  /** LMDB walks over all that is skipped, and may have a million to skip: the next page begins at the end of the last. */
  const seen = new Map<string, { readonly key: OrderKey; readonly rank: number }>();

  const count = (scope: string): number => values.getBinary(scope)?.readUInt32BE(0) ?? 0;

  function setCount(scope: string, entries: number): void {
    if (entries <= 0) {
      values.removeSync(scope);
      return;
    }
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(entries);
    values.putSync(scope, bytes);
  }

  function drop(scope: string, id: string, { expiresAtMs }: Listed): void {
    values.removeSync(scope + id);
    expiry.removeSync([expiresAtMs, scope + id]);
    order.removeSync([scope, expiresAtMs, id]);
  }

  return {
    get,
    count,
    set(scope, id, listed) {
      const before = get(scope, id);
      if (before === undefined) setCount(scope, count(scope) + 1);
      else drop(scope, id, before);
      const bytes = Buffer.alloc(16);
      bytes.writeDoubleBE(listed.expiresAtMs, 0);
      bytes.writeDoubleBE(listed.claimingUntilMs, 8);
      values.putSync(scope + id, bytes);
      expiry.putSync([listed.expiresAtMs, scope + id], NOTHING);
      order.putSync([scope, listed.expiresAtMs, id], NOTHING);
    },
    delete(scope, id) {
      const before = get(scope, id);
      if (before === undefined) return;
      drop(scope, id, before);
      setCount(scope, count(scope) - 1);
    },
    page(scope, from, limit) {
      const known = seen.get(scope);
      const near = known !== undefined && known.rank <= from ? known : undefined;
      const start = near?.key ?? ([scope] as unknown as OrderKey);
      const end: OrderKey = [scope, Infinity, ""];
      const keys = [...order.getKeys({ start, end, offset: from - (near?.rank ?? 0), limit })];
      const last = keys.at(-1);
      if (from > 0 && last !== undefined) remember(scope, last, from + keys.length - 1);
      return keys.map(([, , id]) => id);
    },
  };

  function remember(scope: string, key: OrderKey, rank: number): void {
    seen.delete(scope);
    seen.set(scope, { key, rank });
    const [oldest] = seen.size > MOST_SEEN ? seen.keys() : [];
    if (oldest !== undefined) seen.delete(oldest);
  }
}
