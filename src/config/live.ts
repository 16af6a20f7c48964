/**
 * What of a configuration may change while the gateway runs. Judges the change from one to the next and names what is
 * different; applies nothing. DANGER: a change of what names a record makes every retry that straddles it a new
 * operation, which would be executed again.
 */
import { isDeepStrictEqual } from "node:util";
import type { KeySource, Policy, ResourceId, Route } from "../core/policy.ts";
import { type Match, mayMeet, meet, SAFE_METHODS, shadowedBy } from "./paths.ts";
import type { GatewayConfig } from "./schema.ts";

export interface Change {
  /** Why it cannot be made without a restart, a line each, without the file's name; empty where it can. */
  readonly refused: readonly string[];
  /** Paths of what is different, such as `upstream.timeout` or `routes.charges`; quotes no value. */
  readonly changed: readonly string[];
  /** Routes that take requests over that were guarded until now, and guard them no more. */
  readonly unguarded: readonly string[];
}

/**
 * Everything else is built once (sockets, stores, processes) or not known here, and needs a restart. Of `store.lease`: each
 * claim carries the lease that it was taken with, and each call the deadline that fits into it.
 */
const LIVE: ReadonlySet<string> = new Set(
  "upstream log defaults routes admin.token admin.showAnswers store.lease quotas.liveRecords".split(
    " ",
  ),
);

export function changeOf(running: GatewayConfig, next: GatewayConfig): Change {
  const changed = [...changedSettings(running, next), ...changedRoutes(running, next)];
  const { renamed, unguarded } = movedRequests(running, next);
  const fixed = changed
    .filter(isFixed)
    .map((path) => `${path}: cannot change while the gateway runs; restart it, or take it back`);
  return { refused: [...fixed, ...firstUses(running, next), ...renamed], changed, unguarded };
}

/** What asks other servers about callers is built at the start, where some route needs it. */
function firstUses(running: GatewayConfig, next: GatewayConfig): string[] {
  const before = new Set(asking(running));
  return asking(next)
    .filter((key) => !before.has(key))
    .map((key) => `${key}: the first route with it needs a restart`);
}

function asking({ routes, defaults }: GatewayConfig): string[] {
  const policies = [defaults, ...routes.map(({ policy }) => policy)];
  const byToken = policies.some(({ scopeJwt }) => scopeJwt !== undefined);
  const asks = policies.some(({ replay }) => replay.authorize !== undefined);
  return [...(byToken ? ["scope.jwt"] : []), ...(asks ? ["replay.authorize"] : [])];
}

function isFixed(path: string): boolean {
  const [section = ""] = path.split(".");
  return !LIVE.has(section) && !LIVE.has(path);
}

