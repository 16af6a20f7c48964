/** The results in Markdown: the targets first, then each workload with all that was measured in it. Pure. */
import { contendersIn, figuresIn, summaryOf, type Measured, type Results } from "./results.ts";
import { verdictsOn, type Verdict } from "./targets.ts";

/** What ratios are taken against. */
const REFERENCE = "nginx-lua";

/** Where a contender or a workload is not known any more its name stands for it. */
export interface Titles {
  readonly contenders: ReadonlyMap<string, string>;
  readonly workloads: ReadonlyMap<string, string>;
}

const COLUMNS: Readonly<Record<string, string>> = {
  perSecond: "per second",
  cpuMicroseconds: "CPU us per request",
  redisMicroseconds: "Redis CPU us per request",
  p50: "p50 us",
  p99: "p99 us",
  p999: "p99.9 us",
  addedP50: "added p50 us",
  addedP99: "added p99 us",
  addedP999: "added p99.9 us",
  odd: "odd answers",
  rate: "rate per second",
  startMs: "start ms",
  startCpuMs: "CPU ms until ready",
  storeBytesPerRecord: "bytes per record",
};

export function pageOf(results: Results, titles: Titles): string {
  const workloads = Object.entries(results).map(([name, measured]) => {
    const { seconds, at, commit, machine } = measured;
    const title = titles.workloads.get(name) ?? name;
    const when = `${at.slice(0, 10)}, ${commit}, ${seconds} s a stretch; ${machine}`;
    return `### ${title}\n\n${workloadTable(measured, titles)}\n\n${when}`;
  });
  const plot = "![Requests per second of each contender, by workload](performance.svg)";
  return [targetTable(verdictsOn(results)), plot, ...workloads].join("\n\n");
}

export function targetTable(verdicts: readonly Verdict[]): string {
  const lines = verdicts.map(({ what, target, measured, holds }) => {
    const verdict = holds === undefined ? "not measured" : holds ? "yes" : "**no**";
    return row([what, target, measured === undefined ? "" : shown(measured), verdict]);
  });
  return [
    row(["what", "target", "measured", "holds"]),
    "| --- | ---: | ---: | --- |",
    ...lines,
  ].join("\n");
}

export function workloadTable(measured: Measured, titles: Titles): string {
  const figures = figuresIn(measured).filter((name) => !name.startsWith("claimAt"));
  const ratio = summaryOf(measured, REFERENCE, "perSecond");
  const head = ["contender", ...figures.map((name) => COLUMNS[name] ?? name)];
  if (ratio !== undefined) head.push(`vs ${titles.contenders.get(REFERENCE) ?? REFERENCE}`);
  const lines = contendersIn(measured).map((contender) => {
    const cells = figures.map((figure) => {
      const found = summaryOf(measured, contender, figure);
      if (found === undefined) return "";
      const wide = found.rounds > 1 && found.spread >= 0.005;
      return `${shown(found.median)}${wide ? ` ± ${Math.round(found.spread * 100)} %` : ""}`;
    });
    const own = summaryOf(measured, contender, "perSecond");
    if (ratio !== undefined)
      cells.push(own === undefined ? "" : (own.median / ratio.median).toFixed(2));
    return row([titles.contenders.get(contender) ?? contender, ...cells]);
  });
  return [row(head), `| --- |${" ---: |".repeat(head.length - 1)}`, ...lines].join("\n");
}

/** Three digits that mean something. */
function shown(figure: number): string {
  const digits = Math.abs(figure) >= 100 ? 0 : Math.abs(figure) >= 10 ? 1 : 2;
  return figure.toLocaleString("en-US", {
    maximumFractionDigits: digits,
    minimumFractionDigits: digits,
  });
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

const BEGIN = "<!-- bench: begin -->";
const END = "<!-- bench: end -->";

/** The page with the table between its two markers. @throws where it does not have them */
export function withTable(text: string, table: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`the page needs ${BEGIN} and ${END}.`);
  return `${text.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${text.slice(end)}`;
}
