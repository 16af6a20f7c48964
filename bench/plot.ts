/**
 * The results as an SVG: for each workload one bar for each contender, requests per second over nginx + Lua + Redis
 * where it takes part, over the fastest otherwise, with the range of its rounds. Pure; one file, no fonts, no scripts.
 */
import { contendersIn, summaryOf, type Measured, type Results } from "./results.ts";
import type { Titles } from "./table.ts";

const REFERENCE = "nginx-lua";
const [LEFT, BAR, GAP, WIDTH, RIGHT] = [290, 16, 5, 460, 150];

export function plotOf(results: Results, titles: Titles): string {
  const parts: string[] = [];
  let y = 34;
  for (const [name, measured] of Object.entries(results)) {
    const bars = barsOf(measured);
    if (bars.length === 0) continue;
    parts.push(text(10, y, titles.workloads.get(name) ?? name, 'font-weight="bold"'));
    y += 10;
    const longest = Math.max(...bars.map(({ high }) => high), 1);
    const x = (ratio: number): number => LEFT + (ratio / longest) * WIDTH;
    const top = y;
    for (const { contender, ratio, low, high, perSecond } of bars) {
      const middle = y + BAR / 2;
      const own = contender.startsWith("gateway");
      parts.push(
        text(
          LEFT - 8,
          middle + 4,
          titles.contenders.get(contender) ?? contender,
          'text-anchor="end"',
        ),
        `<rect x="${LEFT}" y="${y}" width="${round(x(ratio) - LEFT)}" height="${BAR}" fill="${own ? "#2b6cb0" : "#a0aec0"}"/>`,
        `<path d="M${round(x(low))} ${middle}H${round(x(high))}" stroke="#1a202c"/>`,
        text(x(high) + 8, middle + 4, `${ratio.toFixed(2)}  (${Math.round(perSecond)}/s)`),
      );
      y += BAR + GAP;
    }
    parts.push(
      `<path d="M${round(x(1))} ${top - 2}V${y}" stroke="#c53030" stroke-dasharray="4 3"/>`,
    );
    y += 30;
  }
  const width = LEFT + WIDTH + RIGHT;
  const frame = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12">`;
  return `${frame}\n<rect width="100%" height="100%" fill="white"/>\n${parts.join("\n")}\n</svg>\n`;
}

interface Bar {
  readonly contender: string;
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  readonly perSecond: number;
}

function barsOf(measured: Measured): readonly Bar[] {
  const found = contendersIn(measured).flatMap((contender) => {
    const summary = summaryOf(measured, contender, "perSecond");
    return summary === undefined ? [] : [{ contender, ...summary }];
  });
  const reference = found.find(({ contender }) => contender === REFERENCE);
  const base = reference?.median ?? Math.max(...found.map(({ median }) => median));
  return found.map(({ contender, median }) => {
    const rates = measured.samples
      .filter((sample) => sample.contender === contender)
      .flatMap(({ figures }) => figures["perSecond"] ?? []);
    const [low, high] = [Math.min(...rates) / base, Math.max(...rates) / base];
    return { contender, ratio: median / base, low, high, perSecond: median };
  });
}

function text(x: number, y: number, content: string, more = ""): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${round(x)}" y="${y}" ${more}>${escaped}</text>`;
}

function round(n: number): number {
  return Math.round(n * 10) / 10;
}
