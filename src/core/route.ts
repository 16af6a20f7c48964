/**
 * Which route a request meets, and whether it is guarded. Paths are compared in their canonical form, segment by
 * segment with literals: no pattern of a user becomes a regular expression.
 */
import type { Policy, Route } from "./policy.ts";

/** RFC 9110 §9.2.1. */
const SAFE_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** RFC 9110 §9.2.2, without the safe ones. */
const IDEMPOTENT_METHODS: ReadonlySet<string> = new Set(["PUT", "DELETE"]);

export function isSafe(method: string): boolean {
  return SAFE_METHODS.has(method);
}

export interface RouteMatch {
  readonly policy: Policy;
  /** Values of the path's parameters, still percent-encoded in their canonical form. */
  readonly parameters: ReadonlyMap<string, string>;
  /** The route's path as configured; `undefined` for the defaults. */
  readonly pattern: string | undefined;
}

export type FindRoute = (method: string, path: string) => RouteMatch | undefined;

/**
 * The first route that matches decides. A request that matches none meets the defaults where it is unsafe; a safe one
 * is never guarded unless a route lists its method.
 */
export function routeFinder(routes: readonly Route[], defaults: Policy): FindRoute {
  const compiled = routes.map((route) => ({ route, segments: route.path.split("/") }));
  const unmatched: RouteMatch = {
    policy: defaults,
    parameters: new Map(),
    pattern: undefined,
  };
  return (method, path) => {
    const asked = path.split("/");
    for (const { route, segments } of compiled) {
      if (!methodMatches(route.methods, method)) continue;
      const parameters = matchSegments(segments, asked);
      if (parameters !== undefined) {
        return { policy: route.policy, parameters, pattern: route.path };
      }
    }
    return isSafe(method) ? undefined : unmatched;
  };
}

export type FindReads = (path: string) => Policy | undefined;

/** The first route on this path whose writes are conditional, whatever its methods: its reads show the entity tag. */
export function readsFinder(routes: readonly Route[]): FindReads {
  const conditional = routes
    .filter(({ policy }) => (policy.resource?.precondition ?? "off") !== "off")
    .map(({ path, policy }) => ({ policy, segments: path.split("/") }));
  return (path) =>
    conditional.find(({ segments }) => matchSegments(segments, path.split("/")) !== undefined)
      ?.policy;
}

export function isRead(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

function methodMatches(methods: readonly string[], method: string): boolean {
  return methods.length === 0 ? !isSafe(method) : methods.includes(method);
}

function matchSegments(
  pattern: readonly string[],
  asked: readonly string[],
): Map<string, string> | undefined {
  const openEnded = pattern.at(-1) === "*";
  const fixed = openEnded ? pattern.length - 1 : pattern.length;
  if (openEnded ? asked.length < pattern.length : asked.length !== fixed) return undefined;
  const parameters = new Map<string, string>();
  for (let i = 0; i < fixed; i += 1) {
    const want = pattern[i] ?? "";
    const have = asked[i] ?? "";
    if (want.startsWith(":")) {
      if (have === "") return undefined;
      parameters.set(want.slice(1), have);
    } else if (want !== have) {
      return undefined;
    }
  }
  return parameters;
}

/** What a claim does with an unknown record: the route's word, or by RFC 9110 §9.2.2 the method's. */
export function unknownPolicy(policy: Policy, method: string): "block" | "resend" {
  // What a probe finds out is written by itself; to a claim the outcome is unknown until then.
  if (policy.onUnknown === "probe") return "block";
  if (policy.onUnknown !== "by-method") return policy.onUnknown;
  return isSafe(method) || IDEMPOTENT_METHODS.has(method) ? "resend" : "block";
}
