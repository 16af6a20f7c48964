/**
 * What cannot hold together within a policy, and between routes. Judged on what a route comes to after inheriting, and
 * told at the route.
 */
import { DEFAULT_POLICY } from "./defaults.ts";
import type { Contradiction } from "./problems.ts";
import type { FileConfig, PolicySettings, RouteSettings } from "./file-schema.ts";
import { inherit, type PolicyValues } from "./inherit.ts";
import { pathParameters, shadowedBy } from "./paths.ts";
import { probeContradictions } from "./probe.ts";
import { policyOf } from "./resolve.ts";
import { tellResource, type Tell } from "./resource-contradictions.ts";
import { requestHeaderFault } from "./values.ts";

/** Statuses that end without a body (RFC 9110 §15.3.5, §15.3.6, §15.4.5). */
const BODYLESS: ReadonlySet<number> = new Set([204, 205, 304]);

type Found = Contradiction[];

/** In the order of the file: the defaults first, then each route. */
export function policyContradictions(file: FileConfig): readonly Contradiction[] {
  const defaults = inherit(DEFAULT_POLICY, file.defaults ?? {});
  const found = withinPolicy("defaults", defaults, undefined);
  found.push(...twoScopes("defaults", file.defaults ?? {}));
  found.push(...probeContradictions("defaults", file.defaults ?? {}, defaults, []));
  for (const [index, route] of (file.routes ?? []).entries()) {
    const at = `routes[${index}]`;
    const own = policyOf(route);
    found.push(...identity(at, route, (file.routes ?? []).slice(0, index)));
    const values = inherit(defaults, own);
    const told = withinPolicy(at, values, {
      path: route.match?.path ?? "",
      methods: route.match?.methods ?? [],
    });
    // A mistake in the defaults is told once, where it stands, and not again at each route that inherits it.
    found.push(...told.filter(({ path }) => isOwn(own, path.slice(at.length + 1))));
    found.push(...pointless(at, own, values), ...twoScopes(at, own));
    found.push(...probeContradictions(at, own, values, route.match?.methods ?? []));
  }
  return found;
}

/** Whether the route says anything in the group that the path leads into. */
function isOwn(own: PolicySettings, path: string): boolean {
  return Object.hasOwn(own, path.split(".")[0] ?? "");
}

/** Name and match: present, and nobody else's. */
function identity(at: string, route: RouteSettings, earlier: readonly RouteSettings[]): Found {
  const found: Found = [];
  const tell = (path: string, message: string, reads: string[] = []) =>
    found.push({ path: `${at}.${path}`, message, reads });
  if (route.name === undefined) tell("name", "is required: it names the route in metrics and logs");
  const twin = earlier.findIndex(({ name }) => name !== undefined && name === route.name);
  if (twin !== -1) tell("name", `is the name of routes[${twin}] already; names must differ`);
  const path = route.match?.path;
  if (path === undefined) {
    tell("match.path", "is required: say which requests the route is for");
    return found;
  }
  const matches = earlier.map(({ match }) => ({
    methods: match?.methods ?? [],
    // A faulty earlier route was cut down to no path, and takes nothing away.
    path: match?.path ?? "",
  }));
  const takers = shadowedBy({ methods: route.match?.methods ?? [], path }, matches);
  if (takers !== undefined) {
    const names = takers.map((index) => `routes[${index}]`);
    tell(
      "match",
      `can never match: ${names.join(" and ")} stand${names.length === 1 ? "s" : ""} earlier and take${names.length === 1 ? "s" : ""} every request of it; put the narrower route first`,
      names.map((name) => `${name}.match`),
    );
  }
  return found;
}

interface Match {
  readonly path: string;
  readonly methods: readonly string[];
}

/** `match` is `undefined` for the defaults, which have none. */
function withinPolicy(at: string, values: PolicyValues, match: Match | undefined): Found {
  const found: Found = [];
  const tell = (key: string, message: string, ...reads: string[]) =>
    found.push({ path: `${at}.${key}`, message, reads: reads.map((read) => `${at}.${read}`) });
  tellKey(values.key, match?.path, tell);
  if (values.fingerprint.ignore.length > 0 && values.fingerprint.body !== "json") {
    tell(
      "fingerprint.ignore",
      "needs fingerprint.body: json: bytes have no members to leave out",
      "fingerprint.body",
    );
  }
  tellJwt(values, tell);
  tellRespond(values.respond, tell);
  if (values.respond.record === "never") tellNever(values, tell);
  const { as, status } = values.replay;
  if (as !== "recorded" && Object.keys(status).length > 0) {
    tell(
      "replay.status",
      `has no effect with replay.as: ${as}, which sets the status itself; leave one of the two out`,
      "replay.as",
    );
  }
  for (const [from, to] of Object.entries(status)) {
    if (!BODYLESS.has(to) || BODYLESS.has(Number(from))) continue;
    tell(`replay.status.${from}`, `must not be ${to}, which cannot carry the recorded body`);
  }
  tellResource(values, match?.methods, tell);
  return found;
}

