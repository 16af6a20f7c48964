/**
 * One timed stretch of closed-loop load on one contender: throughput, latency, CPU of its processes and of Redis, and
 * the upstream's count, which must be what the workload says or the figures are not taken.
 */
import type { Started } from "./contenders.ts";
import { cpuMicroseconds } from "./cpu.ts";
import { applyLoad, type LoadPlan } from "./load.ts";
import type { Figures } from "./results.ts";
import type { Site } from "./site.ts";

export interface Expected {
  /** Which share of the requests reaches the upstream. */
  readonly executed: number;
  /** Every answer is a refusal; otherwise none is. */
  readonly refused: boolean;
}

export async function takeSample(
  contender: string,
  started: Started,
  site: Site,
  plan: LoadPlan,
  expected: Expected,
  /** On a busy machine a store may take longer than a contender waits, which then refuses: told as `odd`, up to here. */
  tolerated: number,
): Promise<Figures> {
  const cpu = (): number => cpuMicroseconds(started.pid);
  const redisCpu = (): number => cpuMicroseconds(site.redis.pid);
  const executedBefore = await site.settled();
  const [cpuBefore, redisBefore] = [cpu(), redisCpu()];
  const load = await applyLoad(plan);
  const [cpuSpent, redisSpent] = [cpu() - cpuBefore, redisCpu() - redisBefore];
  const executed = (await site.settled()) - executedBefore;
  const { requests, notSuccessful, broken } = load;
  const wrong = (what: string): Error => new Error(`${contender}, ${plan.mode}: ${what}`);
  if (requests === 0) throw wrong("no request was answered");
  if (broken > 0) throw wrong(`${broken} connections broke or timed out`);
  const odd = expected.refused ? requests - notSuccessful : notSuccessful;
  if (odd > requests * tolerated) throw wrong(`${notSuccessful} of ${requests} were refused`);
  // wrk leaves what is in flight at the end, one for each connection, and the stretch before may have left as many.
  const due = expected.executed * requests;
  const slack = expected.executed === 0 ? 0 : 2 * plan.connections + odd;
  if (Math.abs(executed - due) > slack) {
    throw wrong(`the upstream was called ${executed} times for ${requests} requests`);
  }
  return {
    perSecond: (requests * 1e6) / load.microseconds,
    cpuMicroseconds: cpuSpent / requests,
    redisMicroseconds: redisSpent / requests,
    p50: load.p50,
    p99: load.p99,
    ...(odd > 0 && { odd }),
  };
}
