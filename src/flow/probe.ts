/**
 * One question to the upstream about one unknown outcome: look at the record, ask, and write down what is known then. When
 * it is asked, and how often, is `prober.ts`; what an answer means is `core/probe.ts`.
 */
import { isNamed } from "../core/fields.ts";
import type { Policy, ProbePolicy } from "../core/policy.ts";
import { RecordCorrupt, StoreUnavailable, type NewToken, type Upstream } from "../core/ports.ts";
import { probeTarget, verdictOnProbe, type Verdict } from "../core/probe.ts";
import type { Finding, ProbeResult, ProbeStore } from "../core/probe-ports.ts";
import type { HeaderPair, UnknownRecord } from "../core/record.ts";

/** Which operation a question is about. */
export interface Question {
  readonly id: string;
  readonly key: string;
  /** By which its route is found; without a query. */
  readonly method: string;
  readonly path: string;
  /** The site that it was for, where several share an upstream. */
  readonly host?: string | undefined;
}

/** `attempt` is the one that is unknown now. `result`: nothing where the upstream was not asked. */
export type Asked =
  /** The store knows more by now. */
  | { readonly kind: "settled"; readonly result?: ProbeResult }
  | {
      readonly kind: "kept";
      readonly attempt: string;
      readonly result?: ProbeResult;
      readonly cause?: string;
      /** When what was said now would count. */
      readonly countsInMs?: number;
    };

export interface Asking {
  readonly policy: Policy;
  readonly probe: ProbePolicy;
  readonly upstream: Upstream;
  readonly store: ProbeStore;
  readonly newToken: NewToken;
}

/** `headers` are those of the retry that asks; none without one. Never rejects for the store's sake. */
export async function probeOnce(
  question: Question,
  attempt: string,
  headers: readonly HeaderPair[],
  asking: Asking,
): Promise<Asked> {
  try {
    // DANGER: before the upstream is asked, so that what it says is not older than the age that it is held against.
    const found = await asking.store.look(question.id);
    const record = found?.record;
    if (found === undefined || record === undefined) return { kind: "settled" };
    if (record.state === "unknown") {
      const verdict = await ask(question, record, found.nowMs, headers, asking);
      return await act(question, record, verdict, asking);
    }
    // Not marked as unknown yet; or it is somebody else's, who will ask about it.
    const waits = record.state === "in-flight" && record.token === attempt;
    return waits ? { kind: "kept", attempt } : { kind: "settled" };
  } catch (error) {
    // An alarm of its own, and nothing that could be settled.
    if (error instanceof RecordCorrupt) return { kind: "settled" };
    if (!(error instanceof StoreUnavailable)) throw error;
    return { kind: "kept", attempt, result: "failed", cause: error.code };
  }
}

async function ask(
  { key, host }: Question,
  record: UnknownRecord,
  nowMs: number,
  headers: readonly HeaderPair[],
  { policy, probe: { path, timeoutMs, releaseAfterMs, ...fields }, upstream }: Asking,
): Promise<Verdict> {
  const target = probeTarget(path, key);
  if (target === undefined) return { kind: "kept", cause: "key-unfit-for-path" };
  const sent = [...siteFields(fields, host), ...probeFields(policy, fields, headers)];
  const outcome = await upstream.send(
    { method: "GET", target, headers: sent, body: new Uint8Array() },
    { deadlineMs: timeoutMs, responseBytes: policy.limits.responseBytes },
  );
  if (outcome.kind === "streaming") outcome.stream.cancel();
  return verdictOnProbe(outcome, record, nowMs, releaseAfterMs, policy);
}

async function act(
  { id }: Question,
  { token: attempt }: UnknownRecord,
  verdict: Verdict,
  { policy, store, newToken }: Asking,
): Promise<Asked> {
  if (verdict.kind === "kept" || verdict.kind === "failed") {
    const { kind: result, ...why } = verdict;
    return { kind: "kept", attempt, result, ...why };
  }
  const finding: Finding =
    verdict.kind === "executed"
      ? { ...verdict, by: "probe", retentionMs: policy.retention.completedMs, token: newToken() }
      : verdict;
  const answer = await store.settleUnknown(id, attempt, finding);
  return { kind: "settled", result: answer === "done" ? verdict.kind : "overtaken" };
}

/**
 * DANGER: another site's 404 says nothing of this operation. Where the configuration sends something of its own, a caller
 * must not choose who gets it: the Host is then its own, or that of `upstream.url`.
 */
function siteFields(
  { headers }: Pick<ProbePolicy, "headers">,
  host: string | undefined,
): readonly HeaderPair[] {
  return host === undefined || headers.length > 0 ? [] : [["Host", host]];
}

/**
 * Of a caller nothing but what names it, which a Host never does; what the configuration brings stands over that. Not
 * compressed, for all to read.
 */
function probeFields(
  { scopeHeaders }: Policy,
  probe: Pick<ProbePolicy, "as" | "headers">,
  headers: readonly HeaderPair[],
): readonly HeaderPair[] {
  const callers = probe.as === "caller" ? headers : [];
  const own = probe.headers.map(({ name, value }): HeaderPair => [name, value]);
  const isOwn = (field: string): boolean => own.some(([name]) => isNamed(name, field));
  const named = callers.filter(([name]) => {
    const field = name.toLowerCase();
    return scopeHeaders.includes(field) && !isOwn(field);
  });
  return isOwn("accept-encoding")
    ? [...named, ...own]
    : [...named, ...own, ["Accept-Encoding", "identity"]];
}
