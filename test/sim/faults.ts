/**
 * What may go wrong and how often: a seed switches some of it on and leaves the rest, because faults that are rare
 * everywhere meet one another nowhere. Whether it goes wrong is asked here, so that it is counted and in the trace.
 */
import type { World } from "./world.ts";

export const FAULTS = [
  /** The call does not arrive. */
  "store-dropped",
  /** It is refused at once, and nothing was done. */
  "store-refused",
  /** It is done later than anybody waits for it. */
  "store-delayed",
  /** It is done, and the reply does not come. */
  "store-reply-lost",
  /** It is done, and the connection breaks. */
  "store-reset",
  /** It is done twice. */
  "store-duplicated",
  "store-full",
  /** Nobody reaches it for a while. */
  "store-down",
  /** One gateway does not reach it for a while. */
  "store-partition",
  /** A waiter is not told that its record has settled. */
  "store-deaf",
  /** The store's clock is set forward, or back. */
  "store-clock",
  "gateway-crash",
  /** It is frozen while time goes on. */
  "gateway-pause",
  /** It is frozen past its lease while the upstream is at work. */
  "gateway-pause-calling",
  /** Its clock is set forward. */
  "gateway-clock",
  "upstream-refused",
  "upstream-connect-timeout",
  /** The connection breaks before the request is there. */
  "upstream-reset-early",
  /** It breaks after that. */
  "upstream-reset",
  /** It breaks, and somebody in between has the request and delivers it later. */
  "upstream-held",
  "upstream-cut",
  /** The work takes longer than the deadline. */
  "upstream-slow",
  /** It answers 502 or 504. */
  "upstream-gateway-error",
  "client-hang-up",
] as const;

export type Fault = (typeof FAULTS)[number];

/** Chances that a fault is more or less frequent by: per call for most, a few times per seed for these. */
const SCALE: Partial<Record<Fault, number>> = {
  "store-down": 0.3,
  "store-partition": 0.3,
  "store-clock": 0.2,
  "gateway-clock": 0.02,
  "gateway-crash": 0.05,
  "gateway-pause": 0.1,
  // Of the few routes that it befalls.
  "upstream-held": 3,
};

const RATES = [0.01, 0.03, 0.1];

export class Faults {
  /** From here on nothing goes wrong. */
  overAtMs = Infinity;
  readonly counts = new Map<Fault, number>();
  readonly #world: World;
  readonly #rates = new Map<Fault, number>();

  constructor(world: World, kind: "none" | "some" | "many") {
    this.#world = world;
    const { random } = world;
    if (kind === "none") return;
    const share = kind === "some" ? 0.25 : 0.7;
    for (const fault of FAULTS) {
      if (random.chance(share)) this.#rates.set(fault, random.pick(RATES) * (SCALE[fault] ?? 1));
    }
  }

  get some(): boolean {
    return this.#rates.size > 0;
  }

  possible(fault: Fault): boolean {
    return this.#rates.has(fault);
  }

  get over(): boolean {
    return this.#world.nowMs >= this.overAtMs;
  }

  happens(fault: Fault, who: string): boolean {
    const rate = this.#rates.get(fault);
    if (rate === undefined || this.over || !this.#world.random.chance(rate)) return false;
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
    this.#world.note("fault", who, fault);
    return true;
  }
}
