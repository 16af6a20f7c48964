/**
 * One simulated gateway: the real exchange() over ports that belong to one life of the process. It crashes (nothing of
 * that life ever goes on, and its connections break), is frozen (everything that comes waits), and starts anew.
 */
import type { Client, Clock, InboundRequest, Observer } from "../../src/core/ports.ts";
import type { FlowDeps } from "../../src/flow/deps.ts";
import { exchange } from "../../src/flow/exchange.ts";
import { createProber } from "../../src/flow/prober.ts";
import { createDuplicates } from "../../src/flow/sights.ts";
import { createLatency } from "../../src/flow/latency.ts";
import { readJson } from "../../src/http/json.ts";
import { createEmbeddedLocks } from "../../src/lock/embedded.ts";
import { DEADLINE_MS, findReads, findRoute, LOCK_LEASE_MS, STORE_TIMEOUT_MS } from "./routes.ts";
import { linkCells, linkStore, type StoreSite } from "./store-link.ts";
import type { SimulatedUpstream } from "./upstream.ts";

/** A client's connection with its request, as its gateway sees it. */
export interface Connection extends InboundRequest, Client {
  /** This life of the process serves it. */
  begins(life: number): void;
  /** The process is gone. */
  broken(): void;
}

export interface Site extends StoreSite {
  readonly upstream: SimulatedUpstream;
  /** Where in-flight keys are locked as well. */
  readonly lockNodes: StoreSite | undefined;
  readonly leaseMs: number;
  /** A defect: the line rejected, which it never may. */
  readonly defect: (error: unknown) => void;
}

export class Gateway {
  readonly name: string;
  up = true;
  /** Until when this gateway alone does not reach the store. */
  cutOffUntilMs = 0;
  readonly #site: Site;
  readonly #connections = new Set<Connection>();
  #life = 1;
  #frozenUntilMs = 0;
  #aheadMs = 0;
  #deps: FlowDeps;

  constructor(name: string, site: Site) {
    this.name = name;
    this.#site = site;
    this.#deps = this.#ports();
  }

  lives(life: number): boolean {
    return this.up && life === this.#life;
  }

  /** Something comes for one life of this process: now, when it is awake again, or never. */
  arrive(life: number, run: () => void): void {
    if (!this.lives(life)) return;
    const { world } = this.#site;
    if (this.#frozenUntilMs > world.nowMs) {
      world.at(this.#frozenUntilMs, () => this.arrive(life, run));
      return;
    }
    this.mayFail();
    if (!this.lives(life)) return;
    if (this.#frozenUntilMs > world.nowMs) return this.arrive(life, run);
    run();
  }

  /** A point where the process may die or freeze. */
  mayFail(): void {
    const { world, faults } = this.#site;
    const { random } = world;
    if (!this.up) return;
    if (faults.happens("gateway-crash", this.name)) {
      this.#crash(random.between(10, 2000));
    } else if (faults.happens("gateway-pause", this.name)) {
      const { leaseMs } = this.#site;
      const longestMs = random.pick([1000, leaseMs, 2 * leaseMs]);
      this.#freeze(random.between(longestMs / 4, longestMs));
    } else if (faults.happens("gateway-clock", this.name)) {
      this.#aheadMs += random.between(10, 12_000);
    }
  }

  /** It has just sent a request. */
  mayFreezeCalling(): void {
    const { world, faults, leaseMs } = this.#site;
    if (!this.up || !faults.happens("gateway-pause-calling", this.name)) return;
    this.#freeze(world.random.between(leaseMs, 2 * leaseMs));
  }

  #freeze(ms: number): void {
    const { world, faults } = this.#site;
    this.#frozenUntilMs = Math.min(world.nowMs + ms, faults.overAtMs);
  }

  /** A client's request, as the listener hands it to the line. */
  accept(connection: Connection): void {
    if (!this.up) return connection.broken();
    const { world } = this.#site;
    this.#connections.add(connection);
    if (this.#frozenUntilMs <= world.nowMs) return this.#begin(connection);
    // The kernel has taken the connection; it breaks if the process dies before it wakes.
    world.at(this.#frozenUntilMs, () => this.#begin(connection));
  }

  #begin(connection: Connection): void {
    if (!this.#connections.has(connection)) return;
    connection.begins(this.#life);
    exchange(connection, connection, this.#deps).then(
      () => this.#connections.delete(connection),
      (error: unknown) => this.#site.defect(error),
    );
  }

  #crash(downMs: number): void {
    const { world, faults } = this.#site;
    this.#life += 1;
    this.up = false;
    this.#frozenUntilMs = 0;
    const broken = [...this.#connections];
    this.#connections.clear();
    for (const connection of broken) connection.broken();
    world.at(Math.min(world.nowMs + downMs, faults.overAtMs), () => {
      this.up = true;
      world.note("starts", this.name);
      this.#deps = this.#ports();
    });
  }

  #ports(): FlowDeps {
    const { world, upstream, journal, leaseMs, lockNodes, defect } = this.#site;
    const life = this.#life;
    const newToken = (): string => world.random.token();
    const monotonicMs = (): number => world.nowMs + this.#aheadMs;
    const store = linkStore(this, life, this.#site);
    const clock: Clock = {
      monotonicMs,
      sleep: (ms) => new Promise((resolve) => world.after(ms, () => this.arrive(life, resolve))),
    };
    const locksOver = (site: StoreSite): FlowDeps["locks"] =>
      createEmbeddedLocks({ cells: linkCells(this, life, site), newToken, clock });
    const observer: Observer = {
      began: () => () => undefined,
      finished: () => undefined,
      lostWrite: (operation) => {
        if (this.lives(life)) journal.tell({ kind: "lost-write", operation });
      },
      unknownOutcome: () => undefined,
      leftBehind: () => undefined,
      recordedBytes: () => undefined,
      probed: ({ result }) => journal.probed(result),
      probeDropped: () => undefined,
    };
    const deps: FlowDeps = {
      name: this.name,
      findRoute,
      findReads,
      readJson,
      store,
      locks: locksOver(this.#site),
      keyLocks: lockNodes === undefined ? undefined : locksOver(lockNodes),
      upstream: { send: (request, limits) => upstream.send(this, life, request, limits) },
      clock,
      newToken,
      observer,
      latency: createLatency(),
      duplicates: createDuplicates("salt"),
      prober: createProber({
        terms: () => deps,
        store,
        clock,
        observer,
        newToken,
        chance: () => world.random.int(1000) / 1000,
        failed: defect,
      }),
      limits: {
        leaseMs,
        deadlineMs: DEADLINE_MS,
        // The gateway's own: one time-out behind the second one, past which no claim is taken any more.
        lateClaimMs: 2 * STORE_TIMEOUT_MS,
        lockLeaseMs: LOCK_LEASE_MS,
        resolvedMs: 0,
      },
      background: (work) => void work.catch(defect),
    };
    return deps;
  }
}
