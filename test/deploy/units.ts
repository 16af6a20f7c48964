/** Numbers as a dashboard writes them, by the names that Grafana gives to units, and scales that end on round ones. */

type Scale = readonly (readonly [factor: number, suffix: string])[];

const SECONDS: Scale = [
  [60, " min"],
  [1, " s"],
  [1e-3, " ms"],
  [1e-6, " µs"],
];
const BINARY: Scale = [
  [2 ** 30, " GiB"],
  [2 ** 20, " MiB"],
  [2 ** 10, " KiB"],
  [1, " B"],
];
const DECIMAL: Scale = [
  [1e6, " MB/s"],
  [1e3, " kB/s"],
  [1, " B/s"],
];
const COUNT: Scale = [
  [1e6, " Mil"],
  [1e3, " K"],
  [1, ""],
];

const UNITS: Readonly<Record<string, Scale>> = {
  short: COUNT,
  s: SECONDS,
  bytes: BINARY,
  Bps: DECIMAL,
  reqps: [[1, " req/s"]],
  cps: [[1, " c/s"]],
  percentunit: [[0.01, "%"]],
};

/** @throws on a unit that is not known here */
export function inUnit(value: number, unit: string, decimals?: number): string {
  if (!Number.isFinite(value)) return "–";
  if (unit === "locale")
    return value.toLocaleString("en-US", { maximumFractionDigits: decimals ?? 2 });
  const [factor, suffix] = scaleFor(value === 0 ? 1 : value, unit);
  const scaled = value / factor;
  return `${decimals === undefined ? threeDigits(scaled) : scaled.toFixed(decimals)}${suffix}`;
}

function scaleFor(value: number, unit: string): Scale[number] {
  const scale = UNITS[unit];
  const found = scale?.find(([factor]) => Math.abs(value) >= factor) ?? scale?.at(-1);
  if (found === undefined) throw new Error(`${unit} is not known as a unit`);
  return found;
}

function threeDigits(value: number): string {
  const size = Math.abs(value);
  const places = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(places)));
}

/** From 0 to the first number that is round in its unit and not less, in at most five steps. */
export function ticksFor(largest: number, unit: string): readonly number[] {
  if (largest <= 0) return [0, 1];
  const [factor] = scaleFor(largest, unit);
  const scaled = largest / factor;
  const power = 10 ** Math.floor(Math.log10(scaled));
  const step = [0.25, 0.5, 1, 2, 2.5]
    .map((each) => each * power)
    .find((each) => scaled / each <= 4);
  if (step === undefined) throw new Error(`${largest} has no scale`);
  const count = Math.ceil(scaled / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, at) => Number((at * step).toPrecision(12)) * factor);
}
