/**
 * When unknown outcomes are asked about: as soon as a retry meets one, and, where the route lets it, without a retry too, by
 * the process that knows the key. One question per outcome at a time, with back-off between them. Keys are in this
 * memory alone and nowhere else; the question itself is `probe.ts`.
 */
import type { Policy } from "../core/policy.ts";
import type { Clock, NewToken, Upstream } from "../core/ports.ts";
import { pauseAfter } from "../core/probe.ts";
import type { ProbeObserver, ProbeStore } from "../core/probe-ports.ts";
import type { HeaderPair } from "../core/record.ts";
import type { FindRoute } from "../core/route.ts";
import { probeOnce, type Asked, type Question } from "./probe.ts";

/** `settled`: the store knows more by now. */
type Answered =
  | { readonly kind: "settled" }
  | { readonly kind: "kept"; readonly retryInMs: number };

export interface Prober {
  /**
   * For a retry that has met the unknown outcome of `attempt`, with its header fields. Joins a question that is on its
   * way; `kept` at once where the next one is not due yet.
   */
  ask(question: Question, attempt: string, headers: readonly HeaderPair[]): Promise<Answered>;
  /** The outcome of `attempt` has just become unknown here. */
  watch(question: Question, attempt: string): void;
  /** Nothing is asked any more without a retry. Waits for nothing. */
  close(): void;
}

export interface ProberOptions {
  /** As they are now: what is asked later is asked by what holds then. */
  readonly terms: () => { readonly findRoute: FindRoute; readonly upstream: Upstream };
  readonly store: ProbeStore;
  readonly clock: Clock;
  readonly observer: ProbeObserver;
  readonly newToken: NewToken;
  /** From 0 up to 1. */
  readonly chance: () => number;
  /** A defect, in work that nobody waits for. */
  readonly failed: (error: unknown) => void;
  /** Outcomes that are known at once; the oldest is let go for one more. */
  readonly most?: number;
}

const MOST = 10_000;
/** Questions at the same time that no retry waits for. */
const MOST_AT_ONCE = 8;

interface Known {
  readonly question: Question;
  attempt: string;
  /** In a row, that settled nothing. */
  probes: number;
  dueAtMs: number;
  running: Promise<Answered> | undefined;
  /** It is asked about without a retry. */
  watched: boolean;
}

export function createProber(options: ProberOptions): Prober {
  return new Memory(options);
}

class Memory implements Prober {
  readonly #options: ProberOptions;
  /** By record id, the oldest first. */
  readonly #known = new Map<string, Known>();
  #atOnce = 0;
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  ask(question: Question, attempt: string, headers: readonly HeaderPair[]): Promise<Answered> {
    const known = this.#know(question, attempt);
    const asked = this.#askInTime(known, headers);
    this.#watch(known, 0);
    return asked;
  }

  watch(question: Question, attempt: string): void {
    // Where a caller has to ask itself, there is nothing to know without one.
    if (!this.#mayAskAlone(question)) return;
    // A retry need not wait for that.
    this.#watch(this.#know(question, attempt), pauseAfter(0, this.#options.chance()));
  }

  close(): void {
    this.#closed = true;
    this.#known.clear();
  }

  /** A new attempt may be asked about at once. */
  #know(question: Question, attempt: string): Known {
    const known = this.#known.get(question.id);
    if (known?.attempt === attempt) return known;
    const dueAtMs = this.#options.clock.monotonicMs();
    if (known !== undefined) return Object.assign(known, { attempt, probes: 0, dueAtMs });
    const { most = MOST, observer } = this.#options;
    const [oldest] = this.#known.size >= most ? this.#known.values() : [];
    if (oldest !== undefined) {
      this.#known.delete(oldest.question.id);
      // What was asked about for its retries alone is asked about by the next one as ever.
      if (oldest.watched) observer.probeDropped(this.#policyOf(oldest.question)?.route ?? "none");
    }
    const fresh = { question, attempt, probes: 0, dueAtMs, running: undefined, watched: false };
    this.#known.set(question.id, fresh);
    return fresh;
  }

  #isKnown(known: Known): boolean {
    return this.#known.get(known.question.id) === known;
  }

