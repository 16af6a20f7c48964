/**
 * Virtual time and the only scheduler of a simulation: one queue of events, in order of time, those of the same moment
 * in an order that the seed chooses. Between two events everything that is ready to run runs; nothing here waits for
 * a real timer. Every event goes into the trace, of which the hash is kept always and the lines on demand.
 */
import type { Random } from "../support/random.ts";
import { Queue } from "./queue.ts";

/**
 * Runs the microtasks that are ready, in the midst of a macrotask: 0.3 us, where a turn of the event loop takes 2. Node
 * has had it from the beginning, for whoever emulates a tick.
 */
const settle = tickOf(process);

function tickOf(host: object): () => void {
  const tick: unknown = Reflect.get(host, "_tickCallback");
  if (typeof tick !== "function") throw new Error("This Node cannot emulate a tick.");
  return () => void Reflect.apply(tick, host, []);
}

export class World {
  nowMs = 0;
  /** Over every line of the trace. */
  hash = 0x811c9dc5;
  readonly random: Random;
  readonly lines: string[] | undefined;
  /** What the lines call an id; the hash is over the id itself. */
  readonly names = new Map<string, string>();
  readonly #queue = new Queue();

  constructor(random: Random, recording: boolean) {
    this.random = random;
    this.lines = recording ? [] : undefined;
  }

  at(atMs: number, run: () => void): void {
    this.#queue.push(Math.max(atMs, this.nowMs), this.random.uint32(), run);
  }

  after(ms: number, run: () => void): void {
    this.at(this.nowMs + ms, run);
  }

  /** Runs what is due up to `untilMs`, and what that brings about. To be called outside of any microtask. */
  run(untilMs: number): void {
    const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };
    Object.assign(globalThis, this.#timers());
    try {
      settle();
      for (;;) {
        const { nextMs } = this.#queue;
        const next = nextMs > untilMs ? undefined : this.#queue.pop();
        if (next === undefined) break;
        this.nowMs = nextMs;
        next();
        settle();
      }
      if (untilMs !== Infinity) this.nowMs = Math.max(this.nowMs, untilMs);
    } finally {
      Object.assign(globalThis, real);
    }
  }

  /** One line of the trace. */
  note(kind: string, who: string, text: string | number = ""): void {
    let hash = mix(this.hash, (this.nowMs * 1000) | 0);
    hash = mixText(hash, kind);
    hash = mixText(hash, who);
    this.hash = typeof text === "number" ? mix(hash, text) : mixText(hash, text);
    this.lines?.push(
      `${this.nowMs.toFixed(1).padStart(9)}  ${kind.padEnd(12)} ${this.names.get(who) ?? who}  ${text}`,
    );
  }

  /** The memory store waits with the timers of the platform; these are on virtual time. */
  #timers() {
    return {
      setTimeout: (run: () => void, ms = 0) => {
        const timer = { cleared: false };
        this.after(ms, () => {
          if (!timer.cleared) run();
        });
        return timer;
      },
      clearTimeout: (timer: { cleared: boolean } | undefined) => {
        if (timer !== undefined) timer.cleared = true;
      },
    };
  }
}

function mix(hash: number, value: number): number {
  return Math.imul(hash ^ value, 0x01000193) ^ (hash >>> 15);
}

function mixText(hash: number, text: string): number {
  let mixed = hash;
  for (let i = 0; i < text.length; i += 1) {
    mixed = Math.imul(mixed ^ text.charCodeAt(i), 0x01000193);
  }
  return mixed ^ (mixed >>> 15);
}