function tellKey(key: PolicyValues["key"], path: string | undefined, tell: Tell): void {
  if (key.from === "body") {
    if (key.name !== undefined) {
      tell(
        "key.name",
        "has no meaning with key.from: body; name the fields in key.pointers",
        "key.from",
      );
    }
    if (key.pointers === undefined || key.pointers.length === 0) {
      tell(
        "key.pointers",
        "is required with key.from: body: at least one JSON Pointer",
        "key.from",
      );
    }
    return;
  }
  if (key.pointers !== undefined) {
    tell("key.pointers", "has a meaning only with key.from: body", "key.from");
  }
  switch (key.from) {
    case "header": {
      const fault = key.name === undefined ? undefined : requestHeaderFault(key.name);
      if (fault !== undefined) tell("key.name", fault, "key.from");
      return;
    }
    case "query":
      if (key.name === undefined) {
        tell("key.name", "is required with key.from: query: the parameter's name", "key.from");
      }
      return;
    case "path":
      tellPathKey(key.name, path, tell);
  }
}

function tellPathKey(name: string | undefined, path: string | undefined, tell: Tell): void {
  if (path === undefined) {
    tell("key.from", "must not be path here: path parameters belong to the match of one route");
    return;
  }
  const parameters = pathParameters(path).map((parameter) => `"${parameter}"`);
  if (name !== undefined && parameters.includes(`"${name}"`)) return;
  const choice =
    parameters.length === 0
      ? "match.path has none; write one as :name"
      : `match.path has ${parameters.join(", ")}`;
  const what = name === undefined ? "is required with" : "must be a parameter of match.path with";
  tell("key.name", `${what} key.from: path; ${choice}`, "key.from", "match.path");
}

function tellJwt({ scope: { jwt }, key }: PolicyValues, tell: Tell): void {
  if (jwt === undefined) return;
  for (const name of ["jwks", "issuer", "audience"] as const) {
    if (jwt[name] === undefined) tell(`scope.jwt.${name}`, "is required with scope.jwt");
  }
  if (jwt.claims?.length === 0) {
    tell("scope.jwt.claims", "must have at least one claim, or all callers would be one");
  }
  if (key.from === "body" && !key.required) {
    tell(
      "scope.jwt",
      "needs key.required: true with key.from: body: a caller is verified before its body is read, and whether there is a key is known only then",
      "key.from",
      "key.required",
    );
  }
}

/** Said in one place: what is inherited gives way. */
function twoScopes(at: string, { scope }: PolicySettings): Found {
  if (scope?.headers === undefined || scope.jwt === undefined) return [];
  const message = "must be left out with scope.jwt, which names the caller by its token alone";
  return [{ path: `${at}.scope.headers`, message, reads: [`${at}.scope.jwt`] }];
}

function tellRespond(respond: PolicyValues["respond"], tell: Tell): void {
  const names = ["release", "unknown", "record"] as const;
  const lists = { ...respond, record: respond.record === "never" ? [] : respond.record };
  for (const [index, later] of names.entries()) {
    for (const earlier of names.slice(0, index)) {
      const both = lists[later].filter((status) => lists[earlier].includes(status));
      for (const status of both) {
        tell(
          `respond.${later}`,
          `has ${status}, which respond.${earlier} has too (a route inherits the lists it does not give); a status means one thing`,
          `respond.${earlier}`,
        );
      }
    }
  }
}

/** What would tell an answer again, where none is kept. */
function tellNever({ replay }: PolicyValues, tell: Tell): void {
  const voided = (key: string, why: string) =>
    tell(
      `replay.${key}`,
      `${why} with respond.record: never, which keeps no answer`,
      "respond.record",
    );
  if (replay.as === "see-other" || replay.as === "found") {
    voided("as", `must not be ${replay.as}, which needs the recorded Location`);
  }
  if (replay.as === "conflict" && replay.conflictBody === "recorded") {
    voided("conflictBody", "must not be recorded");
  }
  if (Object.keys(replay.status).length > 0) voided("status", "has no effect");
}

/** What a route says itself although something else of it makes it void. */
function pointless(at: string, own: PolicySettings, { replay }: PolicyValues): Found {
  const found: Found = [];
  if (own.mode === "off" && own.key?.required === true) {
    found.push({
      path: `${at}.key.required`,
      message: "has no effect with mode: off, which guards nothing; leave one of the two out",
      reads: [`${at}.mode`],
    });
  }
  // Of the route itself only: in the defaults they may wait for a route that says conflict.
  for (const key of ["conflictStatus", "conflictBody"] as const) {
    if (own.replay?.[key] === undefined || replay.as === "conflict") continue;
    found.push({
      path: `${at}.replay.${key}`,
      message: "has a meaning only with replay.as: conflict",
      reads: [`${at}.replay.as`],
    });
  }
  return found;
}
