/**
 * Every refusal as `application/problem+json` (RFC 9457). One table says what each code means and what to do next;
 * which status it gets is the profile's business (`profile.ts`). Nothing that a caller sent is quoted here, except to
 * the caller of the same scope the method, target and time of its own earlier request.
 */
import { fieldOf } from "./fields.ts";
import type { ProblemCode } from "./outcome.ts";
import type { HeaderPair, RecordSummary, StoredRecord } from "./record.ts";

const TEXTS: Readonly<Record<ProblemCode, { title: string; detail: string }>> = {
  "key-missing": {
    title: "An idempotency key is required",
    detail:
      "This request must carry an idempotency key. Send a fresh, unique key with each new operation, and the same key with each retry of it.",
  },
  "key-invalid": {
    title: "The idempotency key is not valid",
    detail:
      'Send one key of 1 to 255 visible ASCII characters, either bare or as a quoted string ("…"), without parameters.',
  },
  "key-reused": {
    title: "The idempotency key belongs to another request",
    detail:
      "This key was first used with a different method, target or body. Send the original request again to get its answer, or use a new key for a new operation. Do not retry this request as it is.",
  },
  "in-flight": {
    title: "The first request with this key is still in flight",
    detail: "Send the same request again after the time in Retry-After to get its answer.",
  },
  "outcome-unknown": {
    title: "Nobody knows whether the request was executed",
    detail:
      "The request was sent to the upstream and its answer was lost. It will not be sent again under this key. Find out from the upstream what happened before you use a new key, or ask an operator to resolve the record named by `instance`.",
  },
  "not-replayable": {
    title: "The request was executed, but its answer was not kept",
    detail:
      "The request was executed once; do not send it under another key. Read the result from the upstream; `original` says what is known of the answer.",
  },
  conflict: {
    title: "The request collides with what has been done already",
    detail:
      "This operation was executed once, by an earlier request with the same key. `original` says how it ended.",
  },
  stale: {
    title: "The resource has been changed since",
    detail:
      "This operation was executed once, and what it made or changed has been changed by another request since. Read the resource to see how it stands.",
  },
  "precondition-required": {
    title: "The request must be conditional",
    detail:
      "Read the resource first and send its ETag in If-Match, or send If-None-Match: * to create it.",
  },
  "precondition-failed": {
    title: "The resource is not as the request expects",
    detail:
      "Nothing was sent to the upstream. Read the resource again, decide anew, and send the request with the current ETag.",
  },
  "resource-locked": {
    title: "Another request is changing the resource",
    detail:
      "Nothing was sent to the upstream. Send the same request again after the time in Retry-After.",
  },
  "resource-unnamed": {
    title: "The request does not say which resource it changes",
    detail: "Send the fields that name the resource.",
  },
  gone: {
    title: "The resource was deleted",
    detail:
      "Nothing was sent to the upstream. A PUT does not bring back what was deleted; create anew with POST.",
  },
  "not-found": {
    title: "There is no such resource to change",
    detail:
      "Nothing was sent to the upstream. On this route PUT changes what exists and creates nothing.",
  },
  "body-too-large": {
    title: "The request body is too large",
    detail:
      "Requests with an idempotency key are read whole before they are sent. Send a smaller body.",
  },
  "body-invalid": {
    title: "The request body cannot be compared",
    detail:
      "This route compares JSON bodies by meaning. Send well-formed JSON without duplicate member names.",
  },
  "body-incomplete": {
    title: "The request body did not arrive in time",
    detail: "Nothing was sent to the upstream. Send the request again.",
  },
  "store-unavailable": {
    title: "The idempotency store cannot be reached",
    detail:
      "The request was not sent to the upstream, because the gateway could not make sure that it runs at most once. Send it again with the same key after the time in Retry-After.",
  },
  "record-corrupt": {
    title: "The record of this key cannot be trusted",
    detail:
      "The stored record is damaged or belongs to another key. Nothing was sent and nothing is replayed. Ask an operator to look at the record named by `instance`.",
  },
  "upstream-unreachable": {
    title: "The upstream cannot be reached",
    detail:
      "Nothing was sent to the upstream, and the key is free. Send the request again with the same key.",
  },
  "credentials-invalid": {
    title: "The request does not say who it is from",
    detail:
      "Nothing was sent to the upstream. Send a valid bearer token in Authorization; a renewed token of the same caller finds its earlier requests again.",
  },
  "quota-exceeded": {
    title: "Too many idempotency keys of this caller",
    detail:
      "Nothing was sent to the upstream, and the key is not used. Send the same request again with the same key after the time in Retry-After.",
  },
  "replay-denied": {
    title: "This caller may not be told the answer",
    detail:
      "The key has been used, and nothing is sent to the upstream again. Whoever decides about this caller's rights has refused to have it told what became of it.",
  },
  "access-unchecked": {
    title: "It cannot be checked right now who may have this",
    detail:
      "Nothing was sent to the upstream and nothing is told of earlier requests. Send the request again with the same key after the time in Retry-After.",
  },
  "request-invalid": {
    title: "The request is not acceptable",
    detail: "Correct the request and send it again.",
  },
  "internal-error": {
    title: "The gateway failed",
    detail: "Send the request again with the same key.",
  },
};

/** What a refused request collided with: enough to recognise it, nothing of the stored payload. */
export interface Original {
  readonly method: string;
  /** The path alone. A query may carry secrets, and callers without credentials share one scope. */
  readonly target: string;
  /** When its key was first claimed, RFC 3339. */
  readonly createdAt: string;
  /** Of a completed one: the recorded status and `Location`. */
  readonly status?: number;
  readonly location?: string;
}

export function originalOf(record: RecordSummary | StoredRecord): Original {
  const original: Original = {
    method: record.method,
    target: pathOnly(record.target),
    createdAt: new Date(record.createdAtMs).toISOString(),
  };
  if (record.state !== "completed" || record.response === undefined) return original;
  const { status, headers } = record.response;
  const location = fieldOf(headers, "location");
  return location === undefined ? { ...original, status } : { ...original, status, location };
}

/** A target without its query, which may carry what only its sender should know. */
export function pathOnly(target: string): string {
  return target.split("?", 1)[0] ?? "";
}

export interface Problem {
  readonly code: ProblemCode;
  readonly status: number;
  /** Says more than the table's text; must not quote keys, bodies or credentials. */
  readonly detail?: string;
  readonly recordId?: string;
  readonly original?: Original;
  readonly docsUrl?: string | undefined;
}

export interface RenderedProblem {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array;
}

const UTF8 = new TextEncoder();

/** RFC 9457 §3; `Link` with `rel="describedby"` where the route names its documentation. */
export function renderProblem(problem: Problem): RenderedProblem {
  const text = TEXTS[problem.code];
  const document = {
    type: `urn:idempotency-gateway:problem:${problem.code}`,
    title: text.title,
    status: problem.status,
    detail: problem.detail ?? text.detail,
    code: problem.code,
    ...(problem.recordId !== undefined && {
      instance: `urn:idempotency-gateway:record:${problem.recordId}`,
    }),
    ...(problem.original !== undefined && { original: problem.original }),
  };
  const headers: HeaderPair[] = [["Content-Type", "application/problem+json"]];
  if (problem.docsUrl !== undefined) {
    headers.push(["Link", `<${problem.docsUrl}>; rel="describedby"`]);
  }
  return {
    status: problem.status,
    headers,
    body: UTF8.encode(`${JSON.stringify(document)}\n`),
  };
}
