/**
 * Who gets which connection to the upstream. A connection rests after its answer: bytes that come late, which nobody
 * asked for, then meet nobody's request. Bounds how many there are; opens nothing and sends nothing itself.
 */

export interface Lane {
  /** Broken, spent, or idle for too long: no request may go this way. */
  readonly over: boolean;
  close(): Promise<void>;
}

/**
 * Long enough for what an upstream sends behind its answer, in one go or after a moment's thought. Connections are used
 * sooner where there is no other and none may be opened.
 */
const REST_MS = 50;

export interface Caller<L> {
  use(lane: L): void;
  /** There will be none any more. */
  giveUp(): void;
}

interface Resting<L> {
  readonly lane: L;
  readonly sinceMs: number;
}

export class Connections<L extends Lane> {
  readonly #limit: number;
  readonly #open: () => L;
  readonly #busy = new Set<L>();
  /** In the order in which they came free. */
  #resting: Resting<L>[] = [];
  readonly #waiting = new Set<Caller<L>>();
  #retired = false;

  constructor(limit: number, open: () => L) {
    this.#limit = limit;
    this.#open = open;
  }

  /** Hands over a connection, now or when one is free, unless what is returned is called before. */
  take(caller: Caller<L>): () => void {
    const lane = this.#waiting.size === 0 ? this.#free() : undefined;
    if (lane === undefined) this.#waiting.add(caller);
    else this.#handOver(lane, caller);
    return () => void this.#waiting.delete(caller);
  }

  /** The call is over; the connection is the next one's, or rests. */
  giveBack(lane: L): void {
    if (!this.#busy.delete(lane)) return;
    if (lane.over || this.#retired) void lane.close();
    else this.#resting.push({ lane, sinceMs: performance.now() });
    this.#serve();
  }

  /** It broke while nobody used it. */
  remove(lane: L): void {
    this.#resting = this.#resting.filter((each) => each.lane !== lane);
  }

  /** No connection rests any more: calls that begin yet get one, and it is closed behind them. */
  retire(): void {
    this.#retired = true;
    for (const { lane } of this.#resting) void lane.close();
    this.#resting = [];
  }

  /** Tells those who wait that there is none for them, and closes all there are. */
  async close(): Promise<void> {
    const lanes = [...this.#busy, ...this.#resting.map(({ lane }) => lane)];
    const waiting = [...this.#waiting];
    this.#resting = [];
    this.#waiting.clear();
    for (const caller of waiting) caller.giveUp();
    await Promise.all(lanes.map((lane) => lane.close()));
  }

  #serve(): void {
    for (const caller of this.#waiting) {
      const lane = this.#free();
      if (lane === undefined) return;
      this.#waiting.delete(caller);
      this.#handOver(lane, caller);
    }
  }

  #handOver(lane: L, caller: Caller<L>): void {
    this.#busy.add(lane);
    caller.use(lane);
  }

  /** The one that has just rested enough, so that those that are not needed grow old; then a new one; then any. */
  #free(): L | undefined {
    const restedMs = performance.now() - REST_MS;
    for (;;) {
      let at = this.#restedSince(restedMs);
      if (at < 0) {
        if (this.#busy.size + this.#resting.length < this.#limit) return this.#open();
        at = 0;
      }
      const [found] = this.#resting.splice(at, 1);
      // Looked at before each use: the timers of a process that stood still close what is idle only after that.
      if (found?.lane.over !== true) return found?.lane;
      void found.lane.close();
    }
  }

  /** The last one that came free by then; -1 where there is none. Halving: there are as many as calls in `REST_MS`. */
  #restedSince(ms: number): number {
    let low = 0;
    let high = this.#resting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#resting[middle]?.sinceMs ?? Infinity) <= ms) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
