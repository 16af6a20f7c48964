/**
 * What the page knows and keeps asking for: samples of the counters, how things stand, and the queue of unknown
 * outcomes. A page that nobody looks at, or that was paused, asks for nothing.
 */
import { port, Refused } from "./port.ts";
import { type Sample, totals, withSample } from "./series.ts";
import type { RecordView, Status } from "./wire.ts";

export const SAMPLE_MS = 2000;
/** Six minutes. */
const SAMPLES = 180;
/** Asking how things stand makes the store write nothing into its files: not with each sample. */
const STATUS_EVERY = 3;
const QUEUE_MS = 30_000;
/** Records to a page. Each page takes the store, and with one worker the traffic, less than a millisecond. */
const PAGE = "200";
/** Pages that are looked through unasked. */
const FEW_PAGES = 10;

export interface Queue {
  readonly records: readonly RecordView[];
  readonly damaged: readonly string[];
  /** False: more records are there than were looked through. */
  readonly whole: boolean;
}

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
  #queueAtMs = 0;
  #looking = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #changed: (live: Live) => void;

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

  /** Looks for unknown outcomes now. `all`: however many records there are. */
  async look(all = false): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    this.#queueAtMs = Date.now();
    try {
      this.#put({ queue: await lookThrough(all ? Infinity : FEW_PAGES) });
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#looking = false;
    }
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
      // A crash makes unknown outcomes that no counter tells: the queue is looked through now and then.
      if (more || Date.now() - this.#queueAtMs > QUEUE_MS) await this.look();
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

async function lookThrough(most: number): Promise<Queue> {
  const records: RecordView[] = [];
  const damaged = new Set<string>();
  let cursor: string | undefined;
  for (let pages = 0; pages < most; pages += 1) {
    const page = await port.records({
      state: "unknown",
      limit: PAGE,
      ...(cursor !== undefined && { cursor }),
    });
    records.push(...page.records);
    for (const id of page.damaged ?? []) damaged.add(id);
    cursor = page.cursor;
    if (cursor === undefined) break;
  }
  return {
    records: records.sort((a, b) => (a.since ?? "").localeCompare(b.since ?? "")),
    damaged: [...damaged],
    whole: cursor === undefined,
  };
}
