/**
 * The line: one request, one direction.
 *
 *     admit(route → key → body → fingerprint) → claim → forward → settle → answer
 *
 * Nothing is sent without a claim, nothing is told before it is settled, and nothing here knows a socket: a client
 * that hangs up changes nothing.
 */
import type { Client, ExchangeReport, ForwardOutcome, InboundRequest } from "../core/ports.ts";
import type { Outcome } from "../core/outcome.ts";
import { unknownPolicy } from "../core/route.ts";
import { admit, splitTarget, type Admission, type Admitted } from "./admit.ts";
import { problemAnswer, type About, type Answer } from "./answer.ts";
import { claim } from "./claim.ts";
import type { FlowDeps } from "./deps.ts";
import { forward } from "./forward.ts";
import { guard } from "./guard.ts";
import type { Owned } from "./later.ts";
import { readResource } from "./read.ts";
import { release, settle } from "./settle.ts";
import { shadow } from "./shadow.ts";
import { refuseStale } from "./stale.ts";
import {
  answerForwarded,
  answerKeyless,
  answerRefused,
  answerSettled,
  answerUngranted,
} from "./tell.ts";

/** What is known of an exchange besides its answer. */
type Facts = Partial<
  Pick<ExchangeReport, "recordId" | "fence" | "claimMs" | "upstreamMs" | "settleMs" | "cause">
>;

type Ended = Answer & { readonly facts: Facts };

/** What a report says besides the request itself. */
type End = Omit<ExchangeReport, "method" | "path" | "durationMs">;

/** Serves one request from its first byte to its report. Rejects only on a defect of the gateway. */
export async function exchange(
  request: InboundRequest,
  client: Client,
  deps: FlowDeps,
): Promise<void> {
  const startedMs = deps.clock.monotonicMs();
  const ended = deps.observer.began();
  try {
    const end = await line(request, client, deps);
    deps.observer.finished({
      method: request.method,
      path: shownPath(request, deps),
      durationMs: deps.clock.monotonicMs() - startedMs,
      ...end,
    });
  } finally {
    ended();
  }
}

/** The path without the query; the route's pattern where the path names the key, which no log may show. */
function shownPath({ method, target }: InboundRequest, deps: FlowDeps): string {
  const [path] = splitTarget(target);
  const match = deps.findRoute(method, path);
  return match?.policy.key.source.from === "path" ? (match.pattern ?? path) : path;
}

async function line(request: InboundRequest, client: Client, deps: FlowDeps): Promise<End> {
  const admission = await admit(request, deps);
  const route = admission.policy?.route ?? "none";
  if (admission.kind === "gone") return { route, outcome: "client-gone", status: 0 };
  if (admission.kind === "pass") return { route, ...(await client.pass(admission.read)) };
  if (admission.kind === "read") {
    const { outcome, reply } = await readResource(admission.policy, request, deps);
    await client.send(reply);
    return { route, outcome, status: reply.status };
  }
  if (admission.policy.mode === "shadow" && isWhole(admission)) {
    return shadow(admission, client, deps);
  }
  const { outcome, reply, facts } = await serve(admission, request, deps);
  await client.send(reply);
  return { route, outcome, status: reply.status, ...facts };
}

/** A body that was read in part and will not come whole cannot be passed on, not even by a shadow. */
function isWhole(admission: Extract<Admission, { kind: "admitted" | "refused" }>): boolean {
  return admission.kind === "admitted" || admission.refusal.code !== "body-incomplete";
}

