/**
 * The first step of the line: route → key → caller → body → fingerprint. Reads the whole body, bounded, before anything is
 * claimed, so that a slow uploader holds no key. Decides who passes, who is refused and who goes on; writes nothing.
 */
import type { Access } from "../core/access-ports.ts";
import { fingerprintOf } from "../core/fingerprint.ts";
import {
  keyFromBody,
  keyFromHeader,
  keyFromPath,
  keyFromQuery,
  recordId,
  type KeyRead,
} from "../core/key.ts";
import type { Policy } from "../core/policy.ts";
import type { BodyRead, InboundRequest } from "../core/ports.ts";
import { JsonRefused, type JsonValue, type ReadJson } from "../core/json-ports.ts";
import type { HeaderPair } from "../core/record.ts";
import { nameResource, type NamedResource, type ResourceName } from "../core/resource-name.ts";
import type { Refusal } from "./answer.ts";
import { scopeFor } from "./caller.ts";
import { isRead, type FindReads, type FindRoute, type RouteMatch } from "../core/route.ts";
import { parse } from "./meaning.ts";

export interface AdmitDeps {
  readonly findRoute: FindRoute;
  readonly findReads: FindReads;
  readonly readJson: ReadJson;
  readonly access?: Access | undefined;
}

/** A request that is guarded: it may be claimed, or it changes a resource, or both. */
export interface Admitted {
  readonly policy: Policy;
  readonly method: string;
  readonly target: string;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array;
  /** Who the caller is, as a digest. */
  readonly scope: string;
  /** The parsed body where the route needs its meaning. */
  readonly json: JsonValue | undefined;
  /** `undefined` where the request has no key and needs none, because its route guards a resource. */
  readonly keyed: Keyed | undefined;
  readonly resource: NamedResource | undefined;
}

export interface Keyed {
  readonly id: string;
  readonly key: string;
  readonly fingerprint: string;
  /** The key's header field as received, to be told back; `undefined` where the key is not from a header. */
  readonly keyField: string | undefined;
}

/** Which record a request is about; nothing where its key is missing, invalid or in a body that was not read. */
type Named = Partial<Pick<Keyed, "id" | "keyField">>;

/** `read`: what was taken of the body, for the tunnel to send before the rest. */
export type Admission =
  | { readonly kind: "admitted"; readonly policy: Policy; readonly admitted: Admitted }
  | { readonly kind: "pass"; readonly policy: Policy | undefined; readonly read?: Uint8Array }
  /** Passed on at once, whatever `judge` makes of the body that has gone by. It never asks to watch again. */
  | {
      readonly kind: "watch";
      readonly policy: Policy;
      readonly judge: (body: BodyRead) => Judged | Promise<Judged>;
    }
  /** A read of a resource whose writes are conditional: it gets the tag that they are judged by. */
  | { readonly kind: "read"; readonly policy: Policy }
  | {
      readonly kind: "refused";
      readonly policy: Policy;
      readonly refusal: Refusal;
      readonly named?: Named;
      readonly read?: Uint8Array;
    }
  | { readonly kind: "gone"; readonly policy: Policy };

/** Never asks to watch. */
type Judged = Exclude<Admission, { kind: "watch" }>;

export async function admit(request: InboundRequest, deps: AdmitDeps): Promise<Admission> {
  const [path, query] = splitTarget(request.target);
  const match = deps.findRoute(request.method, path);
  const reads = isRead(request.method) ? deps.findReads(path) : undefined;
  if (reads !== undefined && reads.mode === "enforce") return { kind: "read", policy: reads };
  if (match === undefined || match.policy.mode === "off") {
    return { kind: "pass", policy: match?.policy };
  }
  const { policy } = match;
  const early = keyBeforeBody(request, match, query);
  const optional = early?.kind === "absent" && !policy.key.required;
  if (optional && policy.resource === undefined) {
    if (!policy.duplicates.report) return { kind: "pass", policy };
    return { kind: "watch", policy, judge: (body) => judgeKeyless(policy, body) };
  }
  if (early !== undefined && early.kind !== "key" && !optional) return refuseKey(policy, early);
  const begun = { request, match, early };
  if (policy.mode === "shadow") {
    // Who the caller is may be asked elsewhere, and nothing that is passed on waits for that.
    const judge = async (body: BodyRead): Promise<Judged> =>
      judgeBody(begun, await scopeFor(request, policy, deps.access), body, deps.readJson);
    return { kind: "watch", policy, judge };
  }
  // Before the body, so that nobody's is read for a caller that is turned away.
  const scope = await scopeFor(request, policy, deps.access);
  if (typeof scope !== "string") return { kind: "refused", policy, refusal: scope };
  const body = await request.readBody(policy.limits.requestBytes);
  return judgeBody(begun, scope, body, deps.readJson);
}

/** `read` only where it is the whole body. */
function judgeKeyless(policy: Policy, body: BodyRead): Extract<Admission, { kind: "pass" }> {
  return { kind: "pass", policy, ...(body.kind === "body" && { read: body.bytes }) };
}

/** What is known of a request before its body. */
interface Begun {
  readonly request: InboundRequest;
  readonly match: RouteMatch;
  /** `undefined`: the key is in the body. */
  readonly early: KeyRead | undefined;
}

