/**
 * What the page knows and keeps asking for: samples of the counters, how things stand, and the queue of unknown
 * outcomes. A page that nobody looks at, or that was paused, asks for nothing.
 */
import { Lookout, type Queue } from "./lookout.ts";
import { port, Refused } from "./port.ts";
import { type Sample, totals, withSample } from "./series.ts";
import type { Status } from "./wire.ts";

export const SAMPLE_MS = 2000;
/** Six minutes. */
const SAMPLES = 180;
/** Asking how things stand takes the embedded store's one place to write for a moment: not with each sample. */
const STATUS_EVERY = 3;

export interface Live {
  readonly samples: readonly Sample[];
  readonly status: Status | undefined;
  readonly queue: Queue | undefined;
  /** The last question had no answer, and why. */
  readonly trouble: Refused | undefined;
  readonly paused: boolean;
}

export class Watch {
  #live: Live = {
    samples: [],
    status: undefined,
    queue: undefined,
    trouble: undefined,
    paused: false,
  };
  #asked = 0;
  #round = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #changed: (live: Live) => void;
  readonly #lookout = new Lookout((queue) => this.#put({ queue }));

  constructor(changed: (live: Live) => void) {
    this.#changed = changed;
  }

  get live(): Live {
    return this.#live;
  }

  /** From now on, once every two seconds; what was going on before goes on no more. */
  start(): void {
    this.stop();
    const round = this.#round;
    const next = (): void => {
      if (round === this.#round) this.#timer = setTimeout(() => this.start(), SAMPLE_MS);
    };
    if (document.hidden || this.#live.paused) return next();
    void this.#ask().finally(next);
  }

  stop(): void {
    this.#round += 1;
    clearTimeout(this.#timer);
  }

  pause(paused: boolean): void {
    this.#put({ paused });
    if (!paused) this.start();
  }

  /** Looks for unknown outcomes now. */
  look(): void {
    this.#lookout.look().catch((error: unknown) => this.#fail(error));
  }

  /** Somebody has decided about it. */
  settled(id: string): void {
    this.#lookout.settled(id);
  }

  async #ask(): Promise<void> {
    try {
      const before = this.#live.samples.at(-1);
      const withStatus = this.#live.status === undefined || this.#asked % STATUS_EVERY === 0;
      this.#asked += 1;
      const [counters, status] = await Promise.all([
        port.counters(),
        withStatus ? port.status() : this.#live.status,
      ]);
      const sample = { atMs: Date.now(), counters };
      const samples = withSample(this.#live.samples, sample, SAMPLES);
      this.#put({ samples, status, trouble: undefined });
      const more =
        before !== undefined && totals.unknown(counters) > totals.unknown(before.counters);
      // A crash makes unknown outcomes that no counter tells: they are looked for now and then all the same.
      if (this.#lookout.due(more)) this.look();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (!(error instanceof Refused)) throw error;
    this.#put({ trouble: error });
  }

  #put(change: Partial<Live>): void {
    this.#live = { ...this.#live, ...change };
    this.#changed(this.#live);
  }
}
