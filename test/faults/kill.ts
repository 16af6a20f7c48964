/**
 * Redis killed with `kill -9` under load and started again on its append-only file, which it writes before it answers.
 * What was acknowledged as completed is there afterwards; what was not gets its final answer. A killed process leaves
 * the kernel's page cache behind, so this says nothing of a power cut.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { BatchResult } from "../proof/row.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startRedis, type RedisServer } from "../support/redis-server.ts";
import { withTeardown } from "../support/teardown.ts";
import { startUpstream } from "../support/upstream.ts";
import { Random } from "../support/random.ts";
import { Witnessed, type Request } from "./unit.ts";

const CLIENTS = 12;
const LEASE_MS = 4000;
const PAUSE_MS = 10;

/** Cycles are told apart by their numbers, which also say when the kill comes. */
export function runKills(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const always = ["--appendonly", "yes", "--appendfsync", "always"];
    const redis = await startRedis(t, { args: always });
    let cycle: Witnessed | undefined;
    const upstream = await startUpstream(t, {
      async respond(call, _req, res) {
        await cycle?.respond(call, res);
      },
    });
    const gateway = await startGateway(t, {
      upstream: { url: upstream.url, timeout: "2s", connectTimeout: "1s" },
      store: { url: redis.url, timeout: "250ms", lease: `${LEASE_MS}ms` },
    });
    const violations: string[] = [];
    const counts = { requests: 0, executions: 0, acknowledged: 0 };
    const peaks = { cycleMs: 0 };
    for (let number = first; number < first + count; number += 1) {
      const startedMs = performance.now();
      cycle = new Witnessed(`kill-${number}`, gateway);
      counts.acknowledged += await killOnce(cycle, number, redis, gateway);
      violations.push(...cycle.violations());
      counts.requests += cycle.requests;
      counts.executions += cycle.executions;
      peaks.cycleMs = Math.max(peaks.cycleMs, Math.round(performance.now() - startedMs));
    }
    return { done: count, violations, counts, peaks };
  });
}

/** Returns how many completions had been acknowledged before the kill. */
async function killOnce(
  cycle: Witnessed,
  number: number,
  redis: RedisServer,
  gateway: TestGateway,
): Promise<number> {
  const random = new Random(number);
  const asked: Request[] = [];
  let acknowledged = 0;
  const killed = new AbortController();
  const target = random.between(5, 40);
  let reached: () => void = () => undefined;
  const enough = new Promise<void>((resolve) => (reached = resolve));
  const client = async (): Promise<void> => {
    while (!killed.signal.aborted) {
      const key = `${cycle.name}-${asked.length}`;
      const request: Request = { method: "POST", path: "/charges", key, body: "{}" };
      asked.push(request);
      const answer = await cycle.ask(request);
      if (answer?.header("idempotency-status") === "executed") acknowledged += 1;
      if (acknowledged >= target) reached();
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);
  await enough;
  await delay(random.int(5));
  await redis.kill("SIGKILL");
  killed.abort();
  await Promise.all(clients);
  await redis.restart();
  while ((await gateway.store.problems()).length > 0) await delay(PAUSE_MS);
  cycle.faultsOver(LEASE_MS);
  await Promise.all(asked.map((request) => cycle.settle(request, LEASE_MS)));
  await cycle.look(LEASE_MS);
  return acknowledged;
}
