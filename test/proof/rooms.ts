/** Where the rows are: `rows.ts` of every room of the tests that has one. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ProofRow } from "./row.ts";

export interface PlacedRow {
  /** The folder that its `rows.ts` is in. */
  readonly room: string;
  readonly row: ProofRow;
}

/** Every row below `root`, room by room. Names are unique, because results are kept by name. */
export async function findRows(root: string): Promise<readonly PlacedRow[]> {
  const rooms = readdirSync(root).filter((room) => existsSync(join(root, room, "rows.ts")));
  const placed: PlacedRow[] = [];
  for (const room of rooms.toSorted()) {
    for (const row of await rowsOf(root, room)) {
      if (placed.some(({ row: { name } }) => name === row.name)) {
        throw new Error(`Two rows are called ${row.name}; the second is in ${room}.`);
      }
      placed.push({ room, row });
    }
  }
  return placed;
}

/** @throws where the room does not have the row */
export async function findRow(root: string, room: string, name: string): Promise<ProofRow> {
  const row = (await rowsOf(root, room)).find((candidate) => candidate.name === name);
  if (row === undefined) throw new Error(`${room} has no row ${name}.`);
  return row;
}

async function rowsOf(root: string, room: string): Promise<readonly ProofRow[]> {
  const { href } = pathToFileURL(join(root, room, "rows.ts"));
  const { rows } = (await import(href)) as { readonly rows: readonly ProofRow[] };
  return rows;
}
