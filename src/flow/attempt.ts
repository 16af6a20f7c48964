/**
 * One write to one resource, as the guard and what comes after it see it: the request with its rules, and who is said
 * to have made it. Nothing is read or written here.
 */
import { contentOf, isJson, mediaType } from "../core/fingerprint.ts";
import type { ResourcePolicy } from "../core/policy.ts";
import { JsonRefused, type JsonValue, type ReadJson } from "../core/json-ports.ts";
import { pathOnly } from "../core/problem.ts";
import type { ResourceWrite, Writer } from "../core/resource.ts";
import type { NamedResource } from "../core/resource-name.ts";
import type { Admitted } from "./admit.ts";
import type { FlowDeps } from "./deps.ts";
import type { Owned } from "./later.ts";

/** A request whose resource is known, and what its route says about it. */
export type Guarding = Admitted & {
  readonly resource: NamedResource;
  readonly rules: ResourcePolicy;
};

export type Attempt = ResourceWrite & { readonly writer: Writer };

/** `nowMs` is the store's clock. */
export function attemptOf(
  guarding: Guarding,
  owned: Owned | undefined,
  nowMs: number,
  { newToken, readJson }: Pick<FlowDeps, "newToken" | "readJson">,
): Attempt {
  const { method, target, headers, body, keyed, scope, resource } = guarding;
  const record = owned?.id ?? newToken();
  const createdAt = new Date(nowMs).toISOString();
  return {
    method,
    headers,
    record,
    scope,
    content: contentOf(headers, body, meaningOf(guarding, readJson)),
    address: resource.address,
    writer: {
      record,
      keyed: keyed !== undefined,
      original: { method, target: pathOnly(target), createdAt },
    },
  };
}

/**
 * What a create-only PUT brings is recognised by meaning, as `sameContent` does: a client that spells it differently,
 * in front of an upstream that shows more than it was sent, would else be told that it is other content.
 */
function meaningOf(
  { method, headers, body, json, rules }: Guarding,
  readJson: ReadJson,
): JsonValue | undefined {
  const creates = method === "PUT" && rules.put === "create-only";
  if (json !== undefined || !creates || !isJson(mediaType(headers))) return json;
  try {
    return readJson(body);
  } catch (error) {
    // Nothing here needs it to be JSON: then it is compared as bytes.
    if (error instanceof JsonRefused) return undefined;
    throw error;
  }
}
