/** One page of the embedded store's records, in the order of their ids. Reads; changes nothing. */
import type { ListPage, ListQuery } from "../core/ports.ts";
import type { Keyring } from "./encryption.ts";
import { pageOf, readListed } from "./summary.ts";

interface Records {
  getRange(range: {
    readonly start?: string;
    readonly limit: number;
  }): Iterable<{ readonly key: string; readonly value: Buffer }>;
}

export function listPage(
  records: Records,
  query: ListQuery,
  nowMs: number,
  keyring: Keyring | undefined,
): ListPage {
  const { limit, cursor } = query;
  // The cursor is the last id; `!` sorts right behind it and before every longer or greater id.
  const start = cursor === undefined ? {} : { start: `${cursor}!` };
  const page = [...records.getRange({ ...start, limit })];
  const listed = page.map(({ key, value }) => readListed(key, value, nowMs, keyring));
  const last = page.at(-1);
  const more = last !== undefined && page.length === limit;
  return { ...pageOf(listed, query), ...(more && { cursor: last.key }) };
}
