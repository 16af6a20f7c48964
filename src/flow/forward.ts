/**
 * One send to the upstream, bounded by the claim: what the upstream is told beside the client's own fields, and the
 * last look at the lease before a byte leaves.
 */
import type { ForwardOutcome } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import type { Admitted } from "./admit.ts";
import type { FlowDeps } from "./deps.ts";
import type { Owned } from "./later.ts";

/** `owned` is `undefined` where the request goes out without a claim. */
export async function forward(
  admitted: Admitted,
  owned: Owned | undefined,
  headers: readonly HeaderPair[],
  deps: FlowDeps,
): Promise<ForwardOutcome> {
  const { method, target, body, policy } = admitted;
  const startedMs = deps.clock.monotonicMs();
  // DANGER: a process that was paused between the claim and here may own nothing any more. The call must fit into what
  // is left of the lease, or another gateway could take the key over while this one is still sending.
  const deadlineMs = Math.min(
    deps.limits.deadlineMs,
    (owned?.leaseEndsMs ?? Infinity) - startedMs - LEASE_MARGIN_MS,
  );
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
  const key: HeaderPair[] = hasKey ? [] : [["Idempotency-Key", quoted(admitted.key)]];
  const fence: HeaderPair[] =
    owned === undefined ? [] : [["Idempotency-Fence", String(owned.fence)]];
  return [...kept, ...key, ...fence];
}

/** An RFC 9651 String. */
function quoted(key: string): string {
  return `"${key.replace(/["\\]/g, "\\$&")}"`;
}
