/** Small plots: lines over time without axes, scaled to their largest value. What they show is also said in words. */
import { element, shape } from "./elements.ts";
import type { Points } from "./series.ts";

export interface Line {
  /** Names the colour, see the style sheet. */
  readonly tone: string;
  readonly points: Points;
}

export interface Plot {
  readonly node: HTMLElement;
  /** `words` are what a screen reader says; `top` is the largest value, as text. */
  draw(lines: readonly Line[], words: string, top?: string): void;
}

const WIDTH = 240;
const HEIGHT = 48;

/** So many points fill the width, or more: a young plot grows from the right. */
const FEWEST = 30;

export function createPlot(size: "small" | "large"): Plot {
  const svg = shape("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    preserveAspectRatio: "none",
    role: "img",
  });
  const scale = element("span", { class: "scale" });
  const node = element("div", { class: `plot ${size}` }, svg, scale);
  return {
    node,
    draw(lines, words, top = "") {
      const largest = largestOf(lines);
      svg.setAttribute("aria-label", words);
      svg.replaceChildren(
        ...lines.flatMap(({ tone, points }) => pathsOf(points, tone, largest, size)),
      );
      scale.textContent = top;
    },
  };
}

/** At least a little, so that a line of zeros lies on the ground. */
export function largestOf(lines: readonly Line[]): number {
  return Math.max(1e-9, ...lines.flatMap(({ points }) => points.map((point) => point ?? 0)));
}

function pathsOf(
  points: Points,
  tone: string,
  largest: number,
  size: "small" | "large",
): SVGPathElement[] {
  const step = WIDTH / (Math.max(FEWEST, points.length) - 1);
  const from = WIDTH - step * (points.length - 1);
  const at = (index: number): string => (from + index * step).toFixed(1);
  let line = "";
  let area = "";
  let begun: number | undefined;
  points.forEach((point, index) => {
    if (point === undefined) {
      if (begun !== undefined) area += `L${at(index - 1)} ${HEIGHT}Z`;
      begun = undefined;
      return;
    }
    // A little room above, so that the stroke of the largest value is not cut.
    const y = (HEIGHT - 1.5 - (point / largest) * (HEIGHT - 4)).toFixed(1);
    area +=
      begun === undefined ? `M${at(index)} ${HEIGHT}L${at(index)} ${y}` : `L${at(index)} ${y}`;
    line += `${begun === undefined ? "M" : "L"}${at(index)} ${y}`;
    begun ??= index;
  });
  if (begun !== undefined) area += `L${at(points.length - 1)} ${HEIGHT}Z`;
  const stroke = shape("path", { d: line, class: `line ${tone}` });
  return size === "small" ? [shape("path", { d: area, class: `area ${tone}` }), stroke] : [stroke];
}
