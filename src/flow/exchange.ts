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
import type { StoredRecord } from "../core/record.ts";
import { unknownPolicy } from "../core/route.ts";
import { executedIn, type ExchangeTrace } from "../core/trace.ts";
import { admit, splitTarget, type Admission, type Admitted } from "./admit.ts";
import { problemAnswer, type About, type Answer } from "./answer.ts";
import { claim } from "./claim.ts";
import type { FlowDeps } from "./deps.ts";
import { passKeyless } from "./duplicates.ts";
import { type Facts, newFacts } from "./facts.ts";
import { forward } from "./forward.ts";
import { guard } from "./guard.ts";
import type { Owned } from "./later.ts";
import { leftBehindIn } from "./left-behind.ts";
import { readResource } from "./read.ts";
import { claimAfterProbe, questionOf } from "./retry.ts";
import { release, settle, type Settled } from "./settle.ts";
import { passRefused, watch } from "./shadow.ts";
import { refuseStale } from "./stale.ts";
import {
  answerForwarded,
  answerKeyless,
  answerRefused,
  answerSettled,
  answerUngranted,
} from "./tell.ts";

/** How it ended. */
type End = Pick<ExchangeReport, "route" | "outcome" | "status" | "wouldBe">;

/** Serves one request from its first byte to its report. Rejects only on a defect of the gateway. */
export async function exchange(
  request: InboundRequest,
  client: Client,
  deps: FlowDeps,
): Promise<void> {
  const startedMs = deps.clock.monotonicMs();
  const ended = deps.observer.began();
  try {
    const facts = newFacts();
    const { route, outcome, status, wouldBe } = await line(request, client, facts, deps);
    deps.observer.finished({
      route,
      method: request.method,
      path: shownPath(request, deps),
      outcome,
      wouldBe,
      keylessId: facts.sight?.keylessId,
      repeats: facts.sight?.repeats,
      repeatedAfterMs: facts.sight?.repeatedAfterMs,
      status,
      recordId: facts.recordId,
      recorded: facts.recorded,
      fence: facts.fence,
      durationMs: (facts.endedMs ?? deps.clock.monotonicMs()) - startedMs,
      claimMs: facts.claimMs,
      upstreamMs: facts.upstreamMs,
      settleMs: facts.settleMs,
      cause: facts.cause,
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

async function line(
  request: InboundRequest,
  client: Client,
  facts: Facts,
  deps: FlowDeps,
): Promise<End> {
  const admission = await admit(request, deps);
  const route = admission.policy?.route ?? "none";
  if (admission.kind === "gone") return { route, outcome: "client-gone", status: 0 };
  if (admission.kind === "watch") return watch(admission, request, client, facts, deps);
  if (admission.kind === "pass") {
    const { outcome, status } = await passKeyless(admission, request, client, facts, deps);
    return { route, outcome, status };
  }
  if (admission.kind === "read") {
    const { outcome, reply } = await readResource(admission.policy, request, deps);
    await client.send(reply);
    return { route, outcome, status: reply.status };
  }
  if (admission.kind === "refused" && admission.policy.mode === "shadow") {
    return passRefused(admission, client);
  }
  const { outcome, reply } = await serve(admission, request, facts, deps);
  await client.send(reply);
  return { route, outcome, status: reply.status };
}

async function serve(
  admission: Extract<Admission, { kind: "admitted" | "refused" }>,
  request: InboundRequest,
  facts: Facts,
  deps: FlowDeps,
): Promise<Answer> {
  const { policy } = admission;
  if (admission.kind === "refused") {
    const { refusal, named = {} } = admission;
    const { code, cause, ...extras } = refusal;
    facts.recordId = named.id;
    facts.cause = cause;
    return problemAnswer(code, { policy, ...named }, extras);
  }
  const { admitted } = admission;
  const { keyed } = admitted;
  if (keyed === undefined) return execute(admitted, undefined, request, { policy }, facts, deps);

  const probes = policy.probe !== undefined;
  const resends = unknownPolicy(policy, admitted.method) === "resend";
  const address = admitted.resource?.address;
  const { id, keyField } = keyed;
  const about: About = { policy, id, keyField, resends, probes, address };
  facts.recordId = keyed.id;
  const claiming = deps.clock.monotonicMs();
  const claimStep = deps.trace?.step("claim");
  const met = await claim(admitted, keyed, request, deps);
  claimStep?.end({ result: met.kind });
  facts.claimMs = deps.clock.monotonicMs() - claiming;
  const leftBehind = leftBehindIn(met);
  if (leftBehind !== undefined) deps.observer.leftBehind(leftBehind);
  const asks = probes && met.kind === "unknown";
  const claimed = asks ? await claimAfterProbe(met, admitted, keyed, request, deps) : met;
  if (claimed.kind === "replay") linkTo(claimed.record, deps.trace);
  if ("cause" in claimed) facts.cause = claimed.cause;
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
  return stale ?? answerUngranted(claimed, about, deps);
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
  facts: Facts,
  deps: FlowDeps,
): Promise<Answer> {
  facts.fence = owned?.fence;
  const sending = deps.clock.monotonicMs();
  const guarded = await guard(admitted, owned, request.forwardHeaders, deps);
  const settling = deps.clock.monotonicMs();
  facts.upstreamMs = settling - sending;
  if (guarded.kind === "refused") {
    if (owned !== undefined) {
      const settleStep = deps.trace?.step("settle");
      await release(owned, deps);
      settleStep?.end({ result: "released" });
    }
    // Nothing was sent, whatever the refusal is called.
    owned?.keyLock?.release();
    return answerRefused(guarded.refusal, about);
  }
  facts.cause = causeOf(guarded.forwarded);
  if (owned === undefined) return answerKeyless(guarded, about);
  const settleStep = deps.trace?.step("settle");
  const settled = await settle(guarded, owned, admitted.policy, deps);
  settleStep?.end({ result: settled.kind });
  facts.recorded = settled.kind === "recorded";
  if (settled.kind === "lost") linkTo(settled.record, deps.trace);
  if (UNSETTLED.has(settled.kind)) watchFor(admitted, owned, deps);
  facts.settleMs = deps.clock.monotonicMs() - settling;
  return answerSettled(guarded, settled, about, deps);
}

/** The outcome is unknown, or will be where the store stays away. */
const UNSETTLED: ReadonlySet<Settled["kind"]> = new Set(["unknown", "not-recorded"]);

function watchFor(admitted: Admitted, { token }: Owned, { prober }: FlowDeps): void {
  const { policy, keyed } = admitted;
  if (policy.probe === undefined || keyed === undefined) return;
  prober.watch(questionOf(admitted, keyed), token);
}

/** A replay belongs to the caller's trace, and what it tells to that of the execution. */
function linkTo(record: StoredRecord | undefined, trace: ExchangeTrace | undefined): void {
  if (trace === undefined) return;
  const executed = executedIn(record);
  if (executed !== undefined) trace.link(executed);
}

/** Sends without a claim, because the route prefers a possible duplicate to no service while the store is away. */
async function bypass(
  admitted: Admitted,
  request: InboundRequest,
  about: About,
  facts: Facts,
  deps: FlowDeps,
): Promise<Answer> {
  const sending = deps.clock.monotonicMs();
  const nothing = { owned: undefined, lock: undefined };
  const forwarded = await forward(admitted, nothing, request.forwardHeaders, deps);
  facts.upstreamMs = deps.clock.monotonicMs() - sending;
  facts.cause = causeOf(forwarded);
  // Nothing is recorded, so nothing keeps a retry from being sent.
  return answerForwarded(forwarded, "bypassed", { ...about, resends: true });
}

function causeOf(forwarded: ForwardOutcome): string | undefined {
  return forwarded.kind === "not-sent" || forwarded.kind === "unknown"
    ? forwarded.cause
    : undefined;
}
