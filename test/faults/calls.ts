/** Each call to Redis of each scenario, failed in each way, one at a time: which unit is which, and many at once. */
import { withTeardown } from "../support/teardown.ts";
import { startRedis } from "../support/redis-server.ts";
import { startUpstream } from "../support/upstream.ts";
import type { BatchResult } from "../proof/row.ts";
import { FAULTS, type Fault } from "./chaos-proxy.ts";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { playUnit, STORE_TIMEOUT_MS, type Place, type Witnessed } from "./unit.ts";

interface Case {
  readonly scenario: Scenario;
  readonly call: number;
  readonly fault: Fault;
}

/** Every call with every fault, once. */
export const CASES: readonly Case[] = FAULTS.flatMap((fault) =>
  SCENARIOS.flatMap((scenario) =>
    Array.from({ length: scenario.calls }, (_, at) => ({ scenario, call: at + 1, fault })),
  ),
);

const AT_ONCE = 16;
const MOST_TRIES = 5;

/** Runs `work` with a Redis and an upstream that all its units share. */
export function inPlace<T>(work: (place: Place) => Promise<T>): Promise<T> {
  return withTeardown(async (t) => {
    const acl = ["user default on nopass ~* &* +@all", "user app on >secret ~* &* +@all"];
    const redis = await startRedis(t, { acl });
    const units = new Map<string, Witnessed>();
    const upstream = await startUpstream(t, {
      async respond(call, _req, res) {
        const unit = units.get(call.all("x-unit")[0] ?? "");
        // Of a unit that is over: nobody waits for it any more.
        if (unit === undefined) res.destroy();
        else await unit.respond(call, res);
      },
    });
    return work({ redisPort: redis.port, upstreamUrl: upstream.url, units });
  });
}

/** The units `first` to `first + count - 1`; beyond the number of cases they begin anew, with other timing. */
export function runCases(first: number, count: number): Promise<BatchResult> {
  return inPlace(async (place) => {
    const violations: string[] = [];
    const counts = { requests: 0, executions: 0 };
    let done = 0;
    let next = first;
    const worker = async (): Promise<void> => {
      while (next < first + count) {
        const number = next;
        next += 1;
        const { scenario, call, fault } = caseOf(number);
        const round = Math.floor(number / CASES.length);
        const lateMs = STORE_TIMEOUT_MS * 2.2 + ((number * 37) % 5) * 20 + ((round * 53) % 200);
        let struck = false;
        // On a machine that is so busy that calls are given up by themselves, the planned one may not come.
        for (let tries = 1; !struck && tries <= MOST_TRIES; tries += 1) {
          const name = `${scenario.name}-${call}-${fault}-${round}-${tries}`;
          const result = await playUnit(name, scenario, { call, fault, lateMs }, place);
          counts.requests += result.requests;
          counts.executions += result.executions;
          violations.push(...result.violations);
          struck = result.struck;
        }
        if (struck) done += 1;
        else violations.push(`${scenario.name}, call ${call}, ${fault}: it never came`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return { done, violations, counts };
  });
}

function caseOf(number: number): Case {
  const found = CASES[number % CASES.length];
  if (found === undefined) throw new Error("there are no cases");
  return found;
}
