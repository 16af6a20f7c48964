/** What a request for a claim came to: the store's answer, or why the store's answer is not this caller's to have. */
import type { ClaimAnswer } from "../core/record.ts";
import type { QuotaName } from "../core/outcome.ts";
import type { Owned } from "./later.ts";

export type Claimed =
  | { readonly kind: "granted"; readonly owned: Owned }
  | Exclude<ClaimAnswer, { kind: "granted" | "unknown" }>
  /** `retryInMs`: when the upstream is asked again, where it is asked at all. */
  | (Extract<ClaimAnswer, { kind: "unknown" }> & { readonly retryInMs?: number })
  /** The store has lost the claim of a gateway that is still sending: its lock says so. */
  | { readonly kind: "held-elsewhere" }
  /** The store cannot be asked, so nothing may be sent. */
  | { readonly kind: "unavailable"; readonly cause: string }
  | { readonly kind: "corrupt"; readonly cause: string }
  /** The caller has used as many new keys as it may for now, or has as many records as it may. */
  | { readonly kind: "over-quota"; readonly retryAfterMs: number; readonly cause: QuotaName }
  /** There is a record, and the caller may not be told of it. */
  | { readonly kind: "denied" }
  /** There is one, and nobody says whether the caller may. */
  | { readonly kind: "unchecked"; readonly cause: string };
