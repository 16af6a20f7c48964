/**
 * What the flow asks about a caller, where a route wants it asked: who it is. Kept by the access room; no
 * implementation lives here, and nothing is asked of a route that does not say so.
 */
import type { JwtPolicy } from "./policy.ts";
import type { HeaderPair } from "./record.ts";

/** Reads the caller from its token (`scope.jwt`). Never rejects for what a caller has sent. */
export interface Callers {
  identify(jwt: JwtPolicy, headers: readonly HeaderPair[]): Promise<CallerRead>;
}

/** `cause` is one of a few words and quotes nothing of a token. */
export type CallerRead =
  /** 64 hex digits, see `scopeOfClaims`. */
  | { readonly kind: "caller"; readonly scope: string }
  | { readonly kind: "no-token" }
  | { readonly kind: "not-valid"; readonly cause: string }
  /** The keys that it would be verified with cannot be had. */
  | { readonly kind: "unchecked"; readonly cause: string };

/** All of it; each is there only where some route needs it. */
export interface Access {
  readonly callers?: Callers | undefined;
}
