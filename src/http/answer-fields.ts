/** What an upstream's head says of the body behind it, and its fields as pairs. Pure. */
import { fieldOf } from "../core/fields.ts";
import type { HeaderPair } from "../core/record.ts";

/** One byte is one char (latin1), so that a replay gives the same bytes back. `raw` is flat: name, value. */
export function rawPairs(raw: unknown): readonly HeaderPair[] {
  const flat: readonly unknown[] = Array.isArray(raw) ? raw : [];
  const pairs: HeaderPair[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    // undici leaves white space behind a value standing, which is no part of it (RFC 9112 §5.1).
    pairs.push([text(flat[i]), text(flat[i + 1]).replace(/[\t ]+$/, "")]);
  }
  return pairs;
}

function text(raw: unknown): string {
  return Buffer.isBuffer(raw) ? raw.toString("latin1") : String(raw);
}

/** Whether an answer says where it ends. */
export function isFramed(headers: readonly HeaderPair[]): boolean {
  return headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
}

/** Over the limit, or without end by its nature: these are told as they come and not kept. */
export function announcesTooMuch(headers: readonly HeaderPair[], limitBytes: number): boolean {
  return headers.some(([name, value]) => {
    const field = name.toLowerCase();
    if (field === "content-length") return Number(value) > limitBytes;
    return field === "content-type" && /^text\/event-stream\b/i.test(value);
  });
}

/**
 * How long an idle connection is kept where the upstream does not announce its own time-out. Short, because a request
 * that meets the upstream's close half-way is an unknown outcome, and a new connection costs far less than that.
 */
export const IDLE_MS = 500;

/** An announced time-out (`Keep-Alive: timeout=…`) is used up to this long before it ends. */
export const IDLE_MARGIN_MS = 1000;

/** As undici reckons it, from the answer that announces it. */
export function idleMsOf(headers: readonly HeaderPair[]): number {
  const announced = /\btimeout=(\d+)/i.exec(fieldOf(headers, "keep-alive") ?? "")?.[1];
  return announced === undefined ? IDLE_MS : Number(announced) * 1000 - IDLE_MARGIN_MS;
}
