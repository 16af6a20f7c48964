/**
 * A dashboard's panels in their grid, with what their queries have found, as an SVG: lines, stacks, legends with the last and the
 * largest value, numbers in their units. Pure; one file, no scripts, no fonts. It is no Grafana, and the picture says so.
 */
import { legendOf, type Panel, type Target } from "./dashboard.ts";
import type { Range, Series } from "./prometheus.ts";
import { inUnit, ticksFor } from "./units.ts";

/** What each query of a panel has found, in the order of its targets. */
export type Found = ReadonlyMap<Panel, readonly (readonly Series[])[]>;

export interface Picture {
  readonly title: string;
  /** What is to be known of it, a line each. */
  readonly notes: readonly string[];
  readonly panels: readonly Panel[];
  readonly found: Found;
  readonly range: Range;
  /** When an alert began to fire, in seconds. */
  readonly alarms: readonly number[];
}

interface Line {
  readonly name: string;
  readonly colour: string;
  /** By time in seconds; what was not there, or no number, is left out. */
  readonly points: ReadonlyMap<number, number>;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

const [COLUMN, ROW, GAP, MARGIN] = [50, 20, 6, 10];
const [HEAD, NOTE] = [46, 15];
/** Of a legend: the names, and a column for each of the two values. */
const [NAMES, VALUE, LEGEND_ROW] = [140, 66, 13.5];
const [TITLE, AXIS, SCALE] = [24, 18, 52];

/** Middle tones, which stand out on white and on black. */
const COLOURS = [
  ...["#3b7dd8", "#2e9e6b", "#d9822b", "#c0504d", "#8e63ce", "#2aa5a5", "#b08d1e", "#d36fa5"],
  ...["#6b7a8f", "#7fa83a", "#a8694a", "#5a6fd0"],
];
const WORDS: Readonly<Record<string, string>> = { green: "#2e9e6b", red: "#c0504d" };

const STYLE = `<style>
text{font:11px system-ui,sans-serif;fill:#57606a}.b{font-size:12px;font-weight:600}.b,.h{fill:#24292f}.h{font-size:17px;font-weight:600}
.e{text-anchor:end}.m{text-anchor:middle}.v{font-size:30px;font-weight:600}
.s{fill:#eef0f3}.p{fill:#fff;stroke:#d8dde3}.g{stroke:#e4e8ec;fill:none}.l{fill:none;stroke-width:1.3}.a{stroke:#c0504d;stroke-dasharray:3 3;fill:none}
@media (prefers-color-scheme:dark){text{fill:#9aa4af}.b,.h{fill:#e2e7ec}.s{fill:#14181d}.p{fill:#1d2228;stroke:#30363d}.g{stroke:#2b3138}}
</style>`;

export function draw(picture: Picture): string {
  const top = HEAD + picture.notes.length * NOTE;
  const first = Math.min(...picture.panels.map(({ gridPos }) => gridPos.y));
  const last = Math.max(...picture.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const [width, height] = [24 * COLUMN + 2 * MARGIN, top + (last - first) * ROW + MARGIN];
  const parts = picture.panels.flatMap((panel) => {
    const { x, y, w, h } = panel.gridPos;
    const box = {
      x: MARGIN + x * COLUMN + GAP / 2,
      y: top + (y - first) * ROW + GAP / 2,
      w: w * COLUMN - GAP,
      h: h * ROW - GAP,
    };
    if (panel.type === "row") return [text(box.x, box.y + 14, `▾ ${panel.title}`, "b")];
    const inside = panel.type === "stat" ? stat(panel, box, picture) : plot(panel, box, picture);
    return [
      `<rect class="p" x="${box.x}" y="${box.y}" width="${box.w}" height="${box.h}" rx="3"/>`,
      text(box.x + 9, box.y + 16, panel.title, "b"),
      ...inside,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    STYLE,
    `<rect class="s" width="100%" height="100%"/>`,
    text(MARGIN + GAP, 28, picture.title, "h"),
    ...picture.notes.map((note, at) => text(MARGIN + GAP, HEAD + at * NOTE, note)),
    ...parts,
    "</svg>\n",
  ].join("\n");
}

/** The last value of each series, large. */
function stat(panel: Panel, box: Box, { found }: Picture): readonly string[] {
  const defaults = panel.fieldConfig?.defaults;
  const lines = linesOf(panel, found);
  return lines.flatMap(({ name, points }, at) => {
    const value = [...points.values()].at(-1) ?? Number.NaN;
    const mapped = defaults?.mappings?.[0]?.options[String(value)]?.text;
    const shown = mapped ?? inUnit(value, defaults?.unit ?? "short", defaults?.decimals);
    const step = defaults?.thresholds?.steps.findLast(
      (each) => each.value === null || value >= each.value,
    );
    const colour = WORDS[step?.color ?? ""] ?? "#3b7dd8";
    const [x, y] = [box.x + ((at + 0.5) * box.w) / lines.length, box.y + 58];
    const beside = name === "" ? [] : [text(x, y - 26, name, "m")];
    return [...beside, text(x, y, shown, "v m", `style="fill:${colour}"`)];
  });
}

function plot(panel: Panel, box: Box, picture: Picture): readonly string[] {
  const lines = linesOf(panel, picture.found);
  const defaults = panel.fieldConfig?.defaults;
  const unit = defaults?.unit ?? "short";
  const stacked = defaults?.custom?.stacking !== undefined;
  const area = {
    x: box.x + SCALE,
    y: box.y + TITLE + 4,
    w: box.w - SCALE - NAMES - 2 * VALUE - 24,
    h: box.h - TITLE - AXIS - 6,
  };
  const stacks = stacked ? stack(lines) : lines;
  const largest = Math.max(0, ...stacks.flatMap(({ points }) => [...points.values()]));
  const ticks = ticksFor(largest, unit);
  const highest = ticks.at(-1) ?? 1;
  const { start, end, step } = picture.range;
  const x = (at: number): number => Math.round(area.x + ((at - start) / (end - start)) * area.w);
  const y = (value: number): number => tenth(area.y + (1 - value / highest) * area.h);
  const drawn = stacks.map(({ colour, points }, at) => {
    const path = pathOf(points, step, x, y);
    const under = stacked ? fillOf(stacks, at, x, y) : "";
    return `${under}<path class="l" stroke="${colour}" d="${path}"/>`;
  });
  return [
    ...ticks.flatMap((tick) => [
      `<path class="g" d="M${area.x} ${y(tick)}h${tenth(area.w)}"/>`,
      text(area.x - 6, y(tick) + 4, inUnit(tick, unit), "e"),
    ]),
    ...timesOf(picture.range)
      .filter((at) => x(at) > area.x + 24 && x(at) < area.x + area.w - 10)
      .map((at) => text(x(at), box.y + box.h - 6, clockOf(at), "m")),
    ...picture.alarms.map((at) => `<path class="a" d="M${x(at)} ${area.y}v${area.h}"/>`),
    ...drawn,
    ...legend(lines, unit, box),
  ];
}

function legend(lines: readonly Line[], unit: string, box: Box): readonly string[] {
  const left = box.x + box.w - NAMES - 2 * VALUE - 8;
  const [lastAt, maxAt] = [left + NAMES + VALUE, left + NAMES + 2 * VALUE];
  const room = Math.floor((box.h - TITLE - 4) / LEGEND_ROW);
  // The largest ones, where there is no room for all.
  const shown =
    lines.length <= room ? lines : lines.toSorted((a, b) => maxOf(b) - maxOf(a)).slice(0, room - 1);
  const rows = shown.flatMap((line, at) => {
    const y = tenth(box.y + TITLE + 9 + at * LEGEND_ROW);
    const last = [...line.points.values()].at(-1) ?? Number.NaN;
    return [
      `<path d="M${left} ${tenth(y - 4)}h9" stroke="${line.colour}" stroke-width="3"/>`,
      text(left + 14, y, cut(line.name, 22)),
      text(lastAt, y, inUnit(last, unit), "e"),
      text(maxAt, y, inUnit(maxOf(line), unit), "e"),
    ];
  });
  const more = lines.length - shown.length;
  const yMore = tenth(box.y + TITLE + 9 + shown.length * LEGEND_ROW);
  return [
    ...(lines.length === 0
      ? []
      : [text(lastAt, box.y + 16, "last", "e"), text(maxAt, box.y + 16, "max", "e")]),
    ...rows,
    ...(more > 0 ? [text(left + 14, yMore, `and ${more} more`)] : []),
    ...(lines.length === 0 ? [text(box.x + box.w / 2, box.y + box.h / 2, "No data", "m")] : []),
  ];
}

function linesOf(panel: Panel, found: Found): readonly Line[] {
  const named = (panel.targets ?? []).flatMap((target: Target, at) =>
    (found.get(panel)?.[at] ?? []).map(({ metric, values }) => ({
      name: legendOf(target, metric),
      points: new Map(
        values
          .map(([time, value]) => [time, Number(value)] as const)
          .filter(([, value]) => Number.isFinite(value)),
      ),
    })),
  );
  return named
    .toSorted((a, b) => a.name.localeCompare(b.name))
    .map((line, at) => ({ ...line, colour: COLOURS[at % COLOURS.length] ?? "" }));
}

/** Each line on top of those before it. */
function stack(lines: readonly Line[]): readonly Line[] {
  const under = new Map<number, number>();
  return lines.map((line) => {
    const points = new Map<number, number>();
    for (const [at, value] of line.points) {
      under.set(at, (under.get(at) ?? 0) + value);
      points.set(at, under.get(at) ?? 0);
    }
    return { ...line, points };
  });
}

/** A line that stops where there was nothing, without the points that lie on the way between their neighbours. */
function pathOf(
  points: ReadonlyMap<number, number>,
  step: number,
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  let path = "";
  let before: number | undefined;
  const times = [...points.keys()];
  for (const [index, at] of times.entries()) {
    const [last, next] = [times[index - 1], times[index + 1]];
    const height = y(points.get(at) ?? 0);
    const begins = last === undefined || at - last > 1.5 * step;
    const level =
      !begins && next !== undefined && next - at < 1.5 * step
        ? before === height && y(points.get(next) ?? 0) === height
        : false;
    if (!level) path += `${begins ? "M" : " "}${x(at)} ${height}`;
    before = height;
  }
  return path;
}

/** What lies between a stacked line and the one below it. */
function fillOf(
  stacks: readonly Line[],
  at: number,
  x: (at: number) => number,
  y: (value: number) => number,
): string {
  const { points, colour } = stacks[at] ?? { points: new Map<number, number>(), colour: "" };
  const below = (time: number): number => {
    const lower = stacks.slice(0, at).findLast((line) => line.points.has(time));
    return lower?.points.get(time) ?? 0;
  };
  const times = [...points.keys()];
  const upper = times.map((time) => `${x(time)} ${y(points.get(time) ?? 0)}`);
  const lower = times.toReversed().map((time) => `${x(time)} ${y(below(time))}`);
  return `<path fill="${colour}" fill-opacity=".16" d="M${[...upper, ...lower].join(" ")}z"/>`;
}

/** Three or four full times of the clock within the range. */
function timesOf({ start, end }: Range): readonly number[] {
  const every = [10, 15, 30, 60, 120, 300, 600].find((each) => (end - start) / each <= 5) ?? 900;
  const first = Math.ceil(start / every) * every;
  const times: number[] = [];
  for (let at = first; at <= end; at += every) times.push(at);
  return times;
}

function clockOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(11, 19);
}

function maxOf({ points }: Line): number {
  return Math.max(...points.values());
}

function cut(name: string, length: number): string {
  return name.length <= length ? name : `${name.slice(0, length - 1)}…`;
}

function tenth(n: number): number {
  return Math.round(n * 10) / 10;
}

function text(x: number, y: number, content: string, classes = "", more = ""): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const named = classes === "" ? "" : ` class="${classes}"`;
  return `<text x="${tenth(x)}" y="${tenth(y)}"${named}${more === "" ? "" : ` ${more}`}>${escaped}</text>`;
}
