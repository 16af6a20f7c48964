/**
 * The workload "latency": every contender gets the same requests at the same rate, half of what the gateway on Redis
 * can answer over 64 connections in the same run, and what counts is what it adds to going to the upstream directly.
 */
import type { Teardown } from "../test/support/teardown.ts";
import { contenderOf, type Started } from "./contenders.ts";
import { checkCorrect } from "./correctness.ts";
import { applyLoad } from "./load.ts";
import type { Options } from "./options.ts";
import { runProgram } from "./programs.ts";
import type { Sample } from "./results.ts";
import type { Site } from "./site.ts";

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

export async function runOpenLoop(
  t: Teardown,
  site: Site,
  options: Options,
  say: (text: string) => void,
): Promise<readonly Sample[]> {
  const entrants = new Map<string, Started>();
  for (const name of [
    "direct",
    ...NAMES.filter((each) => each === KNEE_OF || options.isWanted(each)),
  ]) {
    const contender = contenderOf(name);
    await site.redis.cli("FLUSHALL");
    const started = await contender.start(t, site);
    await checkCorrect(contender, started, site);
    entrants.set(name, started);
  }
  await site.redis.cli("FLUSHALL");
  const rate = (await kneeOf(entrants.get(KNEE_OF)?.url ?? "", options)) / 2;
  say(`  half of the knee: ${Math.round(rate)} requests per second`);
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    let direct: Latency | undefined;
    for (const [contender, { url }] of entrants) {
      const seconds = LENGTH * options.seconds;
      const args = [url, `open-${contender}-${round}`, rate, seconds, options.warmUpSeconds];
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
  await applyLoad({ ...shared, prefix: "warm-knee", seconds: 3 * warmUpSeconds });
  const { requests, microseconds } = await applyLoad({ ...shared, prefix: "knee", seconds });
  return (requests * 1e6) / microseconds;
}
