/**
 * A shadow route observes and reports, and changes nothing: the request goes through the tunnel whatever the claim
 * says, at the same time as the claim is asked. It keeps its observations under names that no enforcing route reads.
 */
import { verdictOn } from "../core/recordable.ts";
import { shadowId } from "../core/key.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Policy } from "../core/policy.ts";
import {
  RecordCorrupt,
  StoreUnavailable,
  type Client,
  type ExchangeReport,
  type Passed,
  type StoreOperation,
} from "../core/ports.ts";
import type { HeaderPair, RecordedResponse, WriteAnswer } from "../core/record.ts";
import type { Admission, Admitted } from "./admit.ts";
import { claim } from "./claim.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";
import type { Owned } from "./later.ts";

type ShadowEnd = Omit<ExchangeReport, "method" | "path" | "durationMs">;

const TOLD: readonly HeaderPair[] = [["Idempotency-Status", "shadow"]];

export async function shadow(
  admission: Extract<Admission, { kind: "admitted" | "refused" }>,
  client: Client,
  deps: FlowDeps,
): Promise<ShadowEnd> {
  const { policy } = admission;
  const { route } = policy;
  if (admission.kind === "refused") {
    const { status } = await client.pass(admission.read, TOLD);
    return { route, outcome: "shadow", status, wouldBe: admission.refusal.code };
  }
  const { admitted } = admission;
  const { keyed } = admitted;
  if (keyed === undefined) {
    return { route, ...(await client.pass(admitted.body, TOLD)) };
  }
  const id = shadowId(keyed.id);
  // A duplicate of an in-flight request passes at once, whatever the route would do when enforcing: no waiting here.
  const observing = claim(
    { ...admitted, policy: { ...policy, onInFlight: "reject" } },
    { ...keyed, id },
    NEVER,
    { ...deps, keyLocks: undefined, access: undefined },
  );
  const [passed, claimed] = await Promise.all([client.pass(admitted.body, TOLD), observing]);
  if (claimed.kind === "granted") await note(claimed.owned, passed, policy, deps);
  return {
    route,
    outcome: "shadow",
    status: passed.status,
    wouldBe: wouldBe(claimed, admitted),
    recordId: id,
  };
}

const NEVER = { gone: new AbortController().signal };

/** Remembers how the operation ended; an observation that is lost costs a count, nothing else. */
async function note(owned: Owned, passed: Passed, policy: Policy, deps: FlowDeps): Promise<void> {
  try {
    const [operation, answer] = await written(owned, passed, policy, deps.store);
    if (answer === "lost") deps.observer.lostWrite(operation);
  } catch (error) {
    // Counted by the store's own metrics; the caller was served by the upstream and must not hear of it.
    if (!(error instanceof StoreUnavailable || error instanceof RecordCorrupt)) throw error;
  }
}

async function written(
  { id, token }: Owned,
  { outcome, status }: Passed,
  policy: Policy,
  store: FlowDeps["store"],
): Promise<[StoreOperation, WriteAnswer]> {
  const { completedMs, unknownMs } = policy.retention;
  const verdict = outcome === "passed" ? verdictOn(status, policy) : "release";
  switch (verdict) {
    case "record": {
      const response: RecordedResponse = { status, headers: [], body: undefined };
      return ["complete", (await store.complete(id, token, response, completedMs)).kind];
    }
    case "unknown": {
      const reason = status === 504 ? "timeout" : "reset";
      return ["mark-unknown", await store.markUnknown(id, token, reason, unknownMs)];
    }
    case "release":
      return ["release", await store.release(id, token)];
  }
}

function wouldBe(claimed: Claimed, admitted: Admitted): Outcome {
  switch (claimed.kind) {
    case "granted":
      return "executed";
    case "replay":
      return admitted.policy.replay.as === "conflict" ? "conflict" : "replayed";
    case "busy":
    case "held-elsewhere":
      return "in-flight";
    case "mismatch":
      return "key-reused";
    case "unknown":
      return "outcome-unknown";
    case "unavailable":
      return "store-unavailable";
    case "corrupt":
      return "record-corrupt";
    case "over-quota":
      return "quota-exceeded";
    case "denied":
      return "replay-denied";
    case "unchecked":
      return "access-unchecked";
  }
}
