/**
 * Requests without a key that come again within a window: what the upstream executes more than once today. Looks on beside
 * the tunnel and changes nothing; what is remembered is `sights.ts`.
 */
import { scopeOf } from "../core/key.ts";
import type { Client, InboundRequest, Passed } from "../core/ports.ts";
import { verdictOn } from "../core/recordable.ts";
import type { Admission } from "./admit.ts";
import type { FlowDeps } from "./deps.ts";
import type { Facts } from "./facts.ts";
import { keylessFingerprint } from "./meaning.ts";
import type { Sight } from "./sights.ts";

/** Passes a request on that has no key; one whose whole body was read on the way is looked at. */
export async function passKeyless(
  admission: Extract<Admission, { kind: "pass" }>,
  request: InboundRequest,
  client: Client,
  facts: Facts,
  deps: FlowDeps,
): Promise<Passed> {
  const passing = client.pass(admission.read);
  const sight = sightOf(admission, request, deps);
  const passed = await passing;
  facts.sight = executedSight(sight, passed, admission, deps);
  return passed;
}

/** `undefined`: nobody asked for it, or the body did not go by whole. */
export function sightOf(
  { policy, read }: Extract<Admission, { kind: "pass" }>,
  request: InboundRequest,
  { readJson, duplicates, clock }: FlowDeps,
): Sight | undefined {
  if (policy?.duplicates.report !== true || read === undefined) return undefined;
  // A token is not verified here: a forged one is a caller of its own.
  const names = policy.scopeJwt === undefined ? policy.scopeHeaders : ["authorization"];
  const scope = scopeOf(request.headers, names);
  const fingerprint = keylessFingerprint(request, policy, read, readJson);
  const parts = [policy.route, scope, fingerprint];
  return duplicates.see(parts, policy.duplicates.windowMs, clock.monotonicMs());
}

/** What the upstream has refused to process, or never got, was not executed twice: it counts for nothing. */
export function executedSight(
  sight: Sight | undefined,
  { outcome, status }: Passed,
  { policy }: Extract<Admission, { kind: "pass" }>,
  { duplicates }: Pick<FlowDeps, "duplicates">,
): Sight | undefined {
  if (sight === undefined || policy === undefined) return undefined;
  const executed =
    outcome === "client-gone" || (outcome === "passed" && verdictOn(status, policy) !== "release");
  if (executed) return sight;
  duplicates.unsee(sight);
  return undefined;
}
