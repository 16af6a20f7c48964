/** What the clients of one seed want: their keys, what each stands for, and when it is asked for. */
import { recordId, scopeOf } from "../../src/core/key.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import { unknownPolicy } from "../../src/core/route.ts";
import type { OnUnknown } from "../checker/history.ts";
import type { Random } from "../support/random.ts";
import { OPERATIONS, policyOf } from "./routes.ts";

/** One thing that a client wants, to be sent as often as it likes. */
export interface Operation {
  readonly scope: string;
  readonly key: string;
  /** Scope and key. */
  readonly name: string;
  readonly headers: readonly HeaderPair[];
  readonly method: string;
  readonly target: string;
  readonly body: Uint8Array;
  readonly fingerprint: string;
  readonly onUnknown: OnUnknown;
  readonly mayBypass: boolean;
  /** The route lets a duplicate wait. */
  readonly waits: boolean;
  /** A repeated DELETE under another key gets the first one's answer. */
  readonly repeatsDeletion: boolean;
  /** What it says in `If-Match`. */
  readonly condition: "none" | "any" | "current" | "stale";
}

/** A key of one caller. */
export interface Slot {
  readonly id: string;
  readonly operation: Operation;
  /** The same key with another body. */
  readonly reuse: Operation;
}

export interface Plan {
  readonly slots: readonly Slot[];
  /** In order of time. */
  readonly asked: readonly { readonly atMs: number; readonly operation: Operation }[];
  /** When the last is asked. */
  readonly lastMs: number;
}

const SCOPES = ["ann", "bob", "eve"];
const SCOPE_DIGESTS = new Map(
  SCOPES.map((scope) => [scope, scopeOf([["Authorization", scope]], ["authorization"])]),
);
const SLOTS = 50;
const HOT = 4;
const ASKED = 120;
const SHARES = OPERATIONS.flatMap(({ path, methods, share }) =>
  methods.flatMap((method) => {
    const policy = policyOf(method, path);
    const again = unknownPolicy(policy, method) === "resend" || policy.probe !== undefined;
    return Array.from({ length: (6 * share) / methods.length }, () => ({ path, method, again }));
  }),
);
const BODIES = Array.from({ length: SLOTS }, (_, n) => Buffer.from(`{"n":${n}}`));
const OTHER_BODY = Buffer.from('{"n":"other"}');

/**
 * `resending`: also what is, or may be, sent again after an unknown outcome. That rests on the store's clock: one that is set forward
 * ends the lease of a request that is still to be sent.
 */
export function newPlan(random: Random, resending: boolean): Plan {
  const known = resending ? SHARES : SHARES.filter(({ again }) => !again);
  // A seed with few kinds of operations has many of each, which is where they meet.
  const shares = random.chance(0.5) ? [random.pick(known), random.pick(known)] : known;
  const slots = Array.from({ length: SLOTS }, (_, n) => newSlot(n, random, shares));
  const lengthMs = random.pick([2000, 12_000, 30_000, 60_000]);
  const gapMs = (2 * lengthMs) / ASKED;
  const asked: { atMs: number; operation: Operation }[] = [];
  let atMs = 0;
  let recent = random.pick(slots);
  for (let n = 0; n < ASKED; n += 1) {
    if (random.chance(0.5)) atMs += random.int(2 * gapMs);
    if (random.chance(0.5)) recent = random.pick(slots);
    // Some keys are asked for all the time, also when what befell the first request of them is over.
    if (random.chance(0.3)) recent = random.pick(slots.slice(0, HOT));
    const operation = random.chance(0.06) ? recent.reuse : recent.operation;
    asked.push({ atMs, operation });
  }
  return { slots, asked, lastMs: atMs };
}

function newSlot(n: number, random: Random, shares: typeof SHARES): Slot {
  const scope = SCOPES[n % SCOPES.length] ?? "";
  const { path, method } = random.pick(shares);
  const policy = policyOf(method, path);
  // The same keys for several callers: they must not meet. Where the gateway asks in its own name, one is told by its key.
  const number = Math.floor(n / SCOPES.length);
  const key = policy.probe?.as === "gateway" ? `${scope}-k${number}` : `k${number}`;
  // What only creates is also asked to make what is there already.
  const creates = policy.resource?.put === "create-only";
  const body = BODIES[creates ? n % 2 : n] ?? OTHER_BODY;
  const conditional = policy.resource !== undefined && policy.resource.precondition !== "off";
  const operation: Operation = {
    scope,
    key,
    name: `${scope}/${key}`,
    headers: [
      ["Authorization", scope],
      ["Idempotency-Key", key],
      ["Content-Type", "application/json"],
    ],
    method,
    target: path,
    body,
    fingerprint: fingerprintOf(method, path, body),
    onUnknown: unknownPolicy(policy, method),
    mayBypass: policy.onStoreError === "bypass",
    waits: policy.onInFlight === "wait",
    repeatsDeletion: policy.resource?.afterDelete?.delete === "replay",
    condition: conditional ? random.pick(["none", "any", "current", "current", "stale"]) : "none",
  };
  const id = recordId(SCOPE_DIGESTS.get(scope) ?? "", policy.key.source, policy.route, key);
  const fingerprint = fingerprintOf(method, path, OTHER_BODY);
  return { id, operation, reuse: { ...operation, body: OTHER_BODY, fingerprint } };
}

export function fingerprintOf(method: string, target: string, body: Uint8Array): string {
  return `${method} ${target} ${Buffer.from(body).toString("latin1")}`;
}
