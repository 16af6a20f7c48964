/**
 * One seed from beginning to end: three gateways or more over one store, clients that ask and ask again while things go
 * wrong, then a quiet time of a lease and a second, then every key once more; and what the checker says to it.
 */
import { nameResource } from "../../src/core/resource-name.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { check } from "../checker/check.ts";
import type { History, Violation } from "../checker/history.ts";
import { Clients } from "./clients.ts";
import { Faults } from "./faults.ts";
import { Gateway, type Site } from "./gateway.ts";
import { Journal } from "./journal.ts";
import { newPlan, type Plan } from "./plan.ts";
import { Random } from "../support/random.ts";
import { LEAST_LEASE_MS } from "./routes.ts";
import type { StoreSite } from "./store-link.ts";
import { SimulatedUpstream } from "./upstream.ts";
import { World } from "./world.ts";

export interface Simulated {
  readonly seed: number;
  /** Of the whole trace. */
  readonly hash: string;
  readonly history: History;
  readonly violations: readonly Violation[];
  readonly counts: Readonly<Record<string, number>>;
  /** Only where the trace was asked for. */
  readonly trace: readonly string[];
}

const EPOCH_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
/** Of every seed, at least. */
const REQUESTS = 200;
const LATER_MS = 600_000;

/** Runs one seed. To be called outside of any microtask, see `outside`. */
export function simulate(seed: number, recording = false): Simulated {
  const random = new Random(seed);
  const world = new World(random, recording);
  const mood = random.int(8);
  const faults = new Faults(world, mood === 0 ? "none" : mood < 5 ? "some" : "many");
  const journal = new Journal(world);
  const plan = newPlan(random, !faults.possible("store-clock"));
  const upstream = new SimulatedUpstream(world, faults, journal);
  const leaseMs = LEAST_LEASE_MS + random.int(2000);
  const store = storeSite(world, faults, journal, plan);
  const nodes = random.chance(0.2)
    ? Object.assign(storeSite(world, faults, journal, plan), { onceOnly: true })
    : undefined;
  const sites = nodes === undefined ? [store] : [store, nodes];
  const defects: unknown[] = [];
  const site: Site = Object.assign(store, {
    upstream,
    leaseMs,
    lockNodes: nodes,
    defect: (error: unknown) => void defects.push(error),
  });
  const gateways = Array.from({ length: random.between(3, 4) }, (_, n) => {
    return new Gateway(`g${n + 1}`, site);
  });
  const clients = new Clients({ world, faults, journal, upstream, gateways }, 150);
  if (recording) nameIds(world, plan);

  const overMs = plan.lastMs + random.between(100, 2000);
  faults.overAtMs = overMs;
  for (const { atMs, operation } of plan.asked) world.at(atMs, () => clients.ask(operation));
  disturb(site, sites, gateways);
  world.run(overMs);
  store.downUntilMs = 0;
  for (const gateway of gateways) gateway.cutOffUntilMs = 0;
  // Right again, and no lease lasts longer than it was granted for.
  for (const { clock } of sites) clock.aheadMs = clock.mostMs;
  journal.tell({ kind: "faults-over", leaseMs });

  const quietMs = overMs + leaseMs + 1001;
  world.run(quietMs);
  lookUp(site, clients, plan);
  for (const { operation } of plan.slots) {
    world.after(random.int(2000), () => clients.ask(operation));
  }
  for (let asked = clients.requests + plan.slots.length; asked < REQUESTS; asked += 1) {
    const { operation } = random.pick(plan.slots);
    world.after(random.int(2000), () => clients.ask(operation));
  }
  // Everything ends by itself within this: the longest wait is a lease.
  world.run(quietMs + LATER_MS);
  lookUp(site, clients, plan);
  if (defects.length > 0) throw new Error(`seed ${seed}: the line rejected`, { cause: defects[0] });

  const history = { name: `seed ${seed}`, faultFree: !faults.some, events: journal.events };
  const hung = [...clients.open].filter(([, open]) => open > 0);
  const violations = [
    ...check(history),
    ...hung.map(([key]): Violation => {
      return { rule: "stuck", history: history.name, text: `a request of ${key} never ends` };
    }),
  ];
  return {
    seed,
    hash: (world.hash >>> 0).toString(16).padStart(8, "0"),
    history,
    violations,
    counts: countsOf(gateways.length, clients, upstream, journal, faults),
    trace: world.lines ?? [],
  };
}

