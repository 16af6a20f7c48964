/** What becomes known of an exchange on its way, besides how it ended; for its report. */
import type { ExchangeReport } from "../core/ports.ts";
import type { Sight } from "./sights.ts";

/** One object, filled: copies cost 20 us a request. */
export type Facts = {
  -readonly [
    Fact in "recordId" | "recorded" | "fence" | "claimMs" | "upstreamMs" | "settleMs" | "cause"
  ]: ExchangeReport[Fact];
} & {
  /** Of a request without a key whose duplicates are looked for. */
  sight: Sight | undefined;
  /** When the client had its answer, where more was found out after that: it is none of the request's time. */
  endedMs: number | undefined;
};

export function newFacts(): Facts {
  return {
    recordId: undefined,
    recorded: undefined,
    fence: undefined,
    claimMs: undefined,
    upstreamMs: undefined,
    settleMs: undefined,
    cause: undefined,
    sight: undefined,
    endedMs: undefined,
  };
}