function judgeBody(
  begun: Begun,
  scope: string | Refusal,
  body: BodyRead,
  readJson: ReadJson,
): Judged {
  const { request, match, early } = begun;
  const { policy } = match;
  if (typeof scope !== "string") return { kind: "refused", policy, refusal: scope };
  const named = early?.kind === "key" ? nameOf(request, policy, scope, early.key) : {};
  switch (body.kind) {
    case "body":
      return admitBody({ request, match, early, scope, named }, body.bytes, readJson);
    case "too-large":
      return { kind: "refused", policy, refusal: tooLarge(policy), named, read: body.read };
    case "incomplete":
      if (body.cause === "gone") return { kind: "gone", policy };
      return { kind: "refused", policy, refusal: { code: "body-incomplete" }, named };
  }
}

/** The same, with who has sent it and which record it names. */
type Scoped = Begun & { readonly scope: string; readonly named: Named };

function admitBody(begun: Scoped, body: Uint8Array, readJson: ReadJson): Judged {
  const { request, match, early, scope, named } = begun;
  const { policy } = match;
  try {
    const json = parse(request, body, policy, readJson);
    const key = early ?? keyInBody(json, policy);
    const optional = key.kind === "absent" && !policy.key.required;
    if (optional && policy.resource === undefined) return { kind: "pass", policy, read: body };
    if (key.kind !== "key" && !optional) return { ...refuseKey(policy, key), read: body };
    const keyed = key.kind === "key" ? keyedOf(begun, key.key, body, json) : undefined;
    const resource = resourceOf(request, match, json);
    if (resource?.kind === "unnamed") {
      const { detail } = resource;
      return { kind: "refused", policy, refusal: { code: "resource-unnamed", detail }, read: body };
    }
    const { method, target, headers } = request;
    const admitted = { policy, method, target, headers, body, scope, json, keyed, resource };
    return { kind: "admitted", policy, admitted };
  } catch (error) {
    if (!(error instanceof JsonRefused)) throw error;
    const detail = `The body is not acceptable JSON: ${error.message}. Send well-formed JSON without duplicate member names.`;
    return {
      kind: "refused",
      policy,
      refusal: { code: "body-invalid", detail },
      named,
      read: body,
    };
  }
}

function keyedOf(
  { request, match: { policy }, scope }: Scoped,
  key: string,
  body: Uint8Array,
  json: JsonValue | undefined,
): Keyed {
  const { method, target, headers } = request;
  const compared = policy.fingerprint.body === "json" ? json : undefined;
  return {
    key,
    ...nameOf(request, policy, scope, key),
    fingerprint: fingerprintOf(
      { method, target, headers, body, json: compared },
      policy.fingerprint,
    ),
  };
}

function resourceOf(
  request: InboundRequest,
  { policy, parameters }: RouteMatch,
  json: JsonValue | undefined,
): ResourceName | undefined {
  if (policy.resource === undefined) return undefined;
  const [path, query] = splitTarget(request.target);
  const { method } = request;
  return nameResource(policy.resource.id, { method, path, query, parameters, json });
}

function nameOf(
  request: InboundRequest,
  policy: Policy,
  scope: string,
  key: string,
): Required<Named> {
  return {
    id: recordId(scope, policy.key.source, policy.route, key),
    keyField: keyField(request, policy),
  };
}

/** `undefined`: the key is in the body, which has not been read yet. */
function keyBeforeBody(
  request: InboundRequest,
  match: RouteMatch,
  query: string,
): KeyRead | undefined {
  const { source, format } = match.policy.key;
  switch (source.from) {
    case "header":
      return keyFromHeader(request.headers, source.name, format);
    case "query":
      return keyFromQuery(query, source.name, format);
    case "path":
      return keyFromPath(match.parameters, source.name, format);
    case "body":
      return undefined;
  }
}

function keyInBody(json: JsonValue | undefined, policy: Policy): KeyRead {
  const { source, format } = policy.key;
  if (source.from !== "body" || json === undefined) return { kind: "absent" };
  return keyFromBody(json, source.pointers, format);
}

function refuseKey(
  policy: Policy,
  key: Exclude<KeyRead, { kind: "key" }>,
): Extract<Admission, { kind: "refused" }> {
  if (key.kind === "absent") {
    return { kind: "refused", policy, refusal: { code: "key-missing", detail: missing(policy) } };
  }
  return { kind: "refused", policy, refusal: { code: "key-invalid", detail: key.detail } };
}

function missing(policy: Policy): string {
  const { source } = policy.key;
  const advice =
    "Use a fresh, unique key for each new operation, and the same key for each retry of it.";
  switch (source.from) {
    case "header":
      return `This request must carry the header ${source.name}. ${advice}`;
    case "query":
      return `This request must carry the query parameter ${source.name}. ${advice}`;
    case "path":
      return `The path of this request must name :${source.name}.`;
    case "body":
      return `This request must carry a JSON body with ${source.pointers.join(", ")}, which together are its key.`;
  }
}

function tooLarge(policy: Policy): Refusal {
  const limit = policy.limits.requestBytes;
  const detail = `Requests with an idempotency key are read whole before they are sent, and this route reads at most ${limit} bytes. Send a smaller body.`;
  return { code: "body-too-large", detail };
}

function keyField(request: InboundRequest, policy: Policy): string | undefined {
  const { source } = policy.key;
  if (source.from !== "header") return undefined;
  const wanted = source.name.toLowerCase();
  return request.headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
}

export function splitTarget(target: string): [path: string, query: string] {
  const at = target.indexOf("?");
  return at === -1 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}
