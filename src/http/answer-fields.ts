/** What an upstream's head says of the body behind it, and its fields as pairs. Pure. */
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
