/**
 * Reads on routes with preconditions: the upstream's answer with the entity tag that writes will be judged by, and 304
 * where the client has it already. Nothing is claimed, recorded or locked.
 */
import { computeEtag, etagOf, isNotModified } from "../core/conditional.ts";
import type { Policy } from "../core/policy.ts";
import type { InboundRequest, Reply } from "../core/ports.ts";
import { headersToTell } from "../core/recordable.ts";
import type { HeaderPair } from "../core/record.ts";
import { problemAnswer, type Answer } from "./answer.ts";
import type { FlowDeps } from "./deps.ts";

export async function readResource(
  policy: Policy,
  request: InboundRequest,
  { upstream, limits }: Pick<FlowDeps, "upstream" | "limits">,
): Promise<Answer> {
  const { target, forwardHeaders } = request;
  // Uncompressed, because a tag over compressed bytes would not be the one that a write is judged by; and whole (GET)
  // also for HEAD, because the tag is over the body.
  const headers: HeaderPair[] = [
    ...forwardHeaders.filter(([name]) => !/^accept-encoding$/i.test(name)),
    ["Accept-Encoding", "identity"],
  ];
  const read = await upstream.send(
    { method: "GET", target, headers, body: new Uint8Array() },
    { deadlineMs: limits.deadlineMs, responseBytes: policy.limits.responseBytes },
  );
  switch (read.kind) {
    case "not-sent":
      return failed(policy, read.status);
    case "unknown":
      return failed(policy, read.reason === "timeout" ? 504 : 502);
    case "streaming":
      return passed({ ...read, headers: headersToTell(read.headers), body: read.stream });
    case "answered":
      return passed(tagged(request, read.answer));
  }
}

function passed({ status, headers, body }: Reply): Answer {
  return { outcome: "passed", reply: { status, headers, body } };
}

function failed(policy: Policy, status: 502 | 504): Answer {
  const detail = "The upstream gave no answer. Send the request again.";
  return problemAnswer("upstream-unreachable", { policy }, { status, detail, retryAfterS: 1 });
}

function tagged(request: InboundRequest, answer: Reply & { readonly body: Uint8Array }): Reply {
  const headers = headersToTell(answer.headers);
  if (answer.status !== 200 || etagOf(answer.headers) !== undefined) return { ...answer, headers };
  const etag = computeEtag(answer.headers, answer.body);
  const withTag: HeaderPair[] = [...headers, ["ETag", etag]];
  if (!isNotModified(request.headers, etag)) return { ...answer, headers: withTag };
  // RFC 9110 §15.4.5: what describes the content stays out of a 304.
  const kept = withTag.filter(([name]) => !/^content-/i.test(name));
  return { status: 304, headers: kept, body: new Uint8Array() };
}