/** Calls `work` where no microtask is running: only there can a simulation let the ready ones run. */
export function outside<T>(work: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      const { stackTraceLimit } = Error;
      // Thousands of errors are part of every seed, and nobody looks at where they come from.
      Error.stackTraceLimit = 0;
      try {
        resolve(work());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      } finally {
        Error.stackTraceLimit = stackTraceLimit;
      }
    });
  });
}

function storeSite(world: World, faults: Faults, journal: Journal, plan: Plan): StoreSite {
  const clock = { aheadMs: 0, mostMs: 0 };
  const store = createMemoryStore({
    now: () => Math.floor(EPOCH_MS + world.nowMs + clock.aheadMs),
  });
  const keys = new Map(plan.slots.map(({ id, operation: { scope, key } }) => [id, { scope, key }]));
  const granted = new Set<string>();
  return { world, faults, journal, store, clock, keys, granted, downUntilMs: 0 };
}

/** What befalls the store as a whole comes a few times per seed. */
function disturb(
  { world, faults }: Site,
  sites: readonly StoreSite[],
  gateways: readonly Gateway[],
): void {
  const { random } = world;
  for (let atMs = 0; atMs < faults.overAtMs; atMs += 100) {
    world.at(atMs, () => {
      if (faults.happens("store-down", "store")) {
        random.pick(sites).downUntilMs = world.nowMs + random.between(50, 4000);
      }
      if (faults.happens("store-partition", "store")) {
        random.pick(gateways).cutOffUntilMs = world.nowMs + random.between(50, 10_000);
      }
      if (faults.happens("store-clock", "store")) {
        const { clock } = random.pick(sites);
        clock.aheadMs += random.between(-8000, 12_000);
        clock.mostMs = Math.max(clock.mostMs, clock.aheadMs);
      }
    });
  }
}

function lookUp(site: Site, clients: Clients, plan: Plan): void {
  const { world, store, journal } = site;
  for (const { id, operation } of plan.slots) {
    const { scope, key } = operation;
    world.after(0, () => {
      void store.inspect(id).then((record) => {
        const owned = (clients.open.get(`${scope}/${key}`) ?? 0) > 0;
        journal.tell({ kind: "found", scope, key, state: record?.state ?? "absent", owned });
      });
    });
  }
  world.run(world.nowMs);
}

function countsOf(
  gateways: number,
  clients: Clients,
  upstream: SimulatedUpstream,
  journal: Journal,
  faults: Faults,
): Record<string, number> {
  const counts: Record<string, number> = {
    requests: clients.requests,
    gateways,
    executions: upstream.executions,
    events: journal.events.length,
  };
  for (const [outcome, count] of journal.outcomes) counts[`told ${outcome}`] = count;
  for (const [result, count] of journal.probes) counts[`probe ${result}`] = count;
  for (const [fault, count] of faults.counts) counts[fault] = count;
  return counts;
}

function nameIds(world: World, plan: Plan): void {
  for (const { id, operation } of plan.slots) {
    const { scope, key, target } = operation;
    world.names.set(id.slice(0, 8), `${scope}/${key}`);
    const parts = {
      method: "POST",
      path: target,
      query: "",
      parameters: new Map(),
      json: undefined,
    };
    const named = nameResource({ from: "path" }, parts);
    if (named.kind === "named") world.names.set(named.id.slice(0, 8), target);
  }
}
