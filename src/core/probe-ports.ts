/**
 * What probes need of the store, and what they tell of themselves. What an answer means is `probe.ts`; no implementation
 * lives here.
 */
import type { AnsweredBy, RecordedResponse, StoredRecord, WriteAnswer } from "./record.ts";

/** What a probe, or an operator, has found out about one attempt. */
export type Finding =
  | {
      readonly kind: "executed";
      readonly by: Exclude<AnsweredBy, "upstream">;
      readonly response: RecordedResponse;
      readonly retentionMs: number;
      /** Fresh. It stands where the owner's token was, so that the owner's late completion is `lost`. */
      readonly token: string;
    }
  | { readonly kind: "not-executed" };

/** What a probe reads and writes. Calls end as those of `ClaimStore` do. */
export interface ProbeStore {
  /** The record as it stands, and when that was on the store's clock. */
  look(id: string): Promise<{ readonly record: StoredRecord; readonly nowMs: number } | undefined>;
  /**
   * `attempt` is the token of the attempt that was asked about. `lost`: it is not unknown any more, or another attempt
   * is; nothing was written.
   */
  settleUnknown(id: string, attempt: string, finding: Finding): Promise<WriteAnswer>;
}

/** How one probe ended. `overtaken`: it was settled, or claimed again, while the upstream was asked. */
export const PROBE_RESULTS = ["executed", "not-executed", "kept", "failed", "overtaken"] as const;

export type ProbeResult = (typeof PROBE_RESULTS)[number];

export interface ProbeReport {
  readonly route: string;
  readonly recordId: string;
  readonly result: ProbeResult;
  /** How often this process has asked about this attempt, this time included. */
  readonly probe: number;
  /** Why, for people: an error code or a fixed text. */
  readonly cause?: string | undefined;
  readonly durationMs: number;
}

export interface ProbeObserver {
  probed(report: ProbeReport): void;
  /** This process asks no more about an outcome of this route by itself: there are too many. */
  probeDropped(route: string): void;
}
