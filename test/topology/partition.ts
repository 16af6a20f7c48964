/**
 * The network between two sides is cut, and Sentinel promotes a replica on the one while the old primary goes on taking
 * writes on the other, each with a gateway of its own. Clients reach both sides and go to the other one when they have
 * heard nothing. Real processes in network namespaces; see namespaces.ts.
 */
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import {
  startRedis,
  startSentinelServer,
  until,
  type RedisServer,
} from "../support/redis-server.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { ready } from "../process/store-places.ts";
import { Load } from "./load.ts";
import { twoSides, type Side, type Sides } from "./namespaces.ts";
import { askAgain, judged, settingsOf, type Unit } from "./unit.ts";

interface Situation {
  readonly name: string;
  readonly wait: 0 | 1;
  /** Replicas on the old primary's side and on the other. */
  readonly left: number;
  readonly right: number;
  /** Keys are locked on three servers, one of them on the old primary's side. */
  readonly locks: boolean;
  /** Claims that were acknowledged can be lost. */
  readonly loses: boolean;
}

const SITUATIONS: readonly Situation[] = [
  { name: "1 replica beyond the cut", wait: 0, left: 0, right: 1, locks: false, loses: true },
  { name: "2 replicas beyond the cut", wait: 1, left: 0, right: 2, locks: false, loses: false },
  { name: "1 replica each side", wait: 1, left: 1, right: 2, locks: false, loses: true },
  { name: "1 replica beyond, locks.nodes", wait: 0, left: 0, right: 1, locks: true, loses: true },
];

const CLIENTS = 20;

export function partition(n: number): Promise<Unit> {
  const situation = SITUATIONS[n % SITUATIONS.length];
  if (situation === undefined) throw new Error("no such situation");
  return withTeardown(async (t) => {
    const sides = await twoSides(t);
    const place = await startServers(t, sides, situation);
    const load = await Load.start(t, workMs, { host: sides.here });
    const gateways = await Promise.all(
      [sides.left, sides.right].map((side, at) => {
        const store = `redis+sentinel://${side.address}:${place.sentinels[at]?.port}/records/0`;
        const settings = settingsOf(load.upstream.url, store, situation.wait);
        return startInside(t, side, { ...settings, locks: { nodes: place.locks } });
      }),
    );
    const urls = gateways.map(({ url }) => url);
    const over = new AbortController();
    let keys = 0;
    const nextKey = (): string => `cut-${n}-${(keys += 1)}`;
    const running = load.run(urls, CLIENTS, over.signal, nextKey, { patienceMs: 150 });
    await load.upstream.arrived(2 * CLIENTS);

    const fromMs = load.now();
    load.losing(situation.loses);
    await sides.cut();
    await place.promoted();
    // Both sides have a primary now. What the one executes meanwhile, the other does not know.
    await load.upstream.arrived(load.upstream.count() + CLIENTS);
    await sides.mend();
    await place.demoted();
    await Promise.all(gateways.map(ready));
    load.losing(false);
    const toMs = load.now();
    over.abort();
    await running;
    await askAgain(load, urls);
    const name = `${situation.name}, replicas.wait ${situation.wait}`;
    return judged(name, load, { faultFree: false, fromMs, toMs });
  });
}

async function startInside(t: Teardown, side: Side, settings: Readonly<Record<string, unknown>>) {
  const at = ["--listen", `${side.seenFromHere}:0`, "--admin", `${side.seenFromHere}:0`];
  const more = { admin: { token: "of-the-test" }, log: { level: "info" } };
  const args = [...configured(t, { ...settings, ...more }), ...at];
  const node = [...side.under, process.execPath];
  return ready(await startGatewayProcess(t, args, {}, undefined, undefined, node));
}

interface Place {
  /** Of the left side and of the right one. */
  readonly sentinels: readonly { readonly port: number }[];
  readonly locks: readonly string[];
  /** Resolves when the right side has a primary of its own. */
  promoted(): Promise<void>;
  /** Resolves when the old primary has become a replica. */
  demoted(): Promise<void>;
}

async function startServers(
  t: Teardown,
  { left, right }: Sides,
  situation: Situation,
): Promise<Place> {
  const primary = await startRedis(t, { inside: left });
  const replicaOn = (inside: Side, priority: number): Promise<RedisServer> => {
    // The left one is never to be promoted, or the cut would mean nothing.
    const args = ["--replica-priority", String(priority)];
    return startRedis(t, { inside, replicaOf: primary, args });
  };
  await Promise.all([
    ...Array.from({ length: situation.left }, () => replicaOn(left, 0)),
    ...Array.from({ length: situation.right }, () => replicaOn(right, 100)),
  ]);
  const replicas = String(situation.left + situation.right);
  await until(async () => (await primary.cli("WAIT", replicas, "1000")) === replicas);
  const sentinels = await Promise.all(
    [left, right, right].map((side) => startSentinelServer(t, primary, 2, side)),
  );
  await until(async () => {
    const seen = await Promise.all(
      sentinels.map((sentinel) => sentinel.cli("SENTINEL", "MASTER", "records")),
    );
    const known = new RegExp(`num-slaves\\n${replicas}\\nnum-other-sentinels\\n2\\n`, "u");
    return seen.every((state) => known.test(state));
  });
  const lockServers = situation.locks
    ? await Promise.all([left, right, right].map((inside) => startRedis(t, { inside })))
    : [];
  const [, judge] = sentinels;
  const old = new RegExp(`\\b${primary.port}\\b`, "u");
  return {
    sentinels,
    locks: lockServers.map(({ url }) => url),
    promoted: () =>
      until(
        async () =>
          judge !== undefined &&
          !old.test(await judge.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "records")),
      ),
    async demoted() {
      // A server that changes its role drops its clients, the one that asks included.
      const role = (): Promise<string> => primary.cli("INFO", "replication").catch(() => "dropped");
      await until(async () => /role:slave[\s\S]*master_link_status:up/u.test(await role()));
    },
  };
}

/** 200 to 500 ms, always the same for a key: longer than its client has patience. */
function workMs(key: string): number {
  return 200 + ((Number(key.split("-").at(-1)) * 7919) % 300);
}
