/**
 * Tells a receiver about unknown outcomes: the first at once, what follows within the interval together, one call at a time.
 * A call that fails is repeated, with pauses that grow, until it is taken or too old. What waits is bounded and lives in this
 * process alone: the records are the truth, this is the bell. No request waits for anything here.
 */
import { fieldOf } from "../core/fields.ts";
import type { UnknownOutcome } from "../core/outcome.ts";
import type { Clock } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import { type Dated, type Message, MOST_OUTCOMES, messageOf } from "./message.ts";
import { signedHeaders } from "./signature.ts";

/** One POST to the receiver. Never rejects, never repeats, follows no redirect. */
export type Post = (
  headers: readonly HeaderPair[],
  body: string,
  timeoutMs: number,
) => Promise<PostAnswer>;

export type PostAnswer =
  | { readonly kind: "answered"; readonly status: number; readonly headers: readonly HeaderPair[] }
  /** `cause`: a word for the log. */
  | { readonly kind: "failed"; readonly cause: string };

/** What is counted of it. */
export interface WebhookCounts {
  /** Of one call. */
  called(result: "delivered" | "failed"): void;
  /** What became of telling of so many outcomes. */
  told(result: "delivered" | "dropped" | "given-up", outcomes: number): void;
  /** How many are not told yet. */
  waiting(outcomes: number): void;
}

export interface WebhookOptions {
  readonly name: string;
  /** Which of the gateways of that name. */
  readonly instance: () => string;
  /** Base64. */
  readonly secrets: readonly string[];
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly retryForMs: number;
  readonly post: Post;
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly wallMs: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly counts: WebhookCounts;
  readonly log: (
    level: "info" | "warn" | "error",
    message: string,
    fields: Readonly<Record<string, string | number>>,
  ) => void;
}

/** Outcomes that wait. More than somebody reads; the oldest go first, the list of records has them all. */
const MOST_WAITING = 1000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 300_000;
/** A receiver that asks for more is asked again after this. */
const LONGEST_RETRY_AFTER_MS = 600_000;
/** How long a stop takes for this, whatever the receiver does. */
const LAST_TRY_MS = 5000;

type Tried = { readonly cause: string; readonly retryAfterMs: number } | "delivered";

export class Webhook {
  readonly #options: WebhookOptions;
  readonly #waiting: Dated[] = [];
  /** The one that is being told. */
  #message: Message | undefined;
  #droppedSince = 0;
  /** When the last call was over. */
  #lastMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  tell(outcome: UnknownOutcome): void {
    if (this.#waiting.length >= MOST_WAITING) this.#dropOldest();
    this.#waiting.push({ ...outcome, sinceMs: outcome.sinceMs ?? this.#options.wallMs() });
    this.#countWaiting();
    this.#running ??= this.#run();
  }

  /** Tries once more to tell what is left, and says how much was not. Bounded; never rejects. */
  async close(): Promise<void> {
    const { clock, timeoutMs, log, counts } = this.#options;
    this.#stop.abort();
    const untilMs = clock.monotonicMs() + Math.min(LAST_TRY_MS, timeoutMs);
    // A call that is on its way is waited for.
    let goesOn = await withinMs(untilMs - clock.monotonicMs(), this.#running, clock);
    while (goesOn && this.#left() > 0) {
      const leftMs = untilMs - clock.monotonicMs();
      goesOn = leftMs > 0 && (await this.#try(this.#next(), leftMs)) === "delivered";
    }
    const left = this.#left();
    if (left === 0) return;
    counts.told("given-up", left);
    log("warn", "unknown outcomes were not told before the stop", { outcomes: left });
  }

  /** Until nothing is left, or the stop. */
  async #run(): Promise<void> {
    const { clock, intervalMs } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted && this.#left() > 0) {
      const pauseMs = this.#lastMs + intervalMs - clock.monotonicMs();
      if (pauseMs > 0) await clock.sleep(pauseMs, signal);
      if (!signal.aborted) await this.#deliver(this.#next());
    }
    this.#running = undefined;
  }

