/** Records for people: a table of many, lines for one. What comes from requests never reaches the terminal as commands. */
import { z } from "zod";
import type { Shown } from "./desk.ts";

const REPLAYS = z.array(z.object({ by: z.string(), count: z.number(), last: z.string() }));

const COLUMNS = ["id", "state", "route", "method", "path", "created", "more"] as const;

/** With a heading; each line ends with a line feed. */
export function tableOf(records: readonly Shown[], nowMs: number): string {
  const rows = [COLUMNS.map((name) => name.toUpperCase()), ...records.map((r) => rowOf(r, nowMs))];
  const widths = COLUMNS.map((_, n) => Math.max(...rows.map((row) => row[n]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, n) => cell.padEnd(widths[n] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** One member to a line. */
export function linesOf(record: Shown): string {
  const members = Object.entries(record);
  const width = Math.max(...members.map(([name]) => name.length));
  return members
    .map(([name, value]) => `${printable(name).padEnd(width)}  ${valueOf(name, value, record)}\n`)
    .join("");
}

/** Replays in words, and who did not tell of theirs; everything else, and what is not of that form, as it is. */
function valueOf(name: string, value: unknown, { silentProcesses = 0 }: Shown): string {
  if (name === "silentProcesses" && typeof value === "number") {
    return `${value}; what ${value === 1 ? "it has" : "they have"} replayed is not told here`;
  }
  const replays = name === "replays" ? REPLAYS.safeParse(value) : undefined;
  if (replays?.success !== true) return printable(value);
  if (replays.data.length === 0) {
    return silentProcesses === 0
      ? "none that this gateway's processes know of"
      : "none that those of this gateway's processes know of that answered";
  }
  return replays.data
    .map(({ by, count, last }) => printable(`${count} by ${by}, last ${last}`))
    .join("; ");
}

function rowOf(record: Shown, nowMs: number): readonly string[] {
  const { id, state, route, method, path, createdAt } = record;
  const created = ago(nowMs - Date.parse(createdAt));
  return [id, state, route, method, path, created, more(record)].map(printable);
}

function more({ state, reason, status, leaseUntil }: Shown): string {
  if (state === "unknown") return String(reason);
  if (state === "in-flight") return `until ${String(leaseUntil)}`;
  return typeof status === "number" ? String(status) : "resolved by hand";
}

/** `90 s ago`, `12 min ago`, `5 h ago`, `3 d ago`: the unit of which there are at least two. */
export function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [size, unit] = (
    [
      [86_400, "d"],
      [3600, "h"],
      [60, "min"],
    ] as const
  ).find(([each]) => seconds >= 2 * each) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

/** A path may hold bytes that a terminal obeys, and so may the answer of whoever is asked. */
export function printable(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.replace(/[^\x20-\x7e]/gu, "?");
}

/** One line of JSON, in ASCII. */
export function jsonLine(document: object): string {
  const text = JSON.stringify(document).replace(/[^\x20-\x7e]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `${text}\n`;
}
