/** The first view: what the gateway is doing, in five figures, three plots, and a line for each route and operation. */
import { element, panel, table } from "./elements.ts";
import { type Live, SAMPLE_MS } from "./live.ts";
import { createPlot, largestOf, type Line } from "./plot.ts";
import {
  callsOf,
  conflictsOf,
  latest,
  type Points,
  quantileMs,
  quantiles,
  rates,
  type Sample,
  sumOf,
  totals,
} from "./series.ts";
import { shadowParts } from "./shadow.ts";
import type { View } from "./view.ts";
import type { Counters, Histogram, RouteCounters, Status } from "./wire.ts";
import { bytes, count, milliseconds, perSecond, span } from "./words.ts";

/** Samples that a rate is shown over, and a quantile is taken over: ten seconds. */
const WINDOW = 5;

export function overviewView(): View {
  const tiles = [
    rateTile("Executed", "executed", totals.executed),
    rateTile("Replayed", "replayed", totals.replayed),
    rateTile("Conflicts", "conflicts", totals.conflicts),
    flightTile(),
    unknownTile(),
  ];
  const latencies = [
    latencyPlot("Executed", "executed", ({ latency }) => latency.executed),
    latencyPlot("Replayed", "replayed", ({ latency }) => latency.replayed),
    latencyPlot("Upstream", "flight", ({ latency }) => latency.upstream),
  ];
  const routes = element("div");
  const shadow = element("div");
  const store = element("div");
  const node = element(
    "div",
    {},
    element("div", { class: "tiles" }, ...tiles.map((tile) => tile.node)),
    panel("Latency", element("div", { class: "latencies" }, ...latencies.map((plot) => plot.node))),
    panel("Routes", routes),
    shadow,
    panel("Store", store),
  );
  return {
    title: "Overview",
    node,
    update(live) {
      const counters = live.samples.at(-1)?.counters;
      if (counters === undefined) return;
      for (const part of [...tiles, ...latencies]) part.update(live);
      // Somebody is copying a figure: the tables wait.
      if (getSelection()?.isCollapsed === false) return;
      routes.replaceChildren(routesTable(counters, live.samples));
      shadow.replaceChildren(...shadowParts(counters));
      store.replaceChildren(...storeParts(counters, live));
    },
  };
}

interface Part {
  readonly node: HTMLElement;
  update(live: Live): void;
}

function tileOf(label: string, tone: string, href?: string) {
  const figure = element("strong", { class: "figure" });
  const beside = element("span", { class: "beside" });
  const plot = createPlot("small");
  const name = href === undefined ? element("span", {}, label) : element("a", { href }, label);
  const node = element(
    "section",
    { class: `tile ${tone}`, "aria-label": label },
    element("div", { class: "label" }, name),
    element("div", { class: "row" }, figure, beside),
    plot.node,
  );
  return { node, figure, beside, plot };
}

function rateTile(label: string, tone: string, total: (counters: Counters) => number): Part {
  const { node, figure, beside, plot } = tileOf(label, tone);
  return {
    node,
    update({ samples }) {
      const points = rates(samples, total);
      figure.textContent = count(totalOf(samples, total));
      beside.textContent = perSecond(average(points.slice(-WINDOW)));
      plot.draw([{ tone, points }], `${label} per second, the last ${spanOf(samples)}`);
    },
  };
}

function flightTile(): Part {
  const { node, figure, beside, plot } = tileOf("In flight", "flight");
  return {
    node,
    update({ samples }) {
      const points = samples.map(({ counters }) => counters.inFlight);
      figure.textContent = count(points.at(-1) ?? 0);
      beside.textContent = `peak ${count(Math.max(0, ...points))}`;
      plot.draw([{ tone: "flight", points }], `In flight, the last ${spanOf(samples)}`);
    },
  };
}

function unknownTile(): Part {
  const { node, figure, beside, plot } = tileOf("Unknown outcomes", "unknown", "#/unknown");
  return {
    node,
    update({ samples, queue }) {
      const ever = totalOf(samples, totals.unknown);
      const open = queue?.records.length;
      figure.textContent = open === undefined ? "–" : `${open}${queue?.whole === true ? "" : "+"}`;
      beside.textContent = `open, ${count(ever)} since start`;
      node.classList.toggle("alarm", (open ?? 0) > 0);
      const points = rates(samples, totals.unknown);
      plot.draw([{ tone: "unknown", points }], `New unknown outcomes, the last ${spanOf(samples)}`);
    },
  };
}

