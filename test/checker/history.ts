/**
 * What the engines write down and the checker reads: one list of events in the order in which they were seen. An
 * engine tells what it can see; rules that need more than that find nothing to object to.
 */

/** How the key's route treats an unknown outcome. */
export type OnUnknown = "block" | "resend";

/** What a write does to its resource, as the upstream understood it. */
export type Effect = "create" | "update" | "delete";

export type HistoryEvent =
  /** A client began to send. `request` is a number of its own, never used twice in a history. */
  | {
      readonly kind: "request";
      readonly request: number;
      readonly scope: string;
      readonly key: string;
      /** Whatever tells two different requests apart: equal exactly where the fingerprints must be. */
      readonly fingerprint: string;
      readonly onUnknown: OnUnknown;
      /** The route prefers a possible duplicate to no service: executions without a fence are not held against it. */
      readonly mayBypass?: boolean;
      readonly atMs: number;
    }
  /** The store granted a claim: once per token. An engine that tells one of these tells them all. */
  | {
      readonly kind: "claimed";
      readonly scope: string;
      readonly key: string;
      readonly fence: number;
      readonly atMs: number;
    }
  /** The upstream has got the request whole. `execution` is a number of its own. */
  | {
      readonly kind: "execution";
      readonly execution: number;
      readonly scope: string;
      readonly key: string;
      readonly fingerprint: string;
      /** From `Idempotency-Fence`; `undefined` where the field did not come. */
      readonly fence: number | undefined;
      readonly resource?: ResourceAccess;
      readonly atMs: number;
    }
  /** The upstream is done with it, or has let it go. */
  | {
      readonly kind: "execution-end";
      readonly execution: number;
      /** The digest of the answer (status, end-to-end fields, body), `undefined` where it never gave one whole. */
      readonly answer: string | undefined;
      /** It said "not processed": the key is free again, and this execution was none. */
      readonly released: boolean;
      /** The effect took place. */
      readonly succeeded: boolean;
      readonly atMs: number;
    }
  /** A client has a whole reply. */
  | {
      readonly kind: "reply";
      readonly request: number;
      readonly status: number;
      /** `Idempotency-Status`, `none` where the field is missing. */
      readonly outcome: string;
      /** The digest of the upstream's answer that it carries, computed as in `execution-end`; absent on refusals. */
      readonly answer?: string;
      readonly atMs: number;
    }
  /** The connection broke, or the client left. */
  | { readonly kind: "no-reply"; readonly request: number; readonly atMs: number }
  /** The store acknowledged a completion to the gateway. */
  | {
      readonly kind: "completed";
      readonly scope: string;
      readonly key: string;
      readonly atMs: number;
    }
  /** Its retention is over, or an operator has forgotten it: whatever comes now begins anew. */
  | {
      readonly kind: "forgotten";
      readonly scope: string;
      readonly key: string;
      readonly atMs: number;
    }
  /** A gateway counted a write as lost. */
  | { readonly kind: "lost-write"; readonly operation: string; readonly atMs: number }
  /** The store has lost acknowledged writes: the promise is off for what it held. */
  | { readonly kind: "store-lost"; readonly atMs: number }
  /** From here on nothing goes wrong any more. */
  | { readonly kind: "faults-over"; readonly leaseMs: number; readonly atMs: number }
  /** Looked up in the store. `owned`: the gateway that claimed it is alive and still at it. */
  | {
      readonly kind: "found";
      readonly scope: string;
      readonly key: string;
      readonly state: "in-flight" | "completed" | "unknown" | "absent";
      readonly owned: boolean;
      readonly atMs: number;
    };

export interface ResourceAccess {
  readonly id: string;
  readonly effect: Effect;
  /** One write at a time is promised. */
  readonly serialized: boolean;
  /** The first write that succeeds owns the resource. */
  readonly once: boolean;
  /** A deleted thing stays deleted while its tombstone lasts, whatever an update says. */
  readonly tombstones: boolean;
  /**
   * What had to stand there, by the request (`If-Match`: a tag, or `*` for anything) or by its route (`*`, or `none` for
   * nothing), and the tag that the upstream had when it came.
   */
  readonly condition?: { readonly wanted: string; readonly current: string | undefined };
}

export interface History {
  /** For the report: the seed, or the place in the matrix. */
  readonly name: string;
  /** Nothing was made to go wrong: then nothing may be lost, unknown or a 5xx. */
  readonly faultFree: boolean;
  readonly events: readonly HistoryEvent[];
}

/** `rule` is one of `RULES`; `text` says what happened, with the events' numbers. */
export interface Violation {
  readonly rule: Rule;
  readonly history: string;
  readonly text: string;
}

export const RULES = [
  /** More executions than the fences allow. */
  "executed-twice",
  /** An execution that no claim was granted for, or without a fence. */
  "unclaimed",
  /** Two replies with the upstream's answer that differ. */
  "answers-differ",
  /** A reply with an answer that the upstream never gave to this key, scope and fingerprint. */
  "foreign-answer",
  /** Two fingerprints executed under one key. */
  "mismatch-executed",
  /** A reused key was told something else than that it is reused. */
  "mismatch-hidden",
  /** Executed after a client has seen the recorded answer. */
  "executed-after-recorded",
  /** A completion that was acknowledged is gone. */
  "completion-lost",
  /** In flight without an owner, later than the lease and a second after the last fault; or with nobody there ever. */
  "stuck",
  /** An unknown outcome, a 5xx or a lost write, although nothing went wrong. */
  "fault-free",
  /** Two writes under one resource's lock at the same time. */
  "overlap",
  /** An update of what was deleted. */
  "resurrected",
  /** Two owners of a `once` resource. */
  "two-owners",
  /** A write whose condition did not hold. */
  "precondition-passed",
] as const;

export type Rule = (typeof RULES)[number];
