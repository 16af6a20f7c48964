/** A policy with the defaults that the configuration documents, for tests that need one without reading YAML. */
import type { Policy } from "../../src/core/policy.ts";

/** What `replay` says of repeats that most tests have no opinion about. */
export const REPEATS = {
  conflict: { status: 409, body: "problem" },
  whenChanged: "replay",
  authorize: undefined,
} as const;

export function newPolicy(overrides: Partial<Policy> = {}): Policy {
  return {
    route: "charges",
    mode: "enforce",
    profile: "default",
    status: {},
    key: { source: { from: "header", name: "Idempotency-Key" }, required: false, format: "any" },
    scopeHeaders: ["authorization", "x-api-key"],
    scopeJwt: undefined,
    fingerprint: { body: "raw", headers: [], ignore: [] },
    duplicates: { report: false, windowMs: 10_000 },
    onInFlight: "reject",
    waitTimeoutMs: 10_000,
    onStoreError: "reject",
    onUnknown: "by-method",
    probe: undefined,
    retention: { completedMs: 86_400_000, unknownMs: 259_200_000 },
    limits: { requestBytes: 1024, responseBytes: 1024 },
    respond: {
      release: [401, 407, 408, 421, 425, 429, 503],
      unknown: [502, 504],
      keepsAnswer: true,
    },
    replay: { dropHeaders: [], status: new Map(), as: "recorded", ...REPEATS },
    resource: undefined,
    docsUrl: undefined,
    ...overrides,
  };
}
