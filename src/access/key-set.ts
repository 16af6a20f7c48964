/**
 * An issuer's public keys: loaded when the first token needs them, renewed now and then and when a token names a key that
 * is not among them, and kept for a while where they cannot be renewed. Knows neither tokens nor where keys come from.
 */

/** Loads what stands at `jwks`, parsed. Rejects with `KeysUnavailable`. */
export type LoadKeys = (jwks: string) => Promise<unknown>;

/** `cause`: a word for the log. */
export class KeysUnavailable extends Error {
  override readonly name = "KeysUnavailable";
  override readonly cause: string;

  constructor(cause: string) {
    super(`The issuer's keys cannot be had (${cause}).`);
    this.cause = cause;
  }
}

/** Renewed in the background after this; nobody waits for it. */
const RENEW_MS = 600_000;
/** Not used any more after this, where they could not be renewed: a key that the issuer has withdrawn must end. */
const KEEP_MS = 3_600_000;
/** Tokens that name keys nobody has must not make the gateway ask the issuer each time. */
const MISS_PAUSE_MS = 10_000;
/** After a failure the next one is told the same for this long. */
const FAILURE_PAUSE_MS = 250;

export class KeySet<Keys> {
  readonly #load: () => Promise<Keys>;
  readonly #monotonicMs: () => number;
  #keys: { readonly value: Keys; readonly sinceMs: number } | undefined;
  #failure: { readonly error: KeysUnavailable; readonly sinceMs: number } | undefined;
  #loading: Promise<Keys> | undefined;
  #missedMs = Number.NEGATIVE_INFINITY;

  /** `load` may reject with anything; what is no `KeysUnavailable` becomes one. */
  constructor(load: () => Promise<Keys>, monotonicMs: () => number) {
    this.#load = load;
    this.#monotonicMs = monotonicMs;
  }

  /** @throws KeysUnavailable */
  async current(): Promise<Keys> {
    const ageMs = this.#keys === undefined ? Infinity : this.#monotonicMs() - this.#keys.sinceMs;
    if (this.#keys === undefined || ageMs > KEEP_MS) return this.#renew();
    // The keys that are there are good until then, and whoever needs new ones hears of the failure.
    if (ageMs > RENEW_MS) this.#renew().catch(() => undefined);
    return this.#keys.value;
  }

  /**
   * A token names a key that is not there. `undefined`: that was looked into a moment ago.
   * @throws KeysUnavailable
   */
  async afterMiss(): Promise<Keys | undefined> {
    const nowMs = this.#monotonicMs();
    if (this.#loading === undefined && nowMs - this.#missedMs < MISS_PAUSE_MS) {
      // Where the last look failed, nobody can say that there is no such key.
      if (this.#failure !== undefined) throw this.#failure.error;
      return undefined;
    }
    this.#missedMs = nowMs;
    return this.#renew();
  }

  async #renew(): Promise<Keys> {
    const failed = this.#failure;
    if (failed !== undefined && this.#monotonicMs() - failed.sinceMs < FAILURE_PAUSE_MS) {
      throw failed.error;
    }
    this.#loading ??= this.#loadOnce().finally(() => (this.#loading = undefined));
    return this.#loading;
  }

  async #loadOnce(): Promise<Keys> {
    try {
      const value = await this.#load();
      this.#keys = { value, sinceMs: this.#monotonicMs() };
      this.#failure = undefined;
      return value;
    } catch (error) {
      const told = error instanceof KeysUnavailable ? error : new KeysUnavailable("no-key-set");
      this.#failure = { error: told, sinceMs: this.#monotonicMs() };
      throw told;
    }
  }
}
