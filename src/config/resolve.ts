/**
 * From the words of the file to the values of the gateway: inheritance, built-in lists, units. Expects a file without
 * faults and decides nothing about what may stand in it.
 */
import type { KeySource, Policy, RespondPolicy, Route } from "../core/policy.ts";
import type { ProblemCode } from "../core/outcome.ts";
import {
  DEFAULT_JWT,
  DEFAULT_KEY_NAME,
  DEFAULT_POLICY,
  DEFAULT_REPLICAS,
  DEFAULT_WEBHOOK,
  DEFAULTS,
  RELEASE_STATUSES,
  UNKNOWN_STATUSES,
} from "./defaults.ts";
import type { FileConfig, PolicySettings, RouteSettings } from "./file-schema.ts";
import { inherit, type KeyValues, type PolicyValues } from "./inherit.ts";
import { leaseOf } from "./lease.ts";
import { type HeaderValues, resolveProbe } from "./probe.ts";
import { resolveResource } from "./resource.ts";
import type {
  EncryptionConfig,
  GatewayConfig,
  NotifyConfig,
  QuotasConfig,
  StoreConfig,
  WebhookConfig,
} from "./schema.ts";
import { parseDuration, parseSize } from "./units.ts";
import { readCidr } from "./values.ts";

type StatusKey = keyof NonNullable<PolicySettings["status"]>;

/** What a key of `status` sets the status of. */
export const STATUS_KEYS: readonly (readonly [StatusKey, ProblemCode])[] = [
  ["keyMissing", "key-missing"],
  ["keyInvalid", "key-invalid"],
  ["keyReused", "key-reused"],
  ["inFlight", "in-flight"],
  ["outcomeUnknown", "outcome-unknown"],
  ["notReplayable", "not-replayable"],
  ["bodyTooLarge", "body-too-large"],
  ["storeUnavailable", "store-unavailable"],
  ["bodyInvalid", "body-invalid"],
  ["conflict", "conflict"],
  ["stale", "stale"],
  ["preconditionRequired", "precondition-required"],
  ["preconditionFailed", "precondition-failed"],
  ["resourceLocked", "resource-locked"],
  ["resourceUnnamed", "resource-unnamed"],
  ["notFound", "not-found"],
];

/** What stands elsewhere than in the file, and was read before. */
export interface SecretsRead {
  readonly encryption: EncryptionConfig | undefined;
  readonly webhook: WebhookConfig["secrets"];
  readonly probes: HeaderValues;
}

const NO_SECRETS: SecretsRead = { encryption: undefined, webhook: [], probes: new Map() };

/** The whole configuration. Throws `TypeError` for a file that was not checked, which is a defect and no user error. */
export function resolve(file: FileConfig, secrets = NO_SECRETS): GatewayConfig {
  const { encryption } = secrets;
  const listen = { ...DEFAULTS.listen, ...file.listen };
  const upstream = { ...DEFAULTS.upstream, ...file.upstream };
  const admin = { ...DEFAULTS.admin, ...file.admin };
  const defaults = inherit(DEFAULT_POLICY, file.defaults ?? {});
  const store = resolveStore(file.store ?? {}, leaseOf(file).defaultMs);
  const given = { headers: secrets.probes, leaseMs: store.leaseMs };
  return {
    listen: {
      host: listen.host,
      port: listen.port,
      trustedProxies: listen.trustedProxies.map((block) => readCidr(block) ?? unchecked()),
      headersTimeoutMs: ms(listen.headersTimeout),
      bodyTimeoutMs: ms(listen.bodyTimeout),
      idleTimeoutMs: ms(listen.idleTimeout),
      maxConnections: listen.maxConnections,
    },
    upstream: {
      url: new URL(upstream.url).origin,
      connectTimeoutMs: ms(upstream.connectTimeout),
      timeoutMs: ms(upstream.timeout),
      connections: upstream.connections,
    },
    store: { ...store, ...(encryption && { encryption }) },
    locks: { nodes: file.locks?.nodes ?? DEFAULTS.locks.nodes },
    quotas: {
      newKeys: resolveNewKeys(file.quotas?.newKeys),
      liveRecords: file.quotas?.liveRecords,
    },
    admin: {
      host: admin.host,
      port: admin.port,
      token: admin.token,
      showAnswers: admin.showAnswers,
    },
    log: { level: file.log?.level ?? DEFAULTS.log.level },
    tracing: { ...DEFAULTS.tracing, ...file.tracing },
    notify: { webhook: resolveWebhook(file.notify?.webhook, secrets.webhook) },
    workers: file.workers ?? DEFAULTS.workers,
    defaults: resolvePolicy("default", defaults, given),
    routes: (file.routes ?? []).map((route) => resolveRoute(route, defaults, given)),
  };
}

function resolveStore(
  own: NonNullable<FileConfig["store"]>,
  defaultLeaseMs: number,
): Omit<StoreConfig, "encryption"> {
  const store = { ...DEFAULTS.store, ...own };
  const replicas = own.replicas && { ...DEFAULT_REPLICAS, ...own.replicas };
  return {
    url: store.url,
    timeoutMs: ms(store.timeout),
    keyPrefix: store.keyPrefix,
    leaseMs: own.lease === undefined ? defaultLeaseMs : ms(own.lease),
    replicas: replicas && { wait: replicas.wait, timeoutMs: ms(replicas.timeout) },
  };
}

function resolveNewKeys(
  newKeys: NonNullable<FileConfig["quotas"]>["newKeys"],
): QuotasConfig["newKeys"] {
  if (newKeys === undefined) return undefined;
  const { perSecond = unchecked(), burst = perSecond } = newKeys;
  return { perSecond, burst };
}

