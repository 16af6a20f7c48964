/**
 * What the flow needs from the world, as narrow interfaces that the rooms around it implement: store, upstream,
 * client, clock, observer. No implementation lives here, and no type of a library crosses this file.
 */
import type { Cells } from "./resource-ports.ts";
import type { Roll } from "./roll-ports.ts";
import type { Outcome, StoreOperation, UnknownOutcome } from "./outcome.ts";
import type { CorruptReason } from "./corrupt.ts";
import type { ForgetAnswer, Resolution, ResolveAnswer } from "./desk.ts";
import type { ProbeObserver, ProbeStore } from "./probe-ports.ts";
import type {
  ClaimAnswer,
  ClaimRequest,
  CompleteAnswer,
  HeaderPair,
  RecordedResponse,
  RecordState,
  RecordSummary,
  StoredRecord,
  UnknownReason,
  WriteAnswer,
} from "./record.ts";

/**
 * The four transitions of the line. Every call settles within the store's time-out; it rejects only with
 * `StoreUnavailable`, `StoreFull` or `RecordCorrupt`, and after `StoreUnavailable` the write may or may not have
 * happened, or may happen yet, unless the error says that it is undone. A claim is not taken any more once two more
 * time-outs have passed: nobody would own it.
 */
export interface ClaimStore {
  claim(request: ClaimRequest): Promise<ClaimAnswer>;
  /** `retentionMs` counts from now on the store's clock. A response without body is stored even where the store is full. */
  complete(
    id: string,
    token: string,
    response: RecordedResponse,
    retentionMs: number,
  ): Promise<CompleteAnswer>;
  release(id: string, token: string): Promise<WriteAnswer>;
  markUnknown(
    id: string,
    token: string,
    reason: UnknownReason,
    retentionMs: number,
  ): Promise<WriteAnswer>;
}

/** For operators, and for the owner that lost its record and has to tell its caller what stands there now. */
export interface RecordDesk {
  inspect(id: string): Promise<StoredRecord | undefined>;
  list(query: ListQuery): Promise<ListPage>;
  /** `attempt`: the token of the attempt that it is about; left out, whichever stands. */
  forget(id: string, attempt?: string): Promise<ForgetAnswer>;
  /** `retentionMs`: how long an outcome resolved as executed is remembered. `attempt` as with `forget`. */
  resolve(
    id: string,
    outcome: Resolution,
    retentionMs: number,
    attempt?: string,
  ): Promise<ResolveAnswer>;
}

export interface ListQuery {
  readonly state?: RecordState;
  /** 1 to 1000. A page may hold fewer although more follow: go on while `cursor` is present. */
  readonly limit: number;
  /** Opaque; from the page before. */
  readonly cursor?: string;
}

export interface ListPage {
  readonly records: readonly RecordSummary[];
  /** Ids of what cannot be read, whatever state was asked for: one damaged record must not hide the others. */
  readonly damaged?: readonly string[];
  readonly cursor?: string;
}

/** Wakes the requests that wait for a record to settle (`onInFlight: wait`). */
export interface SettleSignal {
  /** Resolves when the watch is armed: a record that settles after that wakes it. */
  watch(id: string): Promise<SettleWatch>;
}

export interface SettleWatch {
  /**
   * Resolves when the record may have settled, after `timeoutMs`, or when `gone` aborts, whichever is first. A hint:
   * the waiter asks the store again, so a lost notification costs time and never truth.
   */
  wait(timeoutMs: number, gone: AbortSignal): Promise<void>;
  close(): void;
}

export interface StoreHealth {
  /** Resolves with the reasons why the store must not be used, empty when it is fine. Never rejects. */
  problems(): Promise<readonly string[]>;
  /** Rejects with `StoreUnavailable` where something of it does not end; then the process does not end by itself. */
  close(): Promise<void>;
}

export type Store = ClaimStore & RecordDesk & ProbeStore & SettleSignal & StoreHealth & Cells & Roll; // prettier-ignore

/** The store did not answer, or not in time. Whether the write happened is not known. */
export class StoreUnavailable extends Error {
  override readonly name: string = "StoreUnavailable";
  readonly code: string = "STORE_UNAVAILABLE";
  readonly #undone: boolean;

  constructor(message: string, options: ErrorOptions & { readonly undone?: true } = {}) {
    super(message, options);
    this.#undone = options.undone === true;
  }

  /** The store was not even asked, or has refused: nothing was written, and nothing will be. */
  get undone(): boolean {
    return this.#undone;
  }
}

/** The store answered that it has no room. Nothing was written. */
export class StoreFull extends StoreUnavailable {
  override readonly name: string = "StoreFull";
  override readonly code: string = "STORE_FULL";

  constructor(message: string) {
    super(message, { undone: true });
  }
}

/** What was read is not the record that was asked for, or not a record: an alarm, never a reply. */
export class RecordCorrupt extends Error {
  override readonly name = "RecordCorrupt";
  readonly code = "RECORD_CORRUPT";
  readonly reason: CorruptReason;

  constructor(message: string, options: { readonly reason?: CorruptReason } = {}) {
    super(message);
    this.reason = options.reason ?? "damaged";
  }
}

