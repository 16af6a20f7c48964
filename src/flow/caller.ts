/**
 * Who the caller is, where its token says so (`scope.jwt`): the scope, or why there is none. Nothing has been claimed
 * or read by then.
 */
import type { Access, Callers } from "../core/access-ports.ts";
import type { JwtPolicy, Policy } from "../core/policy.ts";
import { scopeOf } from "../core/key.ts";
import type { InboundRequest } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import type { Refusal } from "./answer.ts";

/** As the route says: by a token, or by header fields. */
export async function scopeFor(
  { headers }: InboundRequest,
  { scopeHeaders, scopeJwt }: Policy,
  access: Access | undefined,
): Promise<string | Refusal> {
  return scopeJwt === undefined
    ? scopeOf(headers, scopeHeaders)
    : callerOf(scopeJwt, headers, access?.callers);
}

async function callerOf(
  jwt: JwtPolicy,
  headers: readonly HeaderPair[],
  callers: Callers | undefined,
): Promise<string | Refusal> {
  if (callers === undefined) throw new TypeError("a route has scope.jwt, and nobody verifies it");
  const read = await callers.identify(jwt, headers);
  switch (read.kind) {
    case "caller":
      return read.scope;
    case "no-token":
      // RFC 6750 §3.1: who sent no credentials is not told of an error.
      return { code: "credentials-invalid", challenge: "Bearer", cause: "no-token" };
    case "not-valid":
      return {
        code: "credentials-invalid",
        challenge: 'Bearer error="invalid_token"',
        cause: read.cause,
      };
    case "unchecked":
      return { code: "access-unchecked", retryAfterS: 1, cause: read.cause };
  }
}
