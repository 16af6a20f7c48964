/**
 * One send to the upstream, bounded by the claim: what the upstream is told beside the client's own fields, and the
 * last look at the lease before a byte leaves.
 */
import type { ForwardOutcome } from "../core/ports.ts";
import type { HeldLock } from "../core/resource-ports.ts";
import type { HeaderPair } from "../core/record.ts";
import type { Admitted } from "./admit.ts";
import type { FlowDeps } from "./deps.ts";
import type { Owned } from "./later.ts";

/** What a send must fit into: the claim and the resource's lock, each where there is one. */
export interface Holdings {
  readonly owned: Owned | undefined;
  readonly lock: HeldLock | undefined;
}

export async function forward(
  admitted: Admitted,
  { owned, lock }: Holdings,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<ForwardOutcome> {
  const { method, target, body, policy } = admitted;
  const startedMs = deps.clock.monotonicMs();
  // DANGER: a process that was paused between the claim and here may own nothing any more. The call must fit into what
  // is left of the leases, or another gateway could take the key or the resource over while this one is still sending.
  const leaseEndsMs = Math.min(owned?.leaseEndsMs ?? Infinity, lock?.endsMs ?? Infinity);
  const deadlineMs = Math.min(deps.limits.deadlineMs, leaseEndsMs - startedMs - LEASE_MARGIN_MS);
  if (deadlineMs <= 0) return { kind: "not-sent", status: 504, cause: "lease-over" };
  const outcome = await deps.upstream.send(
    { method, target, body, headers: outboundHeaders(admitted, owned, headers) },
    { deadlineMs, responseBytes: policy.limits.responseBytes },
  );
  if (outcome.kind === "answered" || outcome.kind === "streaming") {
    deps.latency.observe(policy.route, deps.clock.monotonicMs() - startedMs);
  }
  return outcome;
}

/** Time to record the outcome before the lease is over. */
const LEASE_MARGIN_MS = 500;

/** The client's fields, the key, and the fence. A fence that a client made up does not get through. */
function outboundHeaders(
  admitted: Admitted,
  owned: Owned | undefined,
  headers: readonly HeaderPair[],
): readonly HeaderPair[] {
  const kept = headers.filter(([name]) => name.toLowerCase() !== "idempotency-fence");
  const hasKey = kept.some(([name]) => name.toLowerCase() === "idempotency-key");
  const { keyed } = admitted;
  const key: HeaderPair[] =
    hasKey || keyed === undefined ? [] : [["Idempotency-Key", quoted(keyed.key)]];
  const fence: HeaderPair[] =
    owned === undefined ? [] : [["Idempotency-Fence", String(owned.fence)]];
  return [...kept, ...key, ...fence];
}

/** An RFC 9651 String. */
function quoted(key: string): string {
  return `"${key.replace(/["\\]/g, "\\$&")}"`;
}