export interface OutboundRequest {
  readonly method: string;
  /** Path and query, as matched and fingerprinted. */
  readonly target: string;
  /** End-to-end fields only; the upstream client frames the body itself. */
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array;
}

/** What became of one send. */
export type ForwardOutcome =
  /** Provably not a byte of the request has left. 502 or 504 is what the caller is told. */
  | { readonly kind: "not-sent"; readonly status: 502 | 504; readonly cause: string }
  /** A byte may have left, and no complete answer came back. */
  | { readonly kind: "unknown"; readonly reason: UnknownReason; readonly cause: string }
  /** The whole answer, within the limit. */
  | { readonly kind: "answered"; readonly answer: UpstreamAnswer }
  /** The answer is over the limit or an event stream: status and headers are final, the body is still coming. */
  | {
      readonly kind: "streaming";
      readonly status: number;
      readonly headers: readonly HeaderPair[];
      readonly stream: BodyStream;
    };

/** A body that is still coming. Breaks where the answer does not come whole. */
export interface BodyStream extends AsyncIterable<Uint8Array> {
  /** Lets the rest go unread. */
  cancel(): void;
}

export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array;
}

/** One request, one send: an implementation never retries and never follows a redirect. Never rejects. */
export interface Upstream {
  send(
    request: OutboundRequest,
    limits: { readonly deadlineMs: number; readonly responseBytes: number },
  ): Promise<ForwardOutcome>;
}

export type BodyRead =
  | { readonly kind: "body"; readonly bytes: Uint8Array }
  /** More than the limit. `read` is what was taken from the socket so far; the rest is still on it. */
  | { readonly kind: "too-large"; readonly read: Uint8Array }
  /** The client went away, or was too slow, before the body was complete. */
  | { readonly kind: "incomplete"; readonly cause: "gone" | "slow" };

/** A request that the listener has checked: one Host, one form of target, no ambiguous framing or fields. */
export interface InboundRequest {
  readonly method: string;
  /** Path and query in the one canonical form that is matched, fingerprinted and forwarded. */
  readonly target: string;
  /** As received, in order. */
  readonly headers: readonly HeaderPair[];
  /** The fields for the upstream: end-to-end fields, with the forwarding fields set. */
  readonly forwardHeaders: readonly HeaderPair[];
  readBody(limitBytes: number): Promise<BodyRead>;
  /**
   * In place of `readBody`, right behind handing the request to the tunnel: the body as it goes by. Takes nothing from
   * it and holds nothing up; of one over the limit nothing is kept.
   */
  watchBody(limitBytes: number): Promise<BodyRead>;
  /** Aborts when the client hangs up or the gateway stops. Ends a duplicate's wait; never a call to the upstream. */
  readonly gone: AbortSignal;
}

export interface Reply {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array | BodyStream;
}

type Fields = readonly HeaderPair[];

export interface Client {
  /**
   * Resolves when the reply is written or the client is gone. A stream is read on for a while for a client that has
   * left, so that the upstream's work is not cut short by it, and then let go: it may have no end.
   */
  send(reply: Reply): Promise<void>;
  /**
   * Hands the request to the tunnel, with what was already read of its body. `told` is added to the reply's fields.
   * `fields` go to the upstream in the place of the request's own. Resolves when the exchange is over.
   */
  pass(read: Uint8Array | undefined, told?: Fields, fields?: Fields): Promise<Passed>;
}

/** `status` is 0 when the client left before there was one. */
export interface Passed {
  readonly status: number;
  readonly outcome: Extract<Outcome, "passed" | "upstream-unreachable" | "client-gone">;
}

export interface Clock {
  /** Milliseconds that never jump; only differences mean something. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** 128 fresh random bits, as 32 hex digits. */
export type NewToken = () => string;

/** What one exchange came to; becomes one log line and its metrics. Durations in milliseconds, the path without its query. */
export interface ExchangeReport {
  readonly route: string;
  readonly method: string;
  readonly path: string;
  readonly outcome: Outcome;
  /** What a shadow route would have answered. */
  readonly wouldBe?: Outcome | undefined;
  /** Of a request without a key, where its route looks for duplicates: a digest of caller, route and fingerprint. */
  readonly keylessId?: string | undefined;
  /** How many like it have come before, each within the window of the one before, and how long ago the last of them. */
  readonly repeats?: number | undefined;
  readonly repeatedAfterMs?: number | undefined;
  readonly status: number;
  readonly recordId?: string | undefined;
  /** What was told has become the answer of this record with this exchange. */
  readonly recorded?: boolean | undefined;
  readonly fence?: number | undefined;
  readonly durationMs: number;
  readonly claimMs?: number | undefined;
  readonly upstreamMs?: number | undefined;
  readonly settleMs?: number | undefined;
  /** Why, for people: a fixed text or an error code, never anything that a caller sent. */
  readonly cause?: string | undefined;
}

export interface Observer extends ProbeObserver {
  /** An exchange is in flight until the function that is returned is called. */
  began(): () => void;
  finished(report: ExchangeReport): void;
  lostWrite(operation: StoreOperation): void;
  unknownOutcome(outcome: UnknownOutcome): void;
  leftBehind(record: Extract<StoredRecord, { state: "unknown" }>): void;
  recordedBytes(bytes: number): void;
}