function resolveWebhook(
  own: NonNullable<FileConfig["notify"]>["webhook"],
  secrets: WebhookConfig["secrets"],
): NotifyConfig["webhook"] {
  if (own === undefined) return undefined;
  const { url = unchecked(), name, timeout, interval, retryFor } = { ...DEFAULT_WEBHOOK, ...own };
  return {
    url,
    secrets,
    name,
    timeoutMs: ms(timeout),
    intervalMs: ms(interval),
    retryForMs: ms(retryFor),
  };
}

/** What a policy rests on beside its own words. */
interface Given {
  readonly headers: HeaderValues;
  readonly leaseMs: number;
}

function resolveRoute(route: RouteSettings, defaults: PolicyValues, given: Given): Route {
  return {
    methods: route.match?.methods ?? [],
    path: route.match?.path ?? unchecked(),
    policy: resolvePolicy(route.name ?? unchecked(), inherit(defaults, policyOf(route)), given),
  };
}

/** What a route says beyond its name and its match. */
export function policyOf(route: RouteSettings): PolicySettings {
  const { name: _name, match: _match, ...policy } = route;
  return policy;
}

function resolvePolicy(route: string, values: PolicyValues, given: Given): Policy {
  return {
    route,
    mode: values.mode,
    profile: values.profile,
    status: resolveStatus(values.status),
    key: {
      source: resolveSource(values.key),
      required: values.key.required,
      format: values.key.format,
    },
    ...resolveScope(values.scope),
    fingerprint: {
      body: values.fingerprint.body,
      headers: lowerCase(values.fingerprint.headers),
      ignore: values.fingerprint.ignore,
    },
    duplicates: { report: values.duplicates.report, windowMs: ms(values.duplicates.window) },
    onInFlight: values.onInFlight,
    waitTimeoutMs: ms(values.waitTimeout),
    onStoreError: values.onStoreError,
    onUnknown: values.onUnknown,
    probe: resolveProbe(values, given.headers, given.leaseMs),
    retention: {
      completedMs: ms(values.retention.completed),
      unknownMs: ms(values.retention.unknown),
    },
    limits: {
      requestBytes: parseSize(values.limits.requestBytes) ?? unchecked(),
      responseBytes: parseSize(values.limits.responseBytes) ?? unchecked(),
    },
    respond: resolveRespond(values.respond),
    replay: {
      dropHeaders: lowerCase(values.replay.dropHeaders),
      status: new Map(
        Object.entries(values.replay.status).map(([from, to]) => [Number(from), to] as const),
      ),
      as: values.replay.as,
      conflict: { status: values.replay.conflictStatus, body: values.replay.conflictBody },
      whenChanged: values.replay.whenChanged,
      authorize:
        values.replay.authorize === ""
          ? undefined
          : { url: values.replay.authorize, timeoutMs: ms(values.replay.authorizeTimeout) },
    },
    resource: values.resource && (resolveResource(values.resource) ?? unchecked()),
    docsUrl: values.docsUrl === "" ? undefined : new URL(values.docsUrl).href,
  };
}

function resolveScope({
  headers,
  jwt,
}: PolicyValues["scope"]): Pick<Policy, "scopeHeaders" | "scopeJwt"> {
  if (jwt === undefined) return { scopeHeaders: lowerCase(headers), scopeJwt: undefined };
  const { claims, clockTolerance } = { ...DEFAULT_JWT, ...jwt };
  const scopeJwt = {
    jwks: jwt.jwks ?? unchecked(),
    issuer: jwt.issuer ?? unchecked(),
    audience: jwt.audience ?? unchecked(),
    claims,
    clockToleranceMs: ms(clockTolerance),
  };
  // The one header that names the caller: it is protected like any other that does.
  return { scopeHeaders: ["authorization"], scopeJwt };
}

/** Only what was set: the profile decides the others at each request. */
function resolveStatus(status: PolicyValues["status"]): Policy["status"] {
  const statuses: Partial<Record<ProblemCode, number>> = {};
  for (const [key, code] of STATUS_KEYS) {
    const value = status[key];
    if (value !== undefined) statuses[code] = value;
  }
  return statuses;
}

function resolveSource(key: KeyValues): KeySource {
  switch (key.from) {
    case "body":
      return { from: "body", pointers: key.pointers ?? unchecked() };
    case "header":
      return { from: "header", name: key.name ?? DEFAULT_KEY_NAME };
    case "query":
    case "path":
      return { from: key.from, name: key.name ?? unchecked() };
  }
}

/** The built-in lists and the route's own, less what the route says differently. Sorted: an order means nothing here. */
function resolveRespond({ release, unknown, record }: PolicyValues["respond"]): RespondPolicy {
  const recorded = record === "never" ? [] : record;
  return {
    release: allBut([...RELEASE_STATUSES, ...release], [...unknown, ...recorded]),
    unknown: allBut([...UNKNOWN_STATUSES, ...unknown], [...release, ...recorded]),
    keepsAnswer: record !== "never",
  };
}

function allBut(statuses: readonly number[], others: readonly number[]): readonly number[] {
  return [...new Set(statuses)]
    .filter((status) => !others.includes(status))
    .toSorted((a, b) => a - b);
}

function lowerCase(names: readonly string[]): readonly string[] {
  return names.map((name) => name.toLowerCase());
}

function ms(duration: string): number {
  return parseDuration(duration) ?? unchecked();
}

/** Reached only when a check in front of this file is missing: then starting would be worse than stopping. */
function unchecked(): never {
  throw new TypeError("the configuration was resolved before it was checked");
}
