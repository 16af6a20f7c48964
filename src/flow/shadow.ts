/**
 * A shadow route observes and reports, and changes nothing: the request goes through the tunnel at once, and what would
 * have been said of it is found out beside that, from the body as it goes by. Neither waits for the other. It keeps its
 * observations under names that no enforcing route reads.
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
  type InboundRequest,
  type Passed,
} from "../core/ports.ts";
import type { StoreOperation } from "../core/outcome.ts";
import type { HeaderPair, RecordedResponse, WriteAnswer } from "../core/record.ts";
import type { Admission, Admitted, Keyed } from "./admit.ts";
import { claim } from "./claim.ts";
import type { Claimed } from "./claimed.ts";
import type { FlowDeps } from "./deps.ts";
import { executedSight, sightOf } from "./duplicates.ts";
import type { Facts } from "./facts.ts";
import type { Owned } from "./later.ts";

type ShadowEnd = Pick<ExchangeReport, "route" | "outcome" | "status" | "wouldBe">;

const TOLD: readonly HeaderPair[] = [["Idempotency-Status", "shadow"]];

/** What can be said of it without its body. */
export async function passRefused(
  { policy, refusal, read }: Extract<Admission, { kind: "refused" }>,
  client: Client,
): Promise<ShadowEnd> {
  const { status } = await client.pass(read, TOLD);
  return { route: policy.route, outcome: "shadow", status, wouldBe: refusal.code };
}

/** Also for requests without a key, in whatever mode, whose duplicates are looked for. */
export async function watch(
  { policy, judge }: Extract<Admission, { kind: "watch" }>,
  request: InboundRequest,
  client: Client,
  facts: Facts,
  deps: FlowDeps,
): Promise<ShadowEnd> {
  // DANGER: in this order and in one turn. What is passed on waits for nothing that is done here, least of all for the
  // store; and the tunnel must have begun to read before somebody listens in.
  const passing = client
    .pass(undefined, policy.mode === "shadow" ? TOLD : undefined)
    .then((passed) => {
      facts.endedMs = deps.clock.monotonicMs();
      return passed;
    });
  try {
    return await lookOn({ policy, judge }, passing, request, facts, deps);
  } catch (error) {
    // DANGER: a defect here must not answer in the upstream's place, which is executing the request. It is logged.
    const failed = async (): Promise<void> => {
      throw error;
    };
    deps.background(failed());
    const { outcome, status } = await passing;
    const shadowed = policy.mode === "shadow" && outcome === "passed";
    return { route: policy.route, outcome: shadowed ? "shadow" : outcome, status };
  }
}

async function lookOn(
  { policy, judge }: Pick<Extract<Admission, { kind: "watch" }>, "policy" | "judge">,
  passing: Promise<Passed>,
  request: InboundRequest,
  facts: Facts,
  deps: FlowDeps,
): Promise<ShadowEnd> {
  const { route } = policy;
  const judged = await judge(await request.watchBody(policy.limits.requestBytes));
  if (judged.kind === "pass") {
    const sight = sightOf(judged, request, deps);
    const { outcome, status } = await passing;
    facts.sight = executedSight(sight, { outcome, status }, judged, deps);
    return { route, outcome, status };
  }
  if (judged.kind !== "admitted" || judged.admitted.keyed === undefined) {
    const { status, outcome } = await passing;
    if (outcome === "client-gone") return { route, outcome, status };
    if (judged.kind !== "refused") return { route, outcome: "shadow", status };
    const { code, cause } = judged.refusal;
    facts.cause = cause;
    return { route, outcome: "shadow", status, wouldBe: code };
  }
  const { admitted } = judged;
  const keyed = { ...judged.admitted.keyed, id: shadowId(judged.admitted.keyed.id) };
  const claimed = await observe(admitted, keyed, deps);
  const passed = await passing;
  facts.recordId = keyed.id;
  if (claimed.kind === "granted") await note(claimed.owned, passed, policy, deps);
  return {
    route,
    outcome: "shadow",
    status: passed.status,
    wouldBe: wouldBe(claimed, admitted),
  };
}

/** A duplicate of an in-flight request passes at once, whatever the route would do when enforcing: no waiting here. */
function observe(admitted: Admitted, keyed: Keyed, deps: FlowDeps): Promise<Claimed> {
  const policy: Policy = { ...admitted.policy, onInFlight: "reject" };
  return claim({ ...admitted, policy }, keyed, NEVER, {
    ...deps,
    keyLocks: undefined,
    access: undefined,
    liveRecords: undefined,
  });
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
