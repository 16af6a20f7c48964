/**
 * The way from one life of a gateway to the real memory store: every call takes time, and on the way a fault may drop
 * it, delay it, do it twice or lose its reply. The store itself never lies and loses nothing.
 */
import { StoreFull, StoreUnavailable, type SettleWatch, type Store } from "../../src/core/ports.ts";
import type { ProbeStore } from "../../src/core/probe-ports.ts";
import type { ClaimAnswer } from "../../src/core/record.ts";
import type { Cells } from "../../src/core/resource-ports.ts";
import type { FlowDeps } from "../../src/flow/deps.ts";
import type { Faults } from "./faults.ts";
import type { Gateway } from "./gateway.ts";
import type { Journal } from "./journal.ts";
import { STORE_TIMEOUT_MS } from "./routes.ts";
import type { World } from "./world.ts";

/** What all gateways share. */
export interface StoreSite {
  readonly world: World;
  readonly faults: Faults;
  readonly journal: Journal;
  readonly store: Store;
  /** How far its clock is ahead of the true time, and how far it ever was. */
  readonly clock: { aheadMs: number; mostMs: number };
  /** Until when nobody reaches it. */
  downUntilMs: number;
  /** It does nothing twice: a lock that was set twice would look like somebody else's to whoever has it. */
  readonly onceOnly?: boolean;
  /** Of records, by their id. */
  readonly keys: ReadonlyMap<string, { readonly scope: string; readonly key: string }>;
  /** Claims that were granted, by their token. */
  readonly granted: Set<string>;
}

type Site = Pick<StoreSite, "world" | "faults" | "store" | "downUntilMs" | "onceOnly">;

interface Call<T> {
  readonly operation: string;
  readonly id: string;
  readonly work: () => Promise<T>;
  /** It needs room that the store may not have. */
  readonly needsRoom?: boolean;
  /** The store has done it, heard of or not. */
  readonly done?: (value: T) => void;
  /** The gateway has the reply. */
  readonly heard?: (value: T) => void;
}

export function linkStore(
  gateway: Gateway,
  life: number,
  site: StoreSite,
): FlowDeps["store"] & ProbeStore {
  const { store, journal } = site;
  const through = <T>(call: Call<T>): Promise<T> => send(gateway, life, site, call);
  const granted = (token: string, id: string, answer: ClaimAnswer): void => {
    const key = site.keys.get(id);
    if (answer.kind !== "granted" || key === undefined || site.granted.has(token)) return;
    site.granted.add(token);
    journal.tell({ kind: "claimed", ...key, fence: answer.fence });
  };
  return {
    claim: (request) =>
      through({
        operation: "claim",
        id: request.id,
        work: () => store.claim(request),
        needsRoom: true,
        done: (answer) => granted(request.token, request.id, answer),
      }),
    complete: (id, token, response, retentionMs) =>
      through({
        operation: "complete",
        id,
        work: () => store.complete(id, token, response, retentionMs),
        needsRoom: response.body !== undefined,
        heard: ({ kind }) => {
          const key = site.keys.get(id);
          if (kind === "done" && key !== undefined) journal.tell({ kind: "completed", ...key });
        },
      }),
    release: (id, token) =>
      through({ operation: "release", id, work: () => store.release(id, token) }),
    markUnknown: (id, token, reason, retentionMs) =>
      through({
        operation: "markUnknown",
        id,
        work: () => store.markUnknown(id, token, reason, retentionMs),
      }),
    inspect: (id) => through({ operation: "inspect", id, work: () => store.inspect(id) }),
    look: (id) => through({ operation: "look", id, work: () => store.look(id) }),
    settleUnknown: (id, attempt, finding) =>
      through({
        operation: "settleUnknown",
        id,
        work: () => store.settleUnknown(id, attempt, finding),
        needsRoom: finding.kind === "executed",
        heard: (answer) => {
          const key = site.keys.get(id);
          const completes = answer === "done" && finding.kind === "executed";
          if (completes && key !== undefined) journal.tell({ kind: "completed", ...key });
        },
      }),
    watch: async (id) => {
      const watch = await through({ operation: "watch", id, work: () => store.watch(id) });
      return linkWatch(watch, gateway, life, site);
    },
    ...linkCells(gateway, life, site),
    enterRoll: (entry) =>
      through({
        operation: "enterRoll",
        id: entry.id,
        work: () => store.enterRoll(entry),
        needsRoom: true,
      }),
    strikeRoll: (scope, id, mark) =>
      through({ operation: "strikeRoll", id, work: () => store.strikeRoll(scope, id, mark) }),
  };
}

export function linkCells(gateway: Gateway, life: number, site: Site): Cells {
  const { store } = site;
  return {
    readCell: (id) =>
      send(gateway, life, site, { operation: "readCell", id, work: () => store.readCell(id) }),
    writeCell: (id, value, revision, retentionMs) =>
      send(gateway, life, site, {
        operation: "writeCell",
        id,
        work: () => store.writeCell(id, value, revision, retentionMs),
        needsRoom: value !== undefined,
      }),
  };
}

function send<T>(gateway: Gateway, life: number, site: Site, call: Call<T>): Promise<T> {
  // What is left of a process that has just died calls nobody any more.
  if (!gateway.lives(life)) return new Promise(() => undefined);
  return new Passage(gateway, life, site, call).answer;
}

