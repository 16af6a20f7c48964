/** What is asked for on the command line. */
import { parseArgs } from "node:util";

export interface Options {
  /** Workloads by name; empty: all. */
  readonly only: readonly string[];
  readonly isWanted: (contender: string) => boolean;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly rounds: number;
  readonly coldKeys: number;
  readonly recordSizes: readonly number[];
  readonly heldMs: number;
  /** Which share of the answers may be refusals because the machine is too busy. */
  readonly tolerated: number;
  /** Prints, and leaves docs/ alone. */
  readonly print: boolean;
  readonly tableOnly: boolean;
}

export const USAGE = `npm run bench -- [OPTION]...
  --only NAME,NAME        these workloads; default: all
  --contenders NAME,NAME  these contenders; default: all
  --seconds S             of each timed stretch, whole; default 2
  --warm-up S             before each, whole; default 1; as often as it takes when a contender is new
  --rounds N              default 3
  --cold N                records of the workload "cold"; default 1000000
  --records N,N           sizes at which claims are timed; default 10000,1000000
  --tolerate SHARE        of answers that may be odd because the machine is busy; default 0.001
  --quick                 --cold 20000 --records 1000,20000
  --print                 print only; docs/ stays as it is
  --table                 measure nothing; write page and plot anew from docs/performance.json
`;

/** @throws with what is wrong */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string", default: "" },
      contenders: { type: "string", default: "" },
      seconds: { type: "string", default: "2" },
      "warm-up": { type: "string", default: "1" },
      rounds: { type: "string", default: "3" },
      cold: { type: "string" },
      records: { type: "string" },
      tolerate: { type: "string", default: "0.001" },
      quick: { type: "boolean", default: false },
      print: { type: "boolean", default: false },
      table: { type: "boolean", default: false },
    },
  });
  const contenders = listed(values.contenders);
  const seconds = whole("seconds", values.seconds);
  const warmUpSeconds = whole("warm-up", values["warm-up"]);
  const sizes = listed(values.records ?? (values.quick ? "1000,20000" : "10000,1000000"));
  return {
    only: listed(values.only),
    isWanted: (name) => contenders.length === 0 || contenders.includes(name),
    seconds,
    warmUpSeconds,
    rounds: whole("rounds", values.rounds),
    coldKeys: whole("cold", values.cold ?? (values.quick ? "20000" : "1000000")),
    recordSizes: sizes.map((size) => whole("records", size)).toSorted((a, b) => a - b),
    heldMs: (seconds + warmUpSeconds + 20) * 1000,
    tolerated: share("tolerate", values.tolerate),
    print: values.print,
    tableOnly: values.table,
  };
}

function listed(names: string): readonly string[] {
  return names.split(",").filter((name) => name !== "");
}

/** wrk takes whole seconds. */
function whole(name: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number > 0) return number;
  throw new Error(`--${name} takes a whole number above 0, not ${text}.`);
}

function share(name: string, text: string): number {
  const number = Number(text);
  if (number >= 0 && number < 1) return number;
  throw new Error(`--${name} takes a number from 0 to below 1, not ${text}.`);
}