  #policyOf({ method, path }: Question): Policy | undefined {
    return this.#options.terms().findRoute(method, path)?.policy;
  }

  /** DANGER: what an upstream hides from whoever asks without a caller's credentials must not count as not executed. */
  #mayAskAlone(question: Question): boolean {
    const policy = this.#policyOf(question);
    if (policy?.probe === undefined) return false;
    return policy.probe.as === "gateway" || policy.scopeHeaders.length === 0;
  }

  #watch(known: Known, firstInMs: number): void {
    if (known.watched || this.#closed || !this.#mayAskAlone(known.question)) return;
    known.watched = true;
    const watching = async (): Promise<void> => {
      try {
        await this.#askAgain(known, firstInMs);
      } catch (error) {
        this.#options.failed(error);
      } finally {
        known.watched = false;
      }
    };
    void watching();
  }

  async #askAgain(known: Known, firstInMs: number): Promise<void> {
    const { clock } = this.#options;
    if (firstInMs > 0) await clock.sleep(firstInMs);
    while (this.#isKnown(known)) {
      const leftMs = known.dueAtMs - clock.monotonicMs();
      if (leftMs > 0) await clock.sleep(leftMs);
      else if (!(await this.#inTurn(known))) return;
    }
  }

  /** After an outage there may be thousands of them, and an upstream that has just come back. */
  async #inTurn(known: Known): Promise<boolean> {
    if (this.#atOnce < MOST_AT_ONCE) this.#atOnce += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      if (!this.#isKnown(known) || !this.#mayAskAlone(known.question)) return false;
      await this.#askInTime(known, []);
      return true;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#atOnce -= 1;
      else next();
    }
  }

  #askInTime(known: Known, headers: readonly HeaderPair[]): Promise<Answered> {
    if (known.running !== undefined) return known.running;
    const retryInMs = known.dueAtMs - this.#options.clock.monotonicMs();
    if (retryInMs > 0) return Promise.resolve({ kind: "kept", retryInMs });
    const asking = async (): Promise<Answered> => {
      try {
        return await this.#ask(known, headers);
      } finally {
        known.running = undefined;
      }
    };
    known.running = asking();
    return known.running;
  }

  async #ask(known: Known, headers: readonly HeaderPair[]): Promise<Answered> {
    const { terms, store, clock, newToken } = this.#options;
    const policy = this.#policyOf(known.question);
    if (policy?.probe === undefined) return this.#forget(known);
    const startedMs = clock.monotonicMs();
    const { upstream } = terms();
    const asking = { policy, probe: policy.probe, upstream, store, newToken };
    const asked = await probeOnce(known.question, known.attempt, headers, asking);
    this.#report(known, policy.route, asked, startedMs);
    return asked.kind === "settled" ? this.#forget(known) : this.#keep(known, asked);
  }

  #forget(known: Known): Answered {
    if (this.#isKnown(known)) this.#known.delete(known.question.id);
    return { kind: "settled" };
  }

  #keep(
    known: Known,
    { attempt, countsInMs = Infinity }: Extract<Asked, { kind: "kept" }>,
  ): Answered {
    const { clock, chance } = this.#options;
    if (attempt !== known.attempt) Object.assign(known, { attempt, probes: 0 });
    const pauseMs = pauseAfter(known.probes, chance());
    // What would count soon is not waited for longer than that, nor by all at the same moment.
    const retryInMs = Math.min(pauseMs, countsInMs + pauseAfter(0, chance()));
    known.probes += 1;
    known.dueAtMs = clock.monotonicMs() + retryInMs;
    return { kind: "kept", retryInMs };
  }

  #report({ question, probes }: Known, route: string, asked: Asked, startedMs: number): void {
    if (asked.result === undefined || this.#closed) return;
    const { clock, observer } = this.#options;
    observer.probed({
      route,
      recordId: question.id,
      result: asked.result,
      probe: probes + 1,
      ...(asked.kind === "kept" && { cause: asked.cause }),
      durationMs: clock.monotonicMs() - startedMs,
    });
  }
}
