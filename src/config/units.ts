/**
 * Durations and sizes as people write them: a whole number and its unit, nothing between. A bare number is refused,
 * because `timeout: 30` means seconds to one reader and milliseconds to another.
 */

const DURATION_UNITS: readonly (readonly [unit: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
];

const SIZE_UNITS: readonly (readonly [unit: string, bytes: number])[] = [
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
  ["B", 1],
];

/** For editors, by way of the JSON Schema. `KB` and `MB` are left out: half of their readers mean 1000. */
export const DURATION_PATTERN = "^[0-9]+(ms|s|m|h|d)$";
export const SIZE_PATTERN = "^[0-9]+(B|KiB|MiB|GiB)$";

/** The duration in milliseconds; `undefined` when it is not one, or is too large to count exactly. */
export function parseDuration(text: string): number | undefined {
  return parse(text, DURATION_PATTERN, DURATION_UNITS);
}

/** The size in bytes; `undefined` when it is not one, or is too large to count exactly. */
export function parseSize(text: string): number | undefined {
  return parse(text, SIZE_PATTERN, SIZE_UNITS);
}

/** The shortest form that `parseDuration` reads back to the same number of milliseconds. */
export function formatDuration(ms: number): string {
  return format(ms, DURATION_UNITS, "0s");
}

/** The shortest form that `parseSize` reads back to the same number of bytes. */
export function formatSize(bytes: number): string {
  return format(bytes, SIZE_UNITS, "0B");
}

function parse(
  text: string,
  pattern: string,
  units: readonly (readonly [string, number])[],
): number | undefined {
  const unitText = new RegExp(pattern, "u").exec(text)?.[1];
  const factor = units.find(([unit]) => unit === unitText)?.[1];
  if (unitText === undefined || factor === undefined) return undefined;
  const amount = Number(text.slice(0, -unitText.length)) * factor;
  return Number.isSafeInteger(amount) ? amount : undefined;
}

function format(
  amount: number,
  units: readonly (readonly [string, number])[],
  zero: string,
): string {
  if (amount === 0) return zero;
  for (const [unit, factor] of units) {
    if (amount % factor === 0) return `${amount / factor}${unit}`;
  }
  // Only a fraction gets here, and the configuration holds none: every amount was read by `parse`.
  throw new RangeError("an amount must be a whole number");
}