function latencyPlot(
  label: string,
  tone: string,
  histogram: (counters: Counters) => Histogram,
): Part {
  const plot = createPlot("large");
  const figures = element("span", { class: "beside" });
  const node = element(
    "figure",
    { class: tone },
    element("figcaption", { class: "row" }, element("span", { class: "label" }, label), figures),
    plot.node,
  );
  return {
    node,
    update({ samples }) {
      const of = (q: number): Points => quantiles(samples, histogram, q, WINDOW);
      const lines: readonly Line[] = [
        { tone: `${tone} soft`, points: of(0.99) },
        { tone, points: of(0.5) },
      ];
      const [p99, p50] = lines.map(({ points }) => milliseconds(latest(points)));
      figures.textContent = `p50 ${p50} · p99 ${p99}`;
      const seen = lines.some(({ points }) => latest(points) !== undefined);
      plot.draw(
        lines,
        `${label}: median ${p50}, 99th percentile ${p99}, the last ${spanOf(samples)}`,
        seen ? `↑ ${milliseconds(largestOf(lines))}` : "no calls since the page was opened",
      );
    },
  };
}

function routesTable(counters: Counters, samples: readonly Sample[]): HTMLElement {
  const busy = counters.routes.filter(
    (route) => route.route !== "none" || sumOf(Object.values(route.outcomes)) > 0,
  );
  const rate = (name: string): string => {
    const grown = rates(samples.slice(-WINDOW - 1), ({ routes }) =>
      sumOf(routes.filter(({ route }) => route === name).flatMap(requestsOf)),
    );
    return perSecond(average(grown));
  };
  return table(
    "Routes",
    [
      { label: "Route" },
      { label: "Rate", number: true },
      { label: "Executed", number: true },
      { label: "Replayed", number: true },
      { label: "Conflicts", number: true },
      { label: "Unknown", number: true },
      { label: "Other", number: true },
      { label: "p50", number: true },
      { label: "p99", number: true },
    ],
    busy.map((route) => {
      const { executed = 0, replayed = 0 } = route.outcomes;
      const conflicts = conflictsOf(route);
      const other = requestsOf(route) - executed - replayed - conflicts;
      return [
        element("b", {}, route.route),
        rate(route.route),
        count(executed),
        count(replayed),
        count(conflicts),
        count(sumOf(Object.values(route.unknown))),
        element("span", { title: otherWords(route) }, count(other)),
        milliseconds(quantileMs(route.duration, 0.5)),
        milliseconds(quantileMs(route.duration, 0.99)),
      ];
    }),
  );
}

function requestsOf({ outcomes }: RouteCounters): number {
  return sumOf(Object.values(outcomes));
}

/** Which outcomes the last column adds up. */
function otherWords({ outcomes }: RouteCounters): string {
  return Object.entries(outcomes)
    .map(([outcome, n]) => `${outcome} ${count(n)}`)
    .join(", ");
}

function storeParts(counters: Counters, { status }: Live): readonly Node[] {
  const facts: readonly (readonly [name: string, value: string])[] = [
    ["Recorded", bytes(counters.recordedBytes)],
    ["Lost writes", count(sumOf(Object.values(counters.lostWrites)))],
    ...(status === undefined
      ? []
      : ([
          ["Address", status.store.url],
          ["Time-out", milliseconds(status.store.timeoutMs)],
          ["Lease", span(status.store.leaseMs)],
        ] as const)),
    ...(status === undefined ? [] : quotaFacts(status.quotas)),
  ];
  return [
    element(
      "dl",
      { class: "facts" },
      ...facts.map(([name, value]) =>
        element("div", {}, element("dt", {}, name), element("dd", {}, value)),
      ),
    ),
    ...(status?.problems ?? []).map((problem) => element("p", { class: "problem" }, problem)),
    table(
      "Calls to the store",
      [
        { label: "Operation" },
        { label: "Calls", number: true },
        { label: "Failed", number: true },
        { label: "p50", number: true },
        { label: "p99", number: true },
      ],
      counters.store.map(({ operation, errors, duration }) => [
        element("b", {}, operation),
        count(callsOf(duration)),
        element("span", { class: errors > 0 && "bad" }, count(errors)),
        milliseconds(quantileMs(duration, 0.5)),
        milliseconds(quantileMs(duration, 0.99)),
      ]),
    ),
  ];
}

function quotaFacts({
  newKeys,
  liveRecords,
}: Status["quotas"]): readonly (readonly [string, string])[] {
  const facts = [];
  if (liveRecords !== null) facts.push(["Records per caller", count(liveRecords)] as const);
  if (newKeys !== null) {
    const rate = perSecond(newKeys.perSecond);
    facts.push(["New keys per caller", `${rate}, ${count(newKeys.burst)} at once`] as const);
  }
  return facts;
}

function totalOf(samples: readonly Sample[], total: (counters: Counters) => number): number {
  const last = samples.at(-1);
  return last === undefined ? 0 : total(last.counters);
}

function average(points: Points): number | undefined {
  const known = points.filter((point) => point !== undefined);
  return known.length === 0 ? undefined : sumOf(known) / known.length;
}

function spanOf(samples: readonly Sample[]): string {
  return span(Math.max(SAMPLE_MS, (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0)));
}
