/**
 * The workload "latency": every contender gets the same requests at the same rate, half of what the gateway on Redis
 * can answer over 64 connections in the same run, and what counts is what it adds to going to the upstream directly.
 */
import { applyLoad } from "./load.ts";
import type { Options } from "./options.ts";
import { runProgram } from "./programs.ts";
import type { Sample } from "./results.ts";
import type { Run } from "./run.ts";

const KNEE_OF = "gateway-redis";
const NAMES = ["undici", "nginx-lua", KNEE_OF, "gateway-embedded"];
const CONNECTIONS = 64;
/** A p99.9 needs thousands of requests. */
const LENGTH = 3;

interface Latency {
  readonly broken: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export async function runOpenLoop({ lineup, options, say }: Run): Promise<readonly Sample[]> {
  const entrants = await lineup.entrants(["direct", ...NAMES]);
  const urlOf = (name: string): string | undefined =>
    entrants.find(({ contender }) => contender.name === name)?.started.url;
  const knee = urlOf(KNEE_OF);
  if (knee === undefined || urlOf("direct") === undefined) {
    say(`  left out: it needs the contenders direct and ${KNEE_OF}`);
    return [];
  }
  const rate = (await kneeOf(knee, options)) / 2;
  say(`  half of the knee: ${Math.round(rate)} requests per second`);
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    let direct: Latency | undefined;
    for (const entrant of entrants) {
      const contender = entrant.contender.name;
      const seconds = LENGTH * options.seconds;
      const args = [
        entrant.started.url,
        `open-${contender}-${round}`,
        rate,
        seconds,
        options.warmUpSeconds,
      ];
      const found = (await runProgram("open-loop", [...args, CONNECTIONS])) as Latency;
      if (found.broken > 0)
        throw new Error(`${contender}: ${found.broken} requests were not answered well`);
      direct ??= found;
      const added = {
        addedP50: found.p50 - direct.p50,
        addedP99: found.p99 - direct.p99,
        addedP999: found.p999 - direct.p999,
      };
      const { p50, p99, p999 } = found;
      const figures = { rate, p50, p99, p999, ...(found !== direct && added) };
      samples.push({ contender, round, figures });
    }
  }
  return samples;
}

async function kneeOf(url: string, { seconds, warmUpSeconds }: Options): Promise<number> {
  const plan = { url, mode: "unique", path: "/v1/charges", bodyBytes: 250 } as const;
  const shared = { ...plan, connections: CONNECTIONS };
  await applyLoad({ ...shared, prefix: "warm-knee", seconds: warmUpSeconds });
  const { requests, microseconds } = await applyLoad({ ...shared, prefix: "knee", seconds });
  return (requests * 1e6) / microseconds;
}
