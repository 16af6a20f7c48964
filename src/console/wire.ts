/** What the admin port's API says, as types. The server is the authority; nothing here checks or changes anything. */

export type Counts = Readonly<Record<string, number>>;

/** `counts[i]`: how many took at most `boundsSeconds[i]`. The last count is of all. */
export interface Histogram {
  readonly boundsSeconds: readonly number[];
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

export interface RouteCounters {
  readonly route: string;
  readonly outcomes: Counts;
  readonly wouldBe: Counts;
  readonly unknown: Counts;
  readonly duration: Histogram;
}

/** `GET /v1/counters`: since the gateway's start. */
export interface Counters {
  readonly startedAtSeconds: number;
  readonly inFlight: number;
  readonly recordedBytes: number;
  readonly lostWrites: Counts;
  readonly routes: readonly RouteCounters[];
  readonly latency: {
    readonly executed: Histogram;
    readonly replayed: Histogram;
    readonly upstream: Histogram;
  };
  readonly store: readonly {
    readonly operation: string;
    readonly errors: number;
    readonly duration: Histogram;
  }[];
  readonly workers?: Counts;
}

/** `GET /v1/status`. */
export interface Status {
  readonly version: string;
  readonly node: string;
  readonly workers: number;
  readonly store: { readonly url: string; readonly timeoutMs: number; readonly leaseMs: number };
  readonly upstream: { readonly url: string; readonly timeoutMs: number };
  /** What one caller may take; null: as much as it likes. */
  readonly quotas: {
    readonly newKeys: { readonly perSecond: number; readonly burst: number } | null;
    readonly liveRecords: number | null;
  };
  readonly ready: boolean;
  readonly problems: readonly string[];
  readonly showAnswers: boolean;
}

/** One record; the members behind `fence` are those of its state. */
export interface RecordView {
  readonly id: string;
  readonly state: "in-flight" | "completed" | "unknown";
  readonly route: string;
  readonly method: string;
  readonly path: string;
  readonly query: boolean;
  readonly fence: number;
  /** `host/pid`; null where the record is of a format that did not keep it. */
  readonly claimedBy: string | null;
  /** What tells this claim from the next under the same id. */
  readonly attempt: string;
  /** Of a shadow route: no request is answered by it. */
  readonly shadow?: true;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly leaseUntil?: string;
  readonly reason?: "timeout" | "reset" | "truncated" | "crash";
  readonly since?: string;
  readonly completedAt?: string;
  /** Null: an operator has resolved it as executed. */
  readonly status?: number | null;
  readonly answeredBy?: "upstream" | "probe" | "operator";
  readonly replayable?: boolean;
  readonly location?: string;
  readonly contentType?: string;
}

/** `GET /v1/records/:id`. */
export interface RecordStory extends RecordView {
  /** By the processes of this gateway, since each began. Of a completed record. */
  readonly replays?: readonly {
    readonly by: string;
    readonly count: number;
    readonly last: string;
  }[];
  /** How many of them did not say in time; left out where all did. */
  readonly silentProcesses?: number;
}

/** `GET /v1/records`. */
export interface RecordPage {
  readonly records: readonly RecordView[];
  readonly damaged?: readonly string[];
  readonly cursor?: string;
}

/** `GET /v1/records/:id/answer`. */
export interface Recorded {
  readonly id: string;
  readonly target: string;
  readonly answer: null | {
    readonly status: number;
    readonly headers: readonly (readonly [name: string, value: string])[];
    readonly body: null | {
      readonly bytes: number;
      readonly shownBytes: number;
      readonly encoding: "utf-8" | "base64";
      readonly content: string;
    };
  };
}

/** A policy in the words of the configuration file. */
export interface PolicyView {
  readonly key?: {
    readonly from?: string;
    readonly pointers?: readonly string[];
    readonly [setting: string]: unknown;
  };
  readonly scope?: { readonly headers?: readonly string[]; readonly [setting: string]: unknown };
  readonly [setting: string]: unknown;
}

export interface RouteView extends PolicyView {
  readonly name: string;
  readonly match: { readonly methods: readonly string[]; readonly path: string };
}

/** `GET /v1/routes`. */
export interface Routes {
  readonly defaults: PolicyView;
  readonly routes: readonly RouteView[];
}

export type Outcome = "executed" | "not-executed";
