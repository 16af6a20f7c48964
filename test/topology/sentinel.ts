/**
 * A failover of Sentinel under load: planned by an operator, the primary killed, or the primary stopped and woken again
 * when somebody else has its place. With claims that wait for the replica and with claims that do not.
 */
import { startSentinel, until } from "../support/redis-server.ts";
import { withTeardown } from "../support/teardown.ts";
import { Load } from "./load.ts";
import { askAgain, healthy, judged, settingsOf, startGateways, type Unit } from "./unit.ts";

type Sentinel = Awaited<ReturnType<typeof startSentinel>>;

interface Situation {
  readonly how: "planned" | "killed" | "stopped";
  readonly wait: 0 | 1;
}

const SITUATIONS: readonly Situation[] = [
  { how: "planned", wait: 1 },
  { how: "killed", wait: 0 },
  { how: "planned", wait: 0 },
  { how: "killed", wait: 1 },
  { how: "stopped", wait: 0 },
  { how: "stopped", wait: 1 },
];

const CLIENTS = 30;

export function sentinelFailover(n: number): Promise<Unit> {
  const { how, wait } = SITUATIONS[n % SITUATIONS.length] ?? { how: "planned", wait: 1 };
  return withTeardown(async (t) => {
    const sentinel = await startSentinel(t);
    const load = await Load.start(t, workMs);
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/records/0`;
    const gateways = await startGateways(t, settingsOf(load.upstream.url, url, wait));
    const urls = gateways.map((gateway) => gateway.url);
    const over = new AbortController();
    let keys = 0;
    const nextKey = (): string => `failover-${n}-${(keys += 1)}`;
    const running = load.run(urls, CLIENTS, over.signal, nextKey, { patienceMs: 150 });
    await load.upstream.arrived(2 * CLIENTS);

    const fromMs = load.now();
    // Nobody waits for a replica: what the primary has acknowledged and not passed on is lost with it.
    if (wait === 0) load.losing(true);
    await FAILOVERS[how](sentinel);
    await healthy(gateways);
    if (wait === 0) load.losing(false);
    const toMs = load.now();
    await load.upstream.arrived(load.upstream.count() + CLIENTS);
    over.abort();
    await running;
    await askAgain(load, urls);
    return judged(`${how}, replicas.wait ${wait}`, load, { faultFree: false, fromMs, toMs });
  });
}

/** Each resolves when the old primary is a replica of the new one. */
const FAILOVERS: Readonly<Record<Situation["how"], (sentinel: Sentinel) => Promise<void>>> = {
  planned: (sentinel) => sentinel.failover(),
  async killed(sentinel) {
    await sentinel.primary.kill();
    await sentinel.promoted();
    await sentinel.primary.restart();
    await demoted(sentinel);
  },
  async stopped(sentinel) {
    await sentinel.primary.kill("SIGSTOP");
    await sentinel.promoted();
    await sentinel.primary.kill("SIGCONT");
    await demoted(sentinel);
  },
};

async function demoted({ primary }: Sentinel): Promise<void> {
  // A server that changes its role drops its clients, the one that asks included.
  const role = (): Promise<string> => primary.cli("INFO", "replication").catch(() => "dropped");
  await until(async () => /role:slave[\s\S]*master_link_status:up/u.test(await role()));
}

/** 200 to 500 ms, always the same for a key: longer than its client has patience. */
function workMs(key: string): number {
  return 200 + ((Number(key.split("-").at(-1)) * 7919) % 300);
}
