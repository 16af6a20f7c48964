/**
 * The events of a simulation that are still to come: a binary heap, in order of time and then of tie. Times and ties are
 * in arrays of numbers of their own: next to each event, every comparison would look for them all over the heap.
 */
export class Queue {
  #times = new Float64Array(1024);
  #ties = new Uint32Array(1024);
  readonly #runs: (() => void)[] = [];

  /** When the next one is due; `Infinity` where there is none. */
  get nextMs(): number {
    return this.#runs.length === 0 ? Infinity : (this.#times[0] ?? Infinity);
  }

  push(atMs: number, tie: number, run: () => void): void {
    let at = this.#runs.push(run) - 1;
    if (at === this.#times.length) this.#grow();
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!before(atMs, tie, this.#timeAt(above), this.#tieAt(above))) break;
      this.#move(above, at);
      at = above;
    }
    this.#put(at, atMs, tie, run);
  }

  /** Takes the next one out; `undefined` where there is none. */
  pop(): (() => void) | undefined {
    const first = this.#runs[0];
    const last = this.#runs.pop();
    const count = this.#runs.length;
    if (last === undefined || count === 0) return first;
    const atMs = this.#timeAt(count);
    const tie = this.#tieAt(count);
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= count) break;
      const right = below + 1;
      if (
        right < count &&
        before(this.#timeAt(right), this.#tieAt(right), this.#timeAt(below), this.#tieAt(below))
      ) {
        below = right;
      }
      if (!before(this.#timeAt(below), this.#tieAt(below), atMs, tie)) break;
      this.#move(below, at);
      at = below;
    }
    this.#put(at, atMs, tie, last);
    return first;
  }

  #timeAt(at: number): number {
    return this.#times[at] ?? 0;
  }

  #tieAt(at: number): number {
    return this.#ties[at] ?? 0;
  }

  #move(from: number, to: number): void {
    const run = this.#runs[from];
    if (run !== undefined) this.#put(to, this.#timeAt(from), this.#tieAt(from), run);
  }

  #put(at: number, atMs: number, tie: number, run: () => void): void {
    this.#times[at] = atMs;
    this.#ties[at] = tie;
    this.#runs[at] = run;
  }

  #grow(): void {
    const [times, ties] = [this.#times, this.#ties];
    this.#times = new Float64Array(2 * times.length);
    this.#ties = new Uint32Array(2 * ties.length);
    this.#times.set(times);
    this.#ties.set(ties);
  }
}

function before(atMs: number, tie: number, otherMs: number, otherTie: number): boolean {
  return atMs < otherMs || (atMs === otherMs && tie < otherTie);
}
