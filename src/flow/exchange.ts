/**
 * The line: one request, one direction.
 *
 *     admit(route → key → body → fingerprint) → claim → forward → settle → answer
 *
 * Nothing is sent without a claim, nothing is told before it is settled, and nothing here knows a socket: a client
 * that hangs up changes nothing.
 */
import type { Client, ExchangeReport, ForwardOutcome, InboundRequest } from "../core/ports.ts";
import { originalOf } from "../core/problem.ts";
import { unknownPolicy } from "../core/route.ts";
import { retryAfterS } from "../core/recordable.ts";
import type { RecordSummary, StoredRecord } from "../core/record.ts";
import { admit, splitTarget, type Admission, type Admitted } from "./admit.ts";
import { problemAnswer, replayAnswer, upstreamAnswer, type About, type Answer } from "./answer.ts";
import { claim, type Claimed } from "./claim.ts";
import type { FlowDeps } from "./deps.ts";
import type { Owned } from "./later.ts";
import { forward } from "./forward.ts";
import { settle, type Settled } from "./settle.ts";
import { shadow } from "./shadow.ts";

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
    const { code, detail } = refusal;
    return {
      ...problemAnswer(code, { policy, ...named }, detail === undefined ? {} : { detail }),
      facts: named.id === undefined ? {} : { recordId: named.id },
    };
  }
  const { admitted } = admission;
  const { id, keyField } = admitted;
  const resends = unknownPolicy(policy, admitted.method) === "resend";
  const about: About = { policy, id, keyField, resends };

  const claiming = deps.clock.monotonicMs();
  const claimed = await claim(admitted, id, request.gone, deps);
  const facts = { recordId: id, claimMs: deps.clock.monotonicMs() - claiming };
  if (claimed.kind === "unavailable" && policy.onStoreError === "bypass") {
    return bypass(admitted, request, about, facts, deps);
  }
  if (claimed.kind !== "granted") {
    return { ...answerUngranted(claimed, about, deps), facts };
  }
  return execute(admitted, claimed.owned, request, about, facts, deps);
}

async function execute(
  admitted: Admitted,
  owned: Owned,
  request: InboundRequest,
  about: About,
  claimFacts: Facts,
  deps: FlowDeps,
): Promise<Ended> {
  const sending = deps.clock.monotonicMs();
  const forwarded = await forward(admitted, owned, request.forwardHeaders, deps);
  const settling = deps.clock.monotonicMs();
  const settled = await settle(forwarded, owned, admitted.policy, deps);
  const facts: Facts = {
    ...claimFacts,
    ...causeOf(forwarded),
    fence: owned.fence,
    upstreamMs: settling - sending,
    settleMs: deps.clock.monotonicMs() - settling,
  };
  return { ...answerSettled(forwarded, settled, about, deps), facts };
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
  const forwarded = await forward(admitted, undefined, request.forwardHeaders, deps);
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

/** The caller that executed is told what the record now says; see design table "Alive, but in trouble". */
function answerSettled(
  forwarded: ForwardOutcome,
  settled: Settled,
  about: About,
  deps: FlowDeps,
): Answer {
  switch (settled.kind) {
    case "recorded":
      return answerForwarded(forwarded, "executed", about, settled.expiresAtMs);
    case "not-recorded":
      return answerForwarded(forwarded, "not-recorded", about);
    case "released":
      return answerForwarded(forwarded, "released", about);
    case "unknown":
      return answerForwarded(forwarded, "outcome-unknown", about);
    case "lost":
      // Somebody else owns the record now: whatever it says is what every caller gets. Only where an operator has
      // forgotten it is there nothing that this answer could contradict.
      return settled.record === undefined
        ? answerForwarded(forwarded, "not-recorded", about)
        : dropping(forwarded, answerRecord(settled.record, about, deps));
    case "lost-unreadable":
      return dropping(forwarded, problemAnswer("outcome-unknown", about, { status: 502 }));
  }
}

/** The upstream's answer where there is one; what is missing where there is none. */
function answerForwarded(
  forwarded: ForwardOutcome,
  outcome: Answer["outcome"],
  about: About,
  expiresAtMs?: number,
): Answer {
  switch (forwarded.kind) {
    case "not-sent":
      return problemAnswer("upstream-unreachable", about, {
        status: about.policy.status["upstream-unreachable"] ?? forwarded.status,
        retryAfterS: 1,
      });
    case "unknown":
      return problemAnswer("outcome-unknown", about, {
        status: forwarded.reason === "timeout" ? 504 : 502,
      });
    case "answered":
      return upstreamAnswer(outcome, forwarded.answer, about, expiresAtMs);
    case "streaming": {
      const { status, headers, stream: body } = forwarded;
      return upstreamAnswer(outcome, { status, headers, body }, about, expiresAtMs);
    }
  }
}

/** The reply replaces the upstream's answer; a body that is still coming is let go. */
function dropping(forwarded: ForwardOutcome, answer: Answer): Answer {
  if (forwarded.kind === "streaming") forwarded.stream.cancel();
  return answer;
}

function answerUngranted(
  claimed: Exclude<Claimed, { kind: "granted" }>,
  about: About,
  deps: FlowDeps,
): Answer {
  switch (claimed.kind) {
    case "replay":
    case "unknown":
      return answerRecord(claimed.record, about, deps);
    case "busy":
      return busyAnswer(claimed, about, deps);
    case "mismatch":
      return mismatchAnswer(claimed.record, about);
    case "unavailable":
      return problemAnswer("store-unavailable", about, { retryAfterS: 1 });
    case "corrupt":
      return problemAnswer("record-corrupt", about);
  }
}

function mismatchAnswer(record: RecordSummary, about: About): Answer {
  return problemAnswer("key-reused", about, {
    original: originalOf(record),
    // While the first request runs, nobody knows yet when the key will be free.
    ...(record.state !== "in-flight" && { expiresAtMs: record.expiresAtMs }),
  });
}

function answerRecord(record: StoredRecord, about: About, deps: FlowDeps): Answer {
  switch (record.state) {
    case "completed":
      return replayAnswer(record, about);
    case "unknown":
      return problemAnswer("outcome-unknown", about, { expiresAtMs: record.expiresAtMs });
    case "in-flight":
      return busyAnswer({ record, nowMs: record.leaseUntilMs - deps.limits.leaseMs }, about, deps);
  }
}

function busyAnswer(
  busy: Pick<Extract<Claimed, { kind: "busy" }>, "record" | "nowMs">,
  about: About,
  deps: FlowDeps,
): Answer {
  const { record, nowMs } = busy;
  const leaseLeftMs = record.leaseUntilMs - nowMs;
  const usualMs = deps.latency.usualMs(record.route);
  return problemAnswer("in-flight", about, {
    original: originalOf(record),
    retryAfterS: retryAfterS(usualMs, deps.limits.leaseMs - leaseLeftMs, leaseLeftMs),
  });
}
