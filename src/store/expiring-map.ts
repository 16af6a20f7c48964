/**
 * A bounded map whose values expire, for the memory store. Expired values make room for new ones; a live value is
 * never evicted. It judges nobody's time but its own need for room: a value stays readable until it is swept.
 */
import { StoreFull } from "../core/ports.ts";

export class ExpiringMap<Value extends { readonly expiresAtMs: number }> {
  readonly #max: number;
  readonly #what: string;
  readonly #values = new Map<string, Value>();
  /** No value expires before this, so a full map is not searched again and again in vain. */
  #firstExpiryMs = Number.POSITIVE_INFINITY;

  /** `what`: what `StoreFull` says there are too many of. */
  constructor(max: number, what: string) {
    this.#max = max;
    this.#what = what;
  }

  get(id: string): Value | undefined {
    return this.#values.get(id);
  }

  ids(): string[] {
    return [...this.#values.keys()];
  }

  /** @throws StoreFull when the id is new and `max` live values are there. */
  set(id: string, value: Value, nowMs: number): void {
    if (!this.#values.has(id)) this.#makeRoom(nowMs);
    this.#values.set(id, value);
    this.#firstExpiryMs = Math.min(this.#firstExpiryMs, value.expiresAtMs);
  }

  delete(id: string): void {
    this.#values.delete(id);
  }

  clear(): void {
    this.#values.clear();
  }

  #makeRoom(nowMs: number): void {
    if (this.#values.size < this.#max) return;
    if (this.#firstExpiryMs <= nowMs) {
      this.#firstExpiryMs = Number.POSITIVE_INFINITY;
      for (const [id, { expiresAtMs }] of this.#values) {
        if (expiresAtMs <= nowMs) this.#values.delete(id);
        else this.#firstExpiryMs = Math.min(this.#firstExpiryMs, expiresAtMs);
      }
    }
    if (this.#values.size >= this.#max) {
      throw new StoreFull(`The memory store holds ${this.#max} live ${this.#what} and no more.`);
    }
  }
}