async function serve(
  admission: Extract<Admission, { kind: "admitted" | "refused" }>,
  request: InboundRequest,
  deps: FlowDeps,
): Promise<Ended> {
  const { policy } = admission;
  if (admission.kind === "refused") {
    const { refusal, named = {} } = admission;
    const { code, cause, ...extras } = refusal;
    return {
      ...problemAnswer(code, { policy, ...named }, extras),
      facts: {
        ...(named.id !== undefined && { recordId: named.id }),
        ...(cause !== undefined && { cause }),
      },
    };
  }
  const { admitted } = admission;
  const { keyed } = admitted;
  if (keyed === undefined) return execute(admitted, undefined, request, { policy }, {}, deps);

  const resends = unknownPolicy(policy, admitted.method) === "resend";
  const address = admitted.resource?.address;
  const about: About = { policy, id: keyed.id, keyField: keyed.keyField, resends, address };
  const claiming = deps.clock.monotonicMs();
  const claimed = await claim(admitted, keyed, request.gone, deps);
  const facts: Facts = {
    recordId: keyed.id,
    claimMs: deps.clock.monotonicMs() - claiming,
    ...("cause" in claimed && { cause: claimed.cause }),
  };
  if (claimed.kind === "granted") {
    const { owned } = claimed;
    const ended = await execute(admitted, owned, request, about, facts, deps);
    if (!OUTLIVED.has(ended.outcome)) owned.keyLock?.release();
    return ended;
  }
  if (claimed.kind === "unavailable" && policy.onStoreError === "bypass") {
    return bypass(admitted, request, about, facts, deps);
  }
  const stale =
    claimed.kind === "replay"
      ? await refuseStale(admitted, claimed.record, about, deps)
      : undefined;
  return { ...(stale ?? answerUngranted(claimed, about, deps)), facts };
}

/**
 * After these the key's lock ends with its lease: the upstream may still be at it, or the record does not say yet what
 * was executed, and a store that loses the claim meanwhile must not let a retry be sent.
 */
const OUTLIVED: ReadonlySet<Outcome> = new Set(["outcome-unknown", "not-recorded", "in-flight"]);

/** `owned` is `undefined` for a request without a key, whose resource alone is guarded. */
async function execute(
  admitted: Admitted,
  owned: Owned | undefined,
  request: InboundRequest,
  about: About,
  claimFacts: Facts,
  deps: FlowDeps,
): Promise<Ended> {
  const sending = deps.clock.monotonicMs();
  const guarded = await guard(admitted, owned, request.forwardHeaders, deps);
  const settling = deps.clock.monotonicMs();
  const facts: Facts = {
    ...claimFacts,
    ...(owned !== undefined && { fence: owned.fence }),
    upstreamMs: settling - sending,
  };
  if (guarded.kind === "refused") {
    if (owned !== undefined) await release(owned, deps);
    // Nothing was sent, whatever the refusal is called.
    owned?.keyLock?.release();
    return { ...answerRefused(guarded.refusal, about), facts };
  }
  if (owned === undefined) {
    return { ...answerKeyless(guarded, about), facts: { ...facts, ...causeOf(guarded.forwarded) } };
  }
  const settled = await settle(guarded.forwarded, owned, admitted.policy, deps);
  return {
    ...answerSettled(guarded, settled, about, deps),
    facts: {
      ...facts,
      ...causeOf(guarded.forwarded),
      settleMs: deps.clock.monotonicMs() - settling,
    },
  };
}

/** Sends without a claim, because the route prefers a possible duplicate to no service while the store is away. */
async function bypass(
  admitted: Admitted,
  request: InboundRequest,
  about: About,
  claimFacts: Facts,
  deps: FlowDeps,
): Promise<Ended> {
  const sending = deps.clock.monotonicMs();
  const nothing = { owned: undefined, lock: undefined };
  const forwarded = await forward(admitted, nothing, request.forwardHeaders, deps);
  const facts = {
    ...claimFacts,
    ...causeOf(forwarded),
    upstreamMs: deps.clock.monotonicMs() - sending,
  };
  // Nothing is recorded, so nothing keeps a retry from being sent.
  return { ...answerForwarded(forwarded, "bypassed", { ...about, resends: true }), facts };
}

function causeOf(forwarded: ForwardOutcome): Facts {
  return forwarded.kind === "not-sent" || forwarded.kind === "unknown"
    ? { cause: forwarded.cause }
    : {};
}
