/** What the contract of the stores is tried with: a store, a claim, an answer. */
import { randomBytes } from "node:crypto";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import type { ClaimRequest, RecordedResponse } from "../../src/core/record.ts";

export interface StoreUnderTest {
  readonly store: Store;
  /** Resolves once the store's clock has advanced by at least `ms`. */
  readonly pass: (ms: number) => Promise<void>;
  /** Another client of the same store; of the memory store there is only the one. */
  readonly another: () => Promise<Store>;
}

export type MakeStore = (t: Test) => Promise<StoreUnderTest>;

export const hex = (bytes: number): string => randomBytes(bytes).toString("hex");

/** A claim that lasts through a test; what matters to a test is said by it. */
export function claimOf(over: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id: hex(32),
    token: hex(16),
    fingerprint: "ab".repeat(32),
    method: "POST",
    target: "/v1/charges?x=1",
    route: "charges",
    claimedBy: "gateway/1",
    leaseMs: 60_000,
    unknownRetentionMs: 60_000,
    onUnknown: "block",
    ...over,
  };
}

export const answerOf = (over: Partial<RecordedResponse> = {}): RecordedResponse => ({
  status: 201,
  headers: [["Content-Type", "application/json"]],
  body: Buffer.from('{"id":1}'),
  ...over,
});

export const DAY_MS = 86_400_000;
export const OTHER = "cd".repeat(32);
