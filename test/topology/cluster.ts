/**
 * A Cluster that changes under load: slots that move to another primary while their keys are claimed and in flight, so
 * that claims and completions meet real ASK and MOVED; and a primary that is killed, with its replica promoted.
 */
import { Redis } from "ioredis";
import { recordId, scopeOf } from "../../src/core/key.ts";
import type { TestGateway } from "../support/gateway.ts";
import { clusterIsUp, startCluster, until, type RedisServer } from "../support/redis-server.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { Load } from "./load.ts";
import {
  askAgain,
  healthy,
  judged,
  patientSettings,
  settingsOf,
  startGateways,
  type Unit,
} from "./unit.ts";

export function clusterChange(n: number): Promise<Unit> {
  return withTeardown((t) => (n % 2 === 0 ? slotsMove(t, n) : primaryKilled(t, n)));
}

const EACH = 12;

async function slotsMove(t: Teardown, n: number): Promise<Unit> {
  const nodes = await startCluster(t);
  const load = await Load.start(t, () => 500);
  const gateways = await startGateways(t, patientSettings(load.upstream.url, urlOf(nodes)));
  const urls = gateways.map(({ url }) => url);
  const [from, to] = await ownersOf(t, nodes);
  if (from === undefined || to === undefined) throw new Error("no such node");
  const send = (key: string) => load.operate(key, urls, { everywhere: true });
  // All from the first to the second: each new owner claims a newer epoch for all that it has, and several that do so
  // at once would take slots from one another.
  const keys = await keysOfFirst(from, gateways, `move-${n}`);
  const [early, late, still] = [0, 1, 2].map((part) => keys.slice(part * EACH, (part + 1) * EACH));
  if (early === undefined || late === undefined || still === undefined) throw new Error("few keys");
  const moves = await Promise.all(
    [...early, ...late].map((key) => moveOf(from, to, recordKeyOf(gateways, key))),
  );

  const fromMs = load.now();
  await Promise.all(moves.slice(0, EACH).map((move) => move.begin()));
  const told = [...early, ...late, ...still].map(send);
  await load.upstream.arrived(told.length);
  await Promise.all(moves.slice(EACH).map((move) => move.begin()));
  // One after the other, because MIGRATE blocks both servers.
  for (const move of moves) await move.carryOver();
  await Promise.all(told);
  // From here on what is asked of the old owner is answered with MOVED.
  for (const move of moves) await move.end();
  const toMs = load.now();
  await askAgain(load, urls);
  const unit = judged("slots moved", load, { faultFree: true, fromMs, toMs });
  const redirected = await redirections(nodes);
  if (redirected.asks === 0 || redirected.moved === 0) throw new Error("nothing was redirected");
  return { ...unit, counts: { ...unit.counts, ...redirected } };
}

async function primaryKilled(t: Teardown, n: number): Promise<Unit> {
  const nodes = await startCluster(t, { replica: true });
  const [primary, second, , replica] = nodes;
  if (primary === undefined || second === undefined || replica === undefined)
    throw new Error("few");
  const load = await Load.start(t, () => 300);
  const gateways = await startGateways(t, settingsOf(load.upstream.url, urlOf(nodes), 0));
  const urls = gateways.map(({ url }) => url);
  const over = new AbortController();
  let keys = 0;
  const nextKey = (): string => `killed-${n}-${(keys += 1)}`;
  const running = load.run(urls, EACH, over.signal, nextKey, { patienceMs: 150 });
  await load.upstream.arrived(2 * EACH);

  const fromMs = load.now();
  load.losing(true);
  await primary.kill();
  await until(async () => /role:master/u.test(await replica.cli("INFO", "replication")));
  await clusterIsUp(second);
  await primary.restart();
  await until(async () => /role:slave/u.test(await primary.cli("INFO", "replication")));
  await healthy(gateways);
  load.losing(false);
  const toMs = load.now();
  await load.upstream.arrived(load.upstream.count() + EACH);
  over.abort();
  await running;
  await askAgain(load, urls);
  return judged("Cluster primary killed", load, { faultFree: false, fromMs, toMs });
}

function urlOf(nodes: readonly RedisServer[]): string {
  return `redis+cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
}

/** The key in Redis of the record that the gateways make for this key. */
function recordKeyOf([gateway]: readonly TestGateway[], key: string): string {
  if (gateway === undefined) throw new Error("no gateway");
  const { defaults, store } = gateway.config;
  const scope = scopeOf([], defaults.scopeHeaders);
  return `${store.keyPrefix}{${recordId(scope, defaults.key.source, defaults.route, key)}}`;
}

interface Move {
  /** From here on the old owner answers ASK for what it has not got. */
  begin(): Promise<void>;
  /** Takes the record along. */
  carryOver(): Promise<void>;
  /** Everybody hears of the new owner. */
  end(): Promise<void>;
}

/** A primary as its slots are moved by. */
interface Owner {
  readonly port: number;
  readonly id: string;
  /** @throws where the server does not say one of the words. */
  tell(words: readonly string[], ...command: readonly (string | number)[]): Promise<void>;
  slotOf(key: string): Promise<number>;
}

function ownersOf(t: Teardown, nodes: readonly RedisServer[]): Promise<readonly Owner[]> {
  return Promise.all(
    nodes.map(async ({ port }) => {
      const client = new Redis({ port, host: "127.0.0.1" });
      t.teardown(() => client.disconnect());
      return {
        port,
        id: String(await client.call("CLUSTER", "MYID")),
        async tell(words, name, ...args) {
          const said = String(await client.call(String(name), ...args));
          if (!words.includes(said)) throw new Error(`${name} ${args[0]}: ${said}`);
        },
        slotOf: async (key) => Number(await client.call("CLUSTER", "KEYSLOT", key)),
      };
    }),
  );
}

/** Keys whose records the first primary holds, as `--cluster create` shares the slots out. */
async function keysOfFirst(
  owner: Owner,
  gateways: readonly TestGateway[],
  prefix: string,
): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let at = 0; keys.length < 3 * EACH; at += 1) {
    const slot = await owner.slotOf(recordKeyOf(gateways, `${prefix}-${at}`));
    if (slot < Math.floor(16_384 / 3)) keys.push(`${prefix}-${at}`);
  }
  return keys;
}

async function moveOf(from: Owner, to: Owner, key: string): Promise<Move> {
  const slot = await from.slotOf(key);
  const setSlot = (owner: Owner, how: string, id: string): Promise<void> =>
    owner.tell(["OK"], "CLUSTER", "SETSLOT", slot, how, id);
  return {
    async begin() {
      await setSlot(to, "IMPORTING", from.id);
      await setSlot(from, "MIGRATING", to.id);
    },
    carryOver: () => from.tell(["OK", "NOKEY"], "MIGRATE", "127.0.0.1", to.port, key, 0, 5000),
    async end() {
      for (const owner of [to, from]) await setSlot(owner, "NODE", to.id);
    },
  };
}

async function redirections(
  nodes: readonly RedisServer[],
): Promise<{ readonly asks: number; readonly moved: number }> {
  const stats = (await Promise.all(nodes.map((node) => node.cli("INFO", "errorstats")))).join("\n");
  const sum = (word: string): number =>
    [...stats.matchAll(new RegExp(`errorstat_${word}:count=(\\d+)`, "gu"))].reduce(
      (all, [, count]) => all + Number(count),
      0,
    );
  return { asks: sum("ASK"), moved: sum("MOVED") };
}