/** One call on its way. A class, because closures by the dozen were what a seed spent its time on. */
class Passage<T> {
  readonly answer: Promise<T>;
  readonly #gateway: Gateway;
  readonly #life: number;
  readonly #site: Site;
  readonly #call: Call<T>;
  readonly #askedMs: number;
  #resolve!: (value: T) => void;
  #reject!: (error: Error) => void;
  #open = true;

  constructor(gateway: Gateway, life: number, site: Site, call: Call<T>) {
    this.#gateway = gateway;
    this.#life = life;
    this.#site = site;
    this.#call = call;
    this.#askedMs = site.world.nowMs;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    site.world.note(call.operation, call.id.slice(0, 8), gateway.name);
    this.#travel();
    gateway.mayFail();
  }

  #travel(): void {
    const { name, cutOffUntilMs } = this.#gateway;
    const { world, faults, downUntilMs } = this.#site;
    const { random, nowMs } = world;
    const down = downUntilMs > nowMs || cutOffUntilMs > nowMs;
    if (down || faults.happens("store-refused", name)) {
      return this.#fail(random.chance(0.5) ? 1 : STORE_TIMEOUT_MS);
    }
    if (faults.happens("store-dropped", name)) return this.#fail(STORE_TIMEOUT_MS);
    if (faults.happens("store-delayed", name)) {
      this.#executeLate(STORE_TIMEOUT_MS, random.chance(0.3) ? 15_000 : 800);
      return this.#fail(STORE_TIMEOUT_MS);
    }
    if (faults.happens("store-reply-lost", name)) {
      this.#execute(random.int(STORE_TIMEOUT_MS), undefined);
      return this.#fail(STORE_TIMEOUT_MS);
    }
    if (faults.happens("store-reset", name)) {
      this.#execute(random.int(3), undefined);
      return this.#fail(random.int(5));
    }
    if (this.#call.needsRoom === true && faults.happens("store-full", name)) {
      return this.#fail(random.int(5), true);
    }
    if (this.#site.onceOnly !== true && faults.happens("store-duplicated", name)) {
      // The reply is the first one's: a store that says "lost" to its own write, done before, is none of ours.
      this.#executeLate(3, random.chance(0.3) ? 10_000 : 100);
    }
    this.#execute(random.int(3), random.int(3));
  }

  /** The network may hold it back for long, but not past the end of the faults. */
  #executeLate(leastMs: number, spreadMs: number): void {
    const { world, faults } = this.#site;
    const delayMs = leastMs + world.random.int(spreadMs);
    const leftMs = Math.max(faults.overAtMs - world.nowMs, leastMs);
    this.#execute(Math.min(delayMs, leftMs), undefined);
  }

  /** `replyMs` undefined: nobody hears of it. */
  #execute(afterMs: number, replyMs: number | undefined): void {
    const { world } = this.#site;
    const { operation, id } = this.#call;
    const call = this.#call;
    world.after(afterMs, () => {
      // As the port says: past a second time-out a store takes no claim any more, because nobody would own it.
      if (operation === "claim" && world.nowMs - this.#askedMs > 2 * STORE_TIMEOUT_MS) {
        return world.note("too late", id.slice(0, 8), operation);
      }
      call.work().then(
        (value) => {
          world.note(`${operation}.`, id.slice(0, 8), kindOf(value));
          call.done?.(value);
          if (replyMs !== undefined) world.after(replyMs, () => this.#arrive(value, undefined));
        },
        (error: unknown) => {
          const refusal = error instanceof Error ? error : new Error("not an error");
          if (replyMs !== undefined) world.after(replyMs, () => this.#arrive(undefined, refusal));
        },
      );
    });
  }

  #fail(afterMs: number, full = false): void {
    this.#site.world.after(afterMs, () => {
      this.#arrive(undefined, full ? FULL : AWAY);
    });
  }

  #arrive(value: T | undefined, error: Error | undefined): void {
    if (!this.#open) return;
    this.#gateway.arrive(this.#life, () => this.#settle(value, error));
  }

  #settle(value: T | undefined, error: Error | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    const { nowMs, random } = this.#site.world;
    // A process that was frozen finds the reply and the time-out at once, and may look at either first.
    const late = nowMs - this.#askedMs > STORE_TIMEOUT_MS && random.chance(0.5);
    if (late) return this.#reject(AWAY);
    if (error !== undefined) return this.#reject(error);
    this.#call.heard?.(value as T);
    this.#resolve(value as T);
  }
}

/** One of each for all: nobody changes them, and nobody looks at where they come from. */
const AWAY = new StoreUnavailable("The store is away.");
const FULL = new StoreFull("The store is full.");

function kindOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value !== "object" || value === null) return "nothing";
  if ("kind" in value && typeof value.kind === "string") return value.kind;
  if ("state" in value && typeof value.state === "string") return value.state;
  return "";
}

function linkWatch(
  watch: SettleWatch,
  gateway: Gateway,
  life: number,
  { world, faults }: Pick<StoreSite, "world" | "faults">,
): SettleWatch {
  return {
    wait: (timeoutMs, gone) => {
      const woken = (resolve: () => void): void => gateway.arrive(life, resolve);
      if (faults.happens("store-deaf", gateway.name)) {
        return new Promise((resolve) =>
          world.after(Math.min(timeoutMs, 1000), () => woken(resolve)),
        );
      }
      const waiting = watch.wait(timeoutMs, gone);
      return new Promise((resolve) => {
        void waiting.then(() => world.after(world.random.int(3), () => woken(resolve)));
      });
    },
    close: () => watch.close(),
  };
}
