/**
 * Looks through the records for unknown outcomes. There may be very many, and looking takes time from the store, and with
 * one worker from the traffic: so it goes in small steps with pauses between them, and rests after each round.
 */
import { port } from "./port.ts";
import type { RecordView } from "./wire.ts";

export interface Queue {
  readonly records: readonly RecordView[];
  readonly damaged: readonly string[];
  /** Whether all records have been looked at once. */
  readonly whole: boolean;
  /** While a round is going on: about how many were looked at so far. */
  readonly looked: number | undefined;
}

/** Records to a step: two to three milliseconds of the process that is the admin port. */
const STEP = 100;
/** A pause is so many times as long as the step before it. */
const PAUSES = 2;
/** A rest is so many times as long as the round before it, and at least that long. */
const RESTS = 5;
const LEAST_REST_MS = 30_000;
/** A round that took less may be begun before its time. */
const SHORT_MS = 3000;

export class Lookout {
  #queue: Queue = { records: [], damaged: [], whole: false, looked: undefined };
  #round: Promise<void> | undefined;
  #tookMs = 0;
  #endedAtMs = -Infinity;
  readonly #changed: (queue: Queue) => void;

  constructor(changed: (queue: Queue) => void) {
    this.#changed = changed;
  }

  /** Whether it is time for another round; `hint`: something speaks for there being something new. */
  due(hint: boolean): boolean {
    if (this.#round !== undefined) return false;
    if (hint && this.#tookMs < SHORT_MS) return true;
    return Date.now() - this.#endedAtMs > Math.max(LEAST_REST_MS, RESTS * this.#tookMs);
  }

  /** One round, or the one that is going on. Rejects with the port's refusal; what was found before stays. */
  look(): Promise<void> {
    this.#round ??= this.#through().finally(() => {
      this.#round = undefined;
      this.#endedAtMs = Date.now();
    });
    return this.#round;
  }

  /** It is unknown no more: it goes now, and not with the next round. */
  settled(id: string): void {
    this.#put({ records: this.#queue.records.filter((record) => record.id !== id) });
  }

  async #through(): Promise<void> {
    const beganAtMs = Date.now();
    const found = new Set<string>();
    const damaged = new Set<string>();
    try {
      let cursor: string | undefined;
      for (let looked = STEP; ; looked += STEP) {
        const stepMs = Date.now();
        const page = await port.records({
          state: "unknown",
          limit: String(STEP),
          ...(cursor !== undefined && { cursor }),
        });
        for (const record of page.records) found.add(record.id);
        for (const id of page.damaged ?? []) damaged.add(id);
        this.#put({ records: merged(this.#queue.records, page.records), looked });
        cursor = page.cursor;
        if (cursor === undefined) break;
        await pause(PAUSES * (Date.now() - stepMs));
      }
      const records = this.#queue.records.filter(({ id }) => found.has(id));
      this.#put({ records, damaged: [...damaged], whole: true });
    } finally {
      this.#tookMs = Date.now() - beganAtMs;
      this.#put({ looked: undefined });
    }
  }

  #put(change: Partial<Queue>): void {
    this.#queue = { ...this.#queue, ...change };
    this.#changed(this.#queue);
  }
}

/** Oldest first; of two views of one record the newer one. */
function merged(
  before: readonly RecordView[],
  found: readonly RecordView[],
): readonly RecordView[] {
  if (found.length === 0) return before;
  const byId = new Map([...before, ...found].map((record) => [record.id, record]));
  return [...byId.values()].sort((a, b) => (a.since ?? "").localeCompare(b.since ?? ""));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
