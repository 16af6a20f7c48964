/**
 * A processor profile as a flame graph: `npm run flame -- FILE.cpuprofile > docs/performance-flame.svg`. Width is time,
 * what is called stands above its caller, and a frame tells its file and share when it is pointed at. Frames of our own
 * are told by their sources, as far as there are maps beside what ran. One file, no fonts, no scripts.
 */
import { existsSync, readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** What V8 writes, as far as it is read here; times in microseconds. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
      readonly columnNumber: number;
    };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface Frame {
  readonly name: string;
  readonly file: string;
  us: number;
  readonly above: Map<string, Frame>;
}

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const [WIDTH, ROW, CHAR] = [1200, 15, 6.2];
/** Narrower than this is left out. */
const LEAST = 0.6;
const COLOURS = { own: "#e8833a", package: "#7aa6c2", node: "#c8ccd0" };

export function flameOf(profile: Profile): string {
  const root: Frame = { name: "all", file: "", us: 0, above: new Map() };
  const stacks = stacksOf(profile);
  for (const [at, sample] of profile.samples.entries()) {
    const stack = stacks.get(sample) ?? [];
    // Waiting is no work.
    if (stack[0]?.name === "(idle)") continue;
    const us = profile.timeDeltas[at] ?? 0;
    let frame = root;
    frame.us += us;
    for (const { name, file } of stack) {
      const key = `${name} ${file}`;
      const above = frame.above.get(key) ?? { name, file, us: 0, above: new Map() };
      frame.above.set(key, above);
      above.us += us;
      frame = above;
    }
  }
  return drawn(root);
}

type Place = Pick<Frame, "name" | "file">;

/** By node, from the bottom. */
function stacksOf({ nodes }: Profile): ReadonlyMap<number, readonly Place[]> {
  const places = newPlaces();
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const stacks = new Map<number, readonly Place[]>();
  const visit = (id: number, below: readonly Place[]): void => {
    const node = byId.get(id);
    if (node === undefined) return;
    const { functionName, url, lineNumber, columnNumber } = node.callFrame;
    const place = { name: functionName, file: places(url, lineNumber, columnNumber) };
    const stack = functionName === "(root)" ? below : [...below, place];
    stacks.set(id, stack);
    for (const child of node.children ?? []) visit(child, stack);
  };
  const [first] = nodes;
  if (first !== undefined) visit(first.id, []);
  return stacks;
}

/** The source of a line that ran, below the checkout. */
function newPlaces(): (url: string, line: number, column: number) => string {
  const maps = new Map<string, SourceMap | undefined>();
  return (url, line, column) => {
    if (!url.startsWith("file:")) return url;
    const path = fileURLToPath(url);
    if (!maps.has(path)) maps.set(path, mapOf(path));
    const entry = maps.get(path)?.findEntry(line, column);
    // Lines of packages have none, see deploy/build/bundle.ts.
    const source: unknown = entry && "originalSource" in entry ? entry.originalSource : undefined;
    const known = typeof source === "string" && source !== "";
    return relative(ROOT, known ? resolve(dirname(path), source) : path);
  };
}

function mapOf(path: string): SourceMap | undefined {
  const file = `${path}.map`;
  return existsSync(file)
    ? new SourceMap(JSON.parse(readFileSync(file, "utf8")) as SourceMapPayload)
    : undefined;
}

function drawn(root: Frame): string {
  const parts: string[] = [];
  let deepest = 0;
  const draw = (frame: Frame, x: number, depth: number): void => {
    const width = (frame.us / root.us) * WIDTH;
    if (width < LEAST) return;
    deepest = Math.max(deepest, depth);
    parts.push(rowOf(frame, x, depth, width, (frame.us / root.us) * 100));
    let at = x;
    for (const above of [...frame.above.values()].toSorted((a, b) => b.us - a.us)) {
      draw(above, at, depth + 1);
      at += (above.us / root.us) * WIDTH;
    }
  };
  draw(root, 0, 0);
  const height = (deepest + 1) * ROW;
  const frame = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 ${-height} ${WIDTH} ${height}" font-family="monospace" font-size="10">`;
  return `${frame}\n<rect y="${-height}" width="100%" height="100%" fill="white"/>\n${parts.join("\n")}\n</svg>\n`;
}

function rowOf(frame: Frame, x: number, depth: number, width: number, share: number): string {
  const { file } = frame;
  const name = frame.name === "" ? "(anonymous)" : frame.name;
  const y = -(depth + 1) * ROW;
  const ofNode = file === "" || file.startsWith("node:");
  const kind = file.startsWith("src/") ? "own" : ofNode ? "node" : "package";
  const told = escaped(`${name} ${file} ${share.toFixed(1)} %`);
  const box = `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${COLOURS[kind]}"/>`;
  const fits = Math.floor((width - 4) / CHAR);
  const text =
    fits < 3 ? "" : `<text x="${(x + 2).toFixed(1)}" y="${y + ROW - 4}">${escaped(name.slice(0, fits))}</text>`; // prettier-ignore
  return `<g><title>${told}</title>${box}${text}</g>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>]/gu, (char) => `&#${char.codePointAt(0)};`);
}

const [, program, file] = process.argv;
if (program === fileURLToPath(import.meta.url)) {
  if (file === undefined) {
    process.stderr.write("npm run flame -- FILE.cpuprofile > OUT.svg\n");
    process.exitCode = 2;
  } else {
    process.stdout.write(flameOf(JSON.parse(readFileSync(file, "utf8")) as Profile));
  }
}
