/**
 * An issuer of tokens for the tests: real keys, real signatures by jose, and a real server that publishes the key set
 * and counts who asks for it.
 */
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";
import { startUpstream, type Teardown, type TestUpstream } from "./upstream.ts";

export const ISSUER = "https://issuer.example/";
export const AUDIENCE = "charges-api";

/** A key of the issuer; `kid` left out: neither the set nor the token names it. */
export interface IssuerKey {
  readonly alg: string;
  readonly kid: string | undefined;
  readonly secret: CryptoKey;
  readonly published: JWK;
}

export async function newIssuerKey(kid: string | undefined, alg = "ES256"): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const named = kid === undefined ? {} : { kid };
  return { alg, kid, secret: privateKey, published: { ...(await exportJWK(publicKey)), ...named } };
}

let serials = 0;

/** A token that no other is like; `claims` over what a good one has, undefined takes one out. */
export async function sign(
  key: IssuerKey,
  claims: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  serials += 1;
  const nowS = Math.floor(Date.now() / 1000);
  const good = { iss: ISSUER, aud: AUDIENCE, sub: "alice", iat: nowS, exp: nowS + 300 };
  const payload = { ...good, jti: `serial-${serials}`, ...claims };
  const given = Object.entries(payload).filter(([, value]) => value !== undefined);
  const header = { alg: key.alg, ...(key.kid !== undefined && { kid: key.kid }) };
  return new SignJWT(Object.fromEntries(given)).setProtectedHeader(header).sign(key.secret);
}

export interface Issuer {
  readonly jwks: string;
  readonly server: TestUpstream;
  publish(...keys: readonly IssuerKey[]): void;
}

export async function startIssuer(
  t: Teardown,
  keys: readonly IssuerKey[],
  port = 0,
): Promise<Issuer> {
  const server = await startUpstream(t, { port });
  const publish = (...published: readonly IssuerKey[]): void =>
    server.answer({
      headers: ["Content-Type", "application/json"],
      body: JSON.stringify({ keys: published.map((key) => key.published) }),
    });
  publish(...keys);
  return { jwks: `${server.url}/jwks.json`, server, publish };
}
