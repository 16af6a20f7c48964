/** Numbers, times and texts as people read them. Pure. */

/** 1234567 as `1,234,567`, and what has many digits in short: `12.3 M`. */
export function count(number: number): string {
  if (number < 1e7) return Math.round(number).toLocaleString("en");
  return number < 1e10 ? `${(number / 1e6).toFixed(1)} M` : `${(number / 1e9).toFixed(1)} G`;
}

export function perSecond(rate: number | undefined): string {
  if (rate === undefined) return "–/s";
  if (rate === 0) return "0/s";
  return `${rate < 10 ? rate.toFixed(1) : count(rate)}/s`;
}

export function milliseconds(ms: number | undefined): string {
  if (ms === undefined) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms >= 100) return `${Math.round(ms)} ms`;
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(1)} ms`;
}

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let at = -1;
  let rest = size;
  do {
    rest /= 1024;
    at += 1;
  } while (rest >= 1024 && at < units.length - 1);
  return `${rest.toFixed(1)} ${units[at]}`;
}

const SPANS: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** The two largest units of it: `2 d 3 h`, `41 s`. */
export function span(ms: number): string {
  const at = SPANS.findIndex(([unitMs]) => ms >= unitMs);
  const [unitMs, name] = SPANS[at] ?? [1000, "s"];
  const whole = Math.floor(Math.max(0, ms) / unitMs);
  const [smallerMs, smaller] = SPANS[at + 1] ?? [undefined, ""];
  const rest = smallerMs === undefined || at === -1 ? 0 : Math.floor((ms % unitMs) / smallerMs);
  return rest === 0 ? `${whole} ${name}` : `${whole} ${name} ${rest} ${smaller}`;
}

/** `12 s ago`, `in 3 h`. */
export function relative(atMs: number, nowMs: number): string {
  const ms = nowMs - atMs;
  if (Math.abs(ms) < 1000) return "now";
  return ms > 0 ? `${span(ms)} ago` : `in ${span(-ms)}`;
}

/**
 * A text that somebody else chose, with what cannot be seen made visible: control characters, and those that turn the
 * direction of what follows. Line ends and tabs are kept where `lines` says so.
 */
export function visible(text: string, lines = false): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (char) => {
    if (lines && /[\t\n\r]/.test(char)) return char === "\r" ? "" : char;
    return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** A record id's first digits, enough to tell it from its neighbours. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}
