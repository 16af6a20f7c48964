/** What the gateway has to show, and whether it does. Pure: results in, verdicts out; what was not measured is said. */
import { summaryOf, type Results } from "./results.ts";

export interface Verdict {
  readonly what: string;
  /** `>= 1.0`, `<= 400 ms` */
  readonly target: string;
  readonly measured: number | undefined;
  readonly holds: boolean | undefined;
}

/** One figure of one contender in one workload. */
type At = readonly [workload: string, contender: string, figure: string];

interface Target {
  readonly what: string;
  readonly bound: "at least" | "at most";
  readonly limit: number;
  readonly unit?: string;
  readonly figure: At;
  /** The figure is divided by this one. */
  readonly over?: At;
}

const GATEWAY = "gateway-redis";

const STORES = [
  ["redis", "Redis"],
  ["embedded", "embedded"],
] as const;

const TARGETS: readonly Target[] = [
  {
    what: "guarded first execution, Redis, one worker: throughput vs nginx + Lua + Redis, one worker",
    bound: "at least",
    limit: 1,
    figure: ["first", GATEWAY, "perSecond"],
    over: ["first", "nginx-lua", "perSecond"],
  },
  {
    what: "the same vs the npm middleware",
    bound: "at least",
    limit: 3,
    figure: ["first", GATEWAY, "perSecond"],
    over: ["first", "middleware", "perSecond"],
  },
  {
    what: "replay of a hot key vs nginx + Lua + Redis",
    bound: "at least",
    limit: 1,
    figure: ["hot", GATEWAY, "perSecond"],
    over: ["hot", "nginx-lua", "perSecond"],
  },
  {
    what: "replay of cold keys vs nginx + Lua + Redis",
    bound: "at least",
    limit: 1,
    figure: ["cold", GATEWAY, "perSecond"],
    over: ["cold", "nginx-lua", "perSecond"],
  },
  {
    what: "guarded vs the bare undici proxy doing nothing (the price of safety)",
    bound: "at least",
    limit: 0.6,
    figure: ["first", GATEWAY, "perSecond"],
    over: ["first", "undici", "perSecond"],
  },
  {
    what: "embedded store vs Redis store, guarded",
    bound: "at least",
    limit: 1,
    figure: ["first", "gateway-embedded", "perSecond"],
    over: ["first", GATEWAY, "perSecond"],
  },
  {
    what: "pass-through GET vs bare http-proxy",
    bound: "at least",
    limit: 0.95,
    figure: ["get", GATEWAY, "perSecond"],
    over: ["get", "http-proxy", "perSecond"],
  },
  {
    what: "added p99 at 50 % of the knee, guarded, vs the bare undici proxy's",
    bound: "at most",
    limit: 1.5,
    figure: ["latency", GATEWAY, "addedP99"],
    over: ["latency", "undici", "addedP99"],
  },
  ...STORES.map(([store, title]): Target => {
    return {
      what: `two workers vs one, ${title}: CPU per request`,
      bound: "at most",
      limit: 1.1,
      figure: ["first", `gateway-${store}-2`, "cpuMicroseconds"],
      over: ["first", `gateway-${store}`, "cpuMicroseconds"],
    };
  }),
  {
    what: "Redis memory per completed record with a 180-byte answer",
    bound: "at most",
    limit: 700,
    unit: "bytes",
    figure: ["cold", GATEWAY, "storeBytesPerRecord"],
  },
  ...STORES.map(([store, title]): Target => {
    return {
      what: `claim latency with the most records vs the fewest, ${title}`,
      bound: "at most",
      limit: 1.2,
      figure: ["records", `gateway-${store}`, "claimAtMost"],
      over: ["records", `gateway-${store}`, "claimAtFewest"],
    };
  }),
  ...STORES.map(([store, title]): Target => {
    return {
      what: `start to listening, ${title}`,
      bound: "at most",
      limit: 400,
      unit: "ms",
      figure: ["start", `gateway-${store}`, "startMs"],
    };
  }),
];

export function verdictsOn(results: Results, targets = TARGETS): readonly Verdict[] {
  return targets.map(({ what, bound, limit, unit, figure, over }) => {
    const value = medianAt(results, figure);
    const base = over === undefined ? 1 : medianAt(results, over);
    const measured = value === undefined || base === undefined ? undefined : value / base;
    const holds =
      measured === undefined
        ? undefined
        : bound === "at least"
          ? measured >= limit
          : measured <= limit;
    const target = `${bound === "at least" ? ">=" : "<="} ${limit}${unit === undefined ? "" : ` ${unit}`}`;
    return { what, target, measured, holds };
  });
}

function medianAt(results: Results, [workload, contender, figure]: At): number | undefined {
  return summaryOf(results[workload], contender, figure)?.median;
}