/** In the words of the file. */
function changedSettings(running: GatewayConfig, next: GatewayConfig): string[] {
  const { routes: _before, ...before } = running;
  const { routes: _after, ...after } = next;
  return Object.entries<unknown>(after).flatMap(([section, value]) => {
    const earlier: unknown = Reflect.get(before, section);
    if (isDeepStrictEqual(earlier, value)) return [];
    if (section === "defaults" || !isGroup(earlier) || !isGroup(value)) return [section];
    return Object.keys(value)
      .filter((name) => !isDeepStrictEqual(earlier[name], value[name]))
      .map((name) => `${section}.${name.replace(/Ms$/u, "")}`);
  });
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function changedRoutes(running: GatewayConfig, next: GatewayConfig): string[] {
  const before = new Map(running.routes.map((route) => [route.policy.route, route]));
  const after = new Map(next.routes.map((route) => [route.policy.route, route]));
  const changed = [...new Set([...before.keys(), ...after.keys()])]
    .filter((name) => !isDeepStrictEqual(before.get(name), after.get(name)))
    .map((name) => `routes.${name}`);
  const kept = [...before.keys()].filter((name) => after.has(name));
  const moved = !isDeepStrictEqual(
    kept,
    [...after.keys()].filter((name) => before.has(name)),
  );
  return moved ? [...changed, "routes"] : changed;
}

/** One row of the table that a request is looked up in; behind the routes stand the defaults, and what passes. */
interface Row extends Match {
  readonly policy: Policy;
  /** Where it stands in the file. */
  readonly at: string;
  readonly names: readonly (readonly [key: string, value: string])[];
  readonly segments: readonly string[];
}

function rowsOf({ routes, defaults }: GatewayConfig): readonly Row[] {
  const passing = { ...defaults, route: "none", mode: "off" as const };
  return [
    ...routes,
    { methods: [], path: "/*", policy: defaults },
    { methods: [...SAFE_METHODS], path: "/*", policy: passing },
  ].map((route, index) => ({
    ...route,
    at: index < routes.length ? `routes[${index}]` : "defaults",
    names: namesOf(route),
    segments: route.path.split("/"),
  }));
}

/**
 * What a record, or a resource's lock and memory, is called by, key by key of the file. DANGER: a part of a policy that names
 * records and is not among them lets retries run again; a new part does not compile until that is decided here.
 */
const NAMING: {
  readonly [Part in keyof Policy]:
    | ((policy: Policy, path: string) => Readonly<Record<string, string>>)
    | "names nothing";
} = {
  scopeHeaders: ({ scopeHeaders, scopeJwt }) => ({
    "scope.headers": scopeJwt === undefined ? scopeHeaders.join("\n") : "",
  }),
  // Which keys verify a token, and for whom it was made out, does not change whom it names.
  scopeJwt: ({ scopeJwt: jwt }) => ({
    "scope.jwt": jwt === undefined ? "" : JSON.stringify([jwt.issuer, ...jwt.claims]),
  }),
  // A UUID is one key in either case; as any other text it is two.
  key: ({ key }, path) => ({ key: sourceName(key.source, path), "key.format": key.format }),
  route: ({ key, route }) => ({ name: key.source.from === "header" ? "" : route }),
  resource: ({ resource }, path) => ({
    "resource.id": resource === undefined ? "" : resourceName(resource.id, path),
  }),
  mode: "names nothing",
  profile: "names nothing",
  status: "names nothing",
  fingerprint: "names nothing",
  duplicates: "names nothing",
  onInFlight: "names nothing",
  waitTimeoutMs: "names nothing",
  onStoreError: "names nothing",
  onUnknown: "names nothing",
  probe: "names nothing",
  retention: "names nothing",
  limits: "names nothing",
  respond: "names nothing",
  replay: "names nothing",
  docsUrl: "names nothing",
};

function namesOf({ path, policy }: Route): Row["names"] {
  return Object.values(NAMING).flatMap((naming) =>
    naming === "names nothing" ? [] : Object.entries(naming(policy, path)),
  );
}

function sourceName(source: KeySource, path: string): string {
  switch (source.from) {
    case "header":
      return `header ${source.name.toLowerCase()}`;
    case "query":
      return `query ${source.name}`;
    case "path":
      return `path ${path.split("/").indexOf(`:${source.name}`)}`;
    case "body":
      return `body ${source.pointers.join("\n")}`;
  }
}

function resourceName(id: ResourceId, path: string): string {
  switch (id.from) {
    case "path":
      return "path";
    case "body":
      return `body ${id.pointers.join("\n")}`;
    case "template":
      // What a part means depends on where the route's path has the parameter of that name.
      return `template ${id.template.replace(/\{([^}]+)\}/gu, (part, name: string) => `${part}${path.split("/").indexOf(`:${name}`)}`)}`;
  }
}

/** Compares, for all requests at once, the row that guards them with the one that would. */
function movedRequests(
  running: GatewayConfig,
  next: GatewayConfig,
): { readonly renamed: readonly string[]; readonly unguarded: readonly string[] } {
  const [before, after] = [rowsOf(running), rowsOf(next)];
  const renamed = new Map<string, string>();
  const unguarded = new Set<string>();
  for (const [i, old] of before.entries()) {
    if (old.policy.mode !== "enforce") continue;
    for (const [j, row] of after.entries()) {
      if (!mayMeet(old.segments, row.segments)) continue;
      const differs = row.policy.mode === "enforce" ? differingName(old, row) : undefined;
      const letGo = isLetGo(old.policy, row.policy);
      if (differs === undefined && !letGo) continue;
      const met = meet(old, row);
      if (met === undefined) continue;
      const near = ({ segments }: Row): boolean =>
        mayMeet(segments, old.segments) && mayMeet(segments, row.segments);
      const earlier = [...before.slice(0, i), ...after.slice(0, j)].filter(near);
      if (shadowedBy(met, earlier) !== undefined) continue;
      if (letGo) unguarded.add(old.policy.route);
      if (differs !== undefined)
        renamed.set(`${row.at}.${differs}`, renames(old, row, differs, met));
    }
  }
  return { renamed: [...renamed.values()], unguarded: [...unguarded] };
}

/** Whether something that the one has guarded is guarded no more by the other. */
function isLetGo(old: Policy, next: Policy): boolean {
  return next.mode !== "enforce" || (old.resource !== undefined && next.resource === undefined);
}

/** A resource that was not guarded, or no more is, has no name to differ. */
function differingName(old: Row, row: Row): string | undefined {
  const differing = row.names.find(([key, value], index) => {
    const before = old.names[index]?.[1];
    return value !== before && (key !== "resource.id" || (value !== "" && before !== ""));
  });
  return differing?.[0];
}

function renames(old: Row, row: Row, key: string, { methods, path }: Match): string {
  const method = methods[0] ?? "every unsafe";
  return `${row.at}.${key}: cannot change while the gateway runs for what "${old.policy.route}" guards (${method} ${path}): retries would not find what their first try has left, and would be executed again; restart the gateway when no such retry can come any more, or take it back`;
}
