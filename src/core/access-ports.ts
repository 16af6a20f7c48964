/**
 * What the flow asks about a caller, where the configuration wants it asked: who it is, how much it may take, and whether
 * it may still be told what was recorded. Kept by the access room; no implementation lives here.
 */
import type { AuthorizePolicy, JwtPolicy } from "./policy.ts";
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

/** How many new keys each caller may still use. Of this process, and only now: nothing here waits. */
export interface Quota {
  /** Takes one. Where there is none: after how many milliseconds there is. */
  take(scope: string): number | undefined;
  /** It was not used. */
  giveBack(scope: string): void;
  /** One was used that had not been taken. */
  owe(scope: string): void;
}

/** Asks whether a caller may be told what was recorded (`replay.authorize`). Never rejects. */
export interface Rights {
  mayBeTold(
    authorize: AuthorizePolicy,
    asking: {
      readonly method: string;
      readonly target: string;
      readonly headers: readonly HeaderPair[];
      /** Lower-case names of the headers that name the caller. */
      readonly credentials: readonly string[];
    },
  ): Promise<RightsAnswer>;
}

export type RightsAnswer =
  | { readonly kind: "yes" | "no" }
  /** `cause`: a word for the log. */
  | { readonly kind: "unchecked"; readonly cause: string };

/** All of it; each is there only where some route needs it. */
export interface Access {
  readonly callers?: Callers | undefined;
  readonly quota?: Quota | undefined;
  readonly rights?: Rights | undefined;
}
