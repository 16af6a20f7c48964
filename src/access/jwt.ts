/**
 * Who a bearer token names: verified with the issuer's public keys, for an issuer and an audience. The only file that
 * knows jose. Keeps no token and quotes none; where the keys come from is key-set.ts.
 */
import { createLocalJWKSet, errors, jwtVerify, type JWTPayload } from "jose";
import type { CallerRead, Callers } from "../core/access-ports.ts";
import { bearerOf, claimsIn, scopeOfClaims } from "../core/key.ts";
import type { JwtPolicy } from "../core/policy.ts";
import { KeySet, KeysUnavailable, type LoadKeys } from "./key-set.ts";

type Resolver = ReturnType<typeof createLocalJWKSet>;

/**
 * DANGER: public-key signatures alone. With an HMAC among them, whoever knows the public key could sign (RFC 8725 §3.1);
 * `none` is in no list.
 */
const ALGORITHMS = "ES256 ES384 ES512 PS256 PS384 PS512 RS256 RS384 RS512 EdDSA Ed25519".split(" ");

export interface CallersOptions {
  readonly loadKeys: LoadKeys;
  readonly monotonicMs: () => number;
}

export function createCallers({ loadKeys, monotonicMs }: CallersOptions): Callers {
  /** By where the keys are: routes share them. */
  const sets = new Map<string, KeySet<Resolver>>();
  const setFor = (jwks: string): KeySet<Resolver> => {
    const known = sets.get(jwks);
    if (known !== undefined) return known;
    const set = new KeySet(async () => resolverOf(await loadKeys(jwks)), monotonicMs);
    sets.set(jwks, set);
    return set;
  };
  return {
    async identify(jwt, headers) {
      const token = bearerOf(headers);
      if (token === undefined) return { kind: "no-token" };
      try {
        return scopeIn(await verify(token, jwt, setFor(jwt.jwks)), jwt);
      } catch (error) {
        return whyNot(error);
      }
    },
  };
}

function resolverOf(keys: unknown): Resolver {
  // jose judges the shape; what is no key set throws there.
  return createLocalJWKSet(keys as Parameters<typeof createLocalJWKSet>[0]);
}

async function verify(token: string, jwt: JwtPolicy, set: KeySet<Resolver>): Promise<JWTPayload> {
  try {
    return await verifyWith(token, jwt, await set.current());
  } catch (error) {
    // The issuer may have a new key.
    if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    const renewed = await set.afterMiss();
    if (renewed === undefined) throw error;
    return verifyWith(token, jwt, renewed);
  }
}

async function verifyWith(token: string, jwt: JwtPolicy, keys: Resolver): Promise<JWTPayload> {
  const options = {
    algorithms: ALGORITHMS,
    issuer: jwt.issuer,
    audience: jwt.audience,
    clockTolerance: jwt.clockToleranceMs / 1000,
    // A token without an end would be good for ever.
    requiredClaims: ["exp", ...jwt.claims],
  };
  try {
    return (await jwtVerify(token, keys, options)).payload;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    // Neither the token nor the set says which key: the one that fits.
    for await (const key of error) {
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (failed) {
        if (!(failed instanceof errors.JWSSignatureVerificationFailed)) throw failed;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

function scopeIn(payload: JWTPayload, { issuer, claims }: JwtPolicy): CallerRead {
  const named = claimsIn(payload, claims);
  if (named === undefined) return { kind: "not-valid", cause: "claim-not-plain" };
  return { kind: "caller", scope: scopeOfClaims(issuer, named) };
}

function whyNot(error: unknown): CallerRead {
  if (error instanceof KeysUnavailable) return { kind: "unchecked", cause: error.cause };
  if (error instanceof errors.JWTExpired) return { kind: "not-valid", cause: "token-expired" };
  if (error instanceof errors.JWTClaimValidationFailed) {
    return { kind: "not-valid", cause: "claims-refused" };
  }
  if (error instanceof errors.JWKSNoMatchingKey) return { kind: "not-valid", cause: "no-such-key" };
  // Everything else that jose has against a token; its messages quote parts of it.
  if (error instanceof errors.JOSEError) return { kind: "not-valid", cause: error.code };
  // What jose and the crypto below it throw for a key in the set that is none: a point off its curve, too short an RSA key.
  if (error instanceof TypeError || error instanceof DOMException) {
    return { kind: "unchecked", cause: "key-unusable" };
  }
  throw error;
}
