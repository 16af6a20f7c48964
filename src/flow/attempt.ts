/**
 * One write to one resource, as the guard and what comes after it see it: the request with its rules, and who is said
 * to have made it. Nothing is read or written here.
 */
import { contentOf } from "../core/fingerprint.ts";
import { scopeOf } from "../core/key.ts";
import type { ResourcePolicy } from "../core/policy.ts";
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
  { method, target, headers, body, json, keyed, policy, resource }: Guarding,
  owned: Owned | undefined,
  nowMs: number,
  { newToken }: Pick<FlowDeps, "newToken">,
): Attempt {
  const record = owned?.id ?? newToken();
  const createdAt = new Date(nowMs).toISOString();
  return {
    method,
    headers,
    record,
    scope: scopeOf(headers, policy.scopeHeaders),
    content: contentOf(headers, body, json),
    address: resource.address,
    writer: {
      record,
      keyed: keyed !== undefined,
      original: { method, target: pathOnly(target), createdAt },
    },
  };
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}
