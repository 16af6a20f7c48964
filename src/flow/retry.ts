/**
 * A retry that has met an unknown outcome on a route with `onUnknown: probe`: it waits until the upstream has been asked, and
 * then asks the store once more, whose word alone counts.
 */
import { fieldOf } from "../core/fields.ts";
import type { InboundRequest } from "../core/ports.ts";
import { splitTarget, type Admitted, type Keyed } from "./admit.ts";
import { claim } from "./claim.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";
import type { Question } from "./probe.ts";

export async function claimAfterProbe(
  met: Extract<Claimed, { kind: "unknown" }>,
  admitted: Admitted,
  keyed: Keyed,
  inbound: Pick<InboundRequest, "gone">,
  deps: FlowDeps,
): Promise<Claimed> {
  const step = deps.trace?.step("probe");
  const { token } = met.record;
  const asked = await deps.prober.ask(questionOf(admitted, keyed), token, admitted.headers);
  step?.end({ result: asked.kind });
  if (asked.kind === "kept") return { ...met, retryInMs: asked.retryInMs };
  return claim(admitted, keyed, inbound, deps);
}

export function questionOf({ method, target, headers }: Admitted, { id, key }: Keyed): Question {
  const [path] = splitTarget(target);
  return { id, key, method, path, host: fieldOf(headers, "host") };
}
