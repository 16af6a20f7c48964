/**
 * What a route says about its requests, as the flow uses it: every value present, durations in milliseconds, sizes in
 * bytes. The configuration room builds these from YAML; nothing here parses or defaults.
 */
import type { ProblemCode } from "./outcome.ts";

export type Mode = "enforce" | "shadow" | "off";
export type Profile = "default" | "ietf" | "stripe";
export type KeyFormat = "any" | "uuid";

/** Where the key comes from. `name` is a header, a query parameter, or a parameter of the route's path. */
export type KeySource =
  | { readonly from: "header" | "query" | "path"; readonly name: string }
  /** JSON Pointers (RFC 6901) into a JSON body; together they are the key. At least one. */
  | { readonly from: "body"; readonly pointers: readonly string[] };

export interface KeyPolicy {
  readonly source: KeySource;
  readonly required: boolean;
  readonly format: KeyFormat;
}

/** Whose tokens name the caller, and by which of their claims. */
export interface JwtPolicy {
  /** `http(s)://…` or `file:PATH`. */
  readonly jwks: string;
  readonly issuer: string;
  readonly audience: string;
  /** At least one. */
  readonly claims: readonly string[];
  readonly clockToleranceMs: number;
}

export interface FingerprintPolicy {
  readonly body: "raw" | "json";
  /** Lower-case names of further headers that are part of what is asked for. */
  readonly headers: readonly string[];
  /** JSON Pointers left out of the comparison; only with `body: json`. */
  readonly ignore: readonly string[];
}

/** What names the thing that a request changes. */
export type ResourceId =
  | { readonly from: "path" }
  /** JSON Pointers into the body; together with the request's path they are the name. */
  | { readonly from: "body"; readonly pointers: readonly string[] }
  /** A path with `{name}` parts, each a path parameter, a query parameter or a member of the body. */
  | { readonly from: "template"; readonly template: string };

/** What may happen to the thing that a route's requests change. */
export interface ResourcePolicy {
  readonly id: ResourceId;
  /** One write at a time per resource: `wait` for one's turn up to the policy's `waitTimeoutMs`, or `reject`. */
  readonly serialize: "off" | "wait" | "reject";
  /** `If-Match` and `If-None-Match` (RFC 9110 §13) judged by the gateway. */
  readonly precondition: "off" | "honour" | "required";
  readonly put: "upsert" | "create-only" | "update-only";
  /** The first write that succeeds owns the resource until it is deleted. */
  readonly once: boolean;
  readonly afterDelete:
    | {
        readonly rememberMs: number;
        readonly put: 403 | 404 | 409 | 410;
        /** `replay`: a repeated DELETE gets the first one's answer; `pass`: it goes to the upstream. */
        readonly delete: "replay" | "pass";
      }
    | undefined;
}

/** Who is asked before a caller is told what was recorded. */
export interface AuthorizePolicy {
  readonly url: string;
  readonly timeoutMs: number;
}

export interface ReplayPolicy {
  /** Lower-case names of response headers that are not recorded. */
  readonly dropHeaders: readonly string[];
  /** Recorded status to the status told on a replay. */
  readonly status: ReadonlyMap<number, number>;
  /**
   * `recorded`: the answer again; `see-other`: 303 to its `Location`; `found`: 302 to it; `conflict`: a refusal with
   * `original`, as `conflict` says.
   */
  readonly as: "recorded" | "see-other" | "found" | "conflict";
  /** What `as: conflict` answers: its status, and a problem or the recorded body under that status. */
  readonly conflict: {
    readonly status: 403 | 409 | 422;
    readonly body: "problem" | "recorded";
  };
  /** `conflict`: 409 where the resource has been changed since by another write that went through the gateway. */
  readonly whenChanged: "replay" | "conflict";
  /** `undefined`: nobody is asked. */
  readonly authorize: AuthorizePolicy | undefined;
}

export interface RespondPolicy {
  /** Upstream statuses that say "not processed": the key is released. */
  readonly release: readonly number[];
  /** Upstream statuses that leave the outcome unknown. */
  readonly unknown: readonly number[];
  /** `false`: of an answer only its status is recorded, and a retry is told that it cannot be replayed. */
  readonly keepsAnswer: boolean;
}

/** Looking for requests without a key that the upstream executes more than once. */
export interface DuplicatesPolicy {
  readonly report: boolean;
  /** How long after a request the same one counts as its duplicate. */
  readonly windowMs: number;
}

/** A field of a probe that the configuration brings. */
export interface ProbeHeader {
  readonly name: string;
  /** Never log it. */
  readonly value: string;
  /** Where the value was read, for `--print-config`. */
  readonly from: { readonly value: string } | { readonly env: string } | { readonly file: string };
}

/** Asking the upstream what became of an unknown outcome. */
export interface ProbePolicy {
  /** Path and query at the upstream, with `{key}` in it. */
  readonly path: string;
  /**
   * `caller`: with the fields of the retry that name its caller, and so only when there is one. `gateway`: with none of
   * them, also without a retry.
   */
  readonly as: "caller" | "gateway";
  readonly timeoutMs: number;
  /** For how long after an outcome became unknown a "not found" counts for nothing. */
  readonly releaseAfterMs: number;
  readonly headers: readonly ProbeHeader[];
}

export interface Policy {
  /** The route's name: a metric label, and part of the identity of keys that are not taken from a header. */
  readonly route: string;
  readonly mode: Mode;
  readonly profile: Profile;
  /** Statuses that this route sets itself, over the profile's. */
  readonly status: Partial<Readonly<Record<ProblemCode, number>>>;
  readonly key: KeyPolicy;
  /** Lower-case names of the headers whose values name the caller. */
  readonly scopeHeaders: readonly string[];
  /** The caller is who its token says, and `scopeHeaders` is `authorization` alone. `undefined`: the headers' values. */
  readonly scopeJwt: JwtPolicy | undefined;
  readonly fingerprint: FingerprintPolicy;
  readonly duplicates: DuplicatesPolicy;
  readonly onInFlight: "reject" | "wait";
  /** Bound of `onInFlight: wait`, in milliseconds. */
  readonly waitTimeoutMs: number;
  readonly onStoreError: "reject" | "bypass";
  /** `by-method`: resend for methods that RFC 9110 §9.2.2 calls idempotent, block for the others. */
  readonly onUnknown: "block" | "resend" | "by-method" | "probe";
  /** Exactly where `onUnknown` is `probe`. */
  readonly probe: ProbePolicy | undefined;
  readonly retention: { readonly completedMs: number; readonly unknownMs: number };
  readonly limits: { readonly requestBytes: number; readonly responseBytes: number };
  readonly respond: RespondPolicy;
  readonly replay: ReplayPolicy;
  /** `undefined`: the route's requests are safe against their own retries only. */
  readonly resource: ResourcePolicy | undefined;
  /** Documentation of the problems, told as `Link: <…>; rel="describedby"`. */
  readonly docsUrl: string | undefined;
}

/** A match and its policy. */
export interface Route {
  /** Upper-case; empty: every unsafe method. */
  readonly methods: readonly string[];
  /** `/v1/charges`, `/deployments/:uuid` (one segment), `/files/*` (the rest, at the end only). */
  readonly path: string;
  readonly policy: Policy;
}