  async #deliver(message: Message): Promise<void> {
    const { clock, timeoutMs, retryForMs, counts, log } = this.#options;
    const { signal } = this.#stop;
    const endsMs = clock.monotonicMs() + retryForMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      const tried = await this.#try(message, timeoutMs);
      if (tried === "delivered" || signal.aborted) return;
      const { cause, retryAfterMs } = tried;
      const fields = { message: message.id, outcomes: message.outcomes, cause };
      const waitMs = Math.max(this.#jittered(pauseMs), retryAfterMs);
      if (clock.monotonicMs() + waitMs > endsMs) {
        this.#message = undefined;
        counts.told("given-up", message.outcomes);
        this.#countWaiting();
        log("error", "the webhook was not delivered; given up", fields);
        return;
      }
      if (pauseMs === FIRST_PAUSE_MS) {
        log("warn", "the webhook was not delivered; it is tried again", fields);
      }
      await clock.sleep(waitMs, signal);
      if (signal.aborted) return;
    }
  }

  /** Several gateways that fail at once must not come back at once: from half of it to all of it. */
  #jittered(ms: number): number {
    return ms * (0.5 + this.#options.random() / 2);
  }

  async #try(message: Message, timeoutMs: number): Promise<Tried> {
    const { secrets, post, clock, wallMs, counts, log } = this.#options;
    const headers = signedHeaders(message, secrets, wallMs());
    const answer = await post(headers, message.body, timeoutMs);
    this.#lastMs = clock.monotonicMs();
    if (answer.kind === "answered" && answer.status >= 200 && answer.status < 300) {
      this.#message = undefined;
      counts.called("delivered");
      counts.told("delivered", message.outcomes);
      this.#countWaiting();
      log("info", "unknown outcomes told", { message: message.id, outcomes: message.outcomes });
      return "delivered";
    }
    counts.called("failed");
    if (answer.kind === "failed") return { cause: answer.cause, retryAfterMs: 0 };
    return { cause: `status-${answer.status}`, retryAfterMs: askedPauseMs(answer, wallMs()) };
  }

  /** What is told next: the message that is being told, or a new one of what waits. */
  #next(): Message {
    const { name, instance, wallMs } = this.#options;
    if (this.#message !== undefined) return this.#message;
    const outcomes = this.#waiting.splice(0, MOST_OUTCOMES);
    this.#message = messageOf(outcomes, {
      gateway: { name, instance: instance() },
      atMs: wallMs(),
      waiting: this.#waiting.length,
      dropped: this.#droppedSince,
    });
    this.#droppedSince = 0;
    return this.#message;
  }

  #dropOldest(): void {
    const { counts, log } = this.#options;
    this.#waiting.shift();
    counts.told("dropped", 1);
    // Once for each time that it overflows: the message that comes next says how many.
    if (this.#droppedSince === 0) {
      log("error", "too many unknown outcomes wait to be told; the oldest are dropped", {
        waiting: MOST_WAITING,
      });
    }
    this.#droppedSince += 1;
  }

  #left(): number {
    return (this.#message?.outcomes ?? 0) + this.#waiting.length;
  }

  #countWaiting(): void {
    this.#options.counts.waiting(this.#left());
  }
}

/** Whether it was over in time. */
async function withinMs(
  ms: number,
  running: Promise<void> | undefined,
  clock: Clock,
): Promise<boolean> {
  if (running === undefined) return true;
  const over = new AbortController();
  const rested = await Promise.race([
    running.then(() => true),
    clock.sleep(ms, over.signal).then(() => false),
  ]);
  over.abort();
  return rested;
}

/** What `Retry-After` asks for on 429 and 503 (RFC 9110 §10.2.3), up to ten minutes; 0 where nothing is asked. */
function askedPauseMs(
  { status, headers }: Extract<PostAnswer, { kind: "answered" }>,
  nowMs: number,
): number {
  const value = status === 429 || status === 503 ? fieldOf(headers, "retry-after") : undefined;
  if (value === undefined) return 0;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs;
  return ms > 0 ? Math.min(ms, LONGEST_RETRY_AFTER_MS) : 0;
}
