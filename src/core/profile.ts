/**
 * Which status each problem gets: the profile's table, over which a route may set its own.
 * `ietf` follows draft-ietf-httpapi-idempotency-key-header-07 §2.7, `stripe` what Stripe's API answers.
 */
import type { Outcome, ProblemCode } from "./outcome.ts";
import type { Policy, Profile } from "./policy.ts";

const DEFAULT: Readonly<Record<ProblemCode, number>> = {
  "key-missing": 428,
  "key-invalid": 400,
  "key-reused": 409,
  "in-flight": 409,
  "outcome-unknown": 409,
  "not-replayable": 409,
  conflict: 409,
  stale: 409,
  "precondition-required": 428,
  "precondition-failed": 412,
  "resource-locked": 409,
  "resource-unnamed": 400,
  gone: 410,
  "not-found": 404,
  "body-too-large": 413,
  "body-invalid": 400,
  "body-incomplete": 408,
  "store-unavailable": 503,
  "record-corrupt": 502,
  "upstream-unreachable": 502,
  "credentials-invalid": 401,
  "quota-exceeded": 429,
  "replay-denied": 403,
  "access-unchecked": 503,
  "request-invalid": 400,
  "internal-error": 500,
};

const STATUSES: Readonly<Record<Profile, Readonly<Record<ProblemCode, number>>>> = {
  default: DEFAULT,
  ietf: { ...DEFAULT, "key-missing": 400, "key-reused": 422 },
  stripe: { ...DEFAULT, "key-missing": 400, "key-reused": 400 },
};

export function statusOf(code: ProblemCode, policy: Pick<Policy, "profile" | "status">): number {
  return policy.status[code] ?? STATUSES[policy.profile][code];
}

/** What real SDKs are told about retrying, because they retry every 409 unless told otherwise. */
const SHOULD_RETRY: Partial<Readonly<Record<Outcome, boolean>>> = {
  "key-reused": false,
  "outcome-unknown": false,
  "not-replayable": false,
  conflict: false,
  stale: false,
  "precondition-failed": false,
  "resource-locked": true,
  "in-flight": true,
  "store-unavailable": true,
  "record-corrupt": false,
  "upstream-unreachable": true,
  "access-unchecked": true,
  "quota-exceeded": true,
  "replay-denied": false,
};

/** `undefined`: the status itself says enough. */
export function shouldRetry(outcome: Outcome): boolean | undefined {
  return SHOULD_RETRY[outcome];
}
