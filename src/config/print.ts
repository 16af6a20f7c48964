/**
 * The effective configuration in the words of the file, so that it can be saved and read again; and the one place
 * that makes a configuration fit to be shown: no password, no token.
 */
import { createHash } from "node:crypto";
import { stringify } from "yaml";
import type { Policy, Route } from "../core/policy.ts";
import { RELEASE_STATUSES, UNKNOWN_STATUSES } from "./defaults.ts";
import type { FileConfig, PolicySettings } from "./file-schema.ts";
import { describeProbe, hideProbe } from "./probe.ts";
import { STATUS_KEYS } from "./resolve.ts";
import { describeResource } from "./resource.ts";
import type { GatewayConfig, NotifyConfig } from "./schema.ts";
import { formatDuration, formatSize } from "./units.ts";
import { withoutPassword } from "./urls.ts";
import { HIDDEN } from "./values.ts";

/** YAML that `loadConfig` reads back to the same configuration, once hidden secrets are given again. */
export function printConfig(config: GatewayConfig): string {
  const heading = "# The effective configuration of idempotency-gateway. Secrets are hidden.\n";
  return heading + stringify(describe(withoutSecrets(config)), { lineWidth: 0 });
}

/**
 * Tells one configuration from another, the same on every host: the first 16 hex digits of what `sha256sum` says of
 * `--print-config`. Secrets are hidden there, so a new token alone does not show, and none can be guessed from it.
 */
export function digestOf(config: GatewayConfig): string {
  const known = digests.get(config);
  if (known !== undefined) return known;
  const digest = createHash("sha256").update(printConfig(config)).digest("hex").slice(0, 16);
  digests.set(config, digest);
  return digest;
}

/** A configuration never changes, and writing it out takes 5 ms; a start asks twice. */
const digests = new WeakMap<GatewayConfig, string>();

/** The same configuration with every secret replaced by a placeholder. For people's eyes, not for running. */
export function withoutSecrets(config: GatewayConfig): GatewayConfig {
  const { encryption } = config.store;
  return {
    ...config,
    store: {
      ...config.store,
      url: withoutPassword(config.store.url),
      ...(encryption && {
        encryption: {
          ...encryption,
          keys: encryption.keys.map((key) => ({ ...key, secret: HIDDEN })),
        },
      }),
    },
    locks: { nodes: config.locks.nodes.map(withoutPassword) },
    admin: { ...config.admin, token: config.admin.token === "" ? "" : HIDDEN },
    defaults: hideProbe(config.defaults, HIDDEN),
    routes: config.routes.map((route) => ({ ...route, policy: hideProbe(route.policy, HIDDEN) })),
    notify: { webhook: withoutSigning(config.notify.webhook) },
  };
}

function withoutSigning(webhook: NotifyConfig["webhook"]): NotifyConfig["webhook"] {
  return (
    webhook && {
      ...webhook,
      url: withoutPassword(webhook.url),
      secrets: webhook.secrets.map((each) => ({ ...each, secret: HIDDEN })),
    }
  );
}

function describeNotify({ webhook }: NotifyConfig): Pick<FileConfig, "notify"> {
  if (webhook === undefined) return {};
  const { url, secrets, name, timeoutMs, intervalMs, retryForMs } = webhook;
  return {
    notify: {
      webhook: {
        url,
        secrets: secrets.map(({ from }) => from),
        name,
        timeout: formatDuration(timeoutMs),
        interval: formatDuration(intervalMs),
        retryFor: formatDuration(retryForMs),
      },
    },
  };
}

function describe(config: GatewayConfig): FileConfig {
  const { listen, upstream, store, quotas, admin } = config;
  return {
    listen: {
      host: listen.host,
      port: listen.port,
      trustedProxies: [...listen.trustedProxies],
      headersTimeout: formatDuration(listen.headersTimeoutMs),
      bodyTimeout: formatDuration(listen.bodyTimeoutMs),
      idleTimeout: formatDuration(listen.idleTimeoutMs),
      maxConnections: listen.maxConnections,
    },
    upstream: {
      url: upstream.url,
      connectTimeout: formatDuration(upstream.connectTimeoutMs),
      timeout: formatDuration(upstream.timeoutMs),
      connections: upstream.connections,
    },
    store: {
      url: store.url,
      timeout: formatDuration(store.timeoutMs),
      keyPrefix: store.keyPrefix,
      lease: formatDuration(store.leaseMs),
      ...(store.replicas && {
        replicas: {
          wait: store.replicas.wait,
          timeout: formatDuration(store.replicas.timeoutMs),
        },
      }),
      ...(store.encryption && {
        encryption: {
          keys: store.encryption.keys.map(({ id, from }) => ({ id, ...from })),
          plain: store.encryption.plain,
        },
      }),
    },
    locks: { nodes: [...config.locks.nodes] },
    ...quotasOf(quotas),
    admin: { ...admin },
    log: { ...config.log },
    tracing: { ...config.tracing },
    ...describeNotify(config.notify),
    workers: config.workers,
    ...describePolicies(config),
  };
}

function quotasOf({ newKeys, liveRecords }: GatewayConfig["quotas"]): Pick<FileConfig, "quotas"> {
  if (newKeys === undefined && liveRecords === undefined) return {};
  return {
    quotas: {
      ...(newKeys && { newKeys: { ...newKeys } }),
      ...(liveRecords !== undefined && { liveRecords }),
    },
  };
}

/** The policies alone, as the file would say them. */
export function describePolicies(
  config: GatewayConfig,
): Required<Pick<FileConfig, "defaults" | "routes">> {
  return {
    defaults: describePolicy(config.defaults, "defaults"),
    routes: config.routes.map(describeRoute),
  };
}

function describeRoute({
  methods,
  path,
  policy,
}: Route): NonNullable<FileConfig["routes"]>[number] {
  return {
    name: policy.route,
    match: { methods: [...methods], path },
    ...describePolicy(policy, "route"),
  };
}

/** A route that never tells a conflict must not say how; it has that from the defaults. */
function describePolicy(policy: Policy, place: "defaults" | "route"): PolicySettings {
  return {
    mode: policy.mode,
    profile: policy.profile,
    status: describeStatus(policy.status),
    key: describeKey(policy.key, place === "route" && policy.mode === "off"),
    scope: describeScope(policy),
    fingerprint: {
      body: policy.fingerprint.body,
      headers: [...policy.fingerprint.headers],
      ignore: [...policy.fingerprint.ignore],
    },
    duplicates: {
      report: policy.duplicates.report,
      window: formatDuration(policy.duplicates.windowMs),
    },
    onInFlight: policy.onInFlight,
    waitTimeout: formatDuration(policy.waitTimeoutMs),
    onStoreError: policy.onStoreError,
    onUnknown: policy.onUnknown,
    ...describeProbe(policy),
    retention: {
      completed: formatDuration(policy.retention.completedMs),
      unknown: formatDuration(policy.retention.unknownMs),
    },
    limits: {
      requestBytes: formatSize(policy.limits.requestBytes),
      responseBytes: formatSize(policy.limits.responseBytes),
    },
    respond: describeRespond(policy.respond),
    replay: {
      dropHeaders: [...policy.replay.dropHeaders],
      status: Object.fromEntries(policy.replay.status),
      as: policy.replay.as,
      ...((policy.replay.as === "conflict" || place === "defaults") && {
        conflictStatus: policy.replay.conflict.status,
        conflictBody: policy.replay.conflict.body,
      }),
      whenChanged: policy.replay.whenChanged,
      ...describeAuthorize(policy.replay),
    },
    ...(policy.resource && { resource: describeResource(policy.resource) }),
    docsUrl: policy.docsUrl ?? "",
  };
}

function describeAuthorize({ authorize }: Policy["replay"]): PolicySettings["replay"] & object {
  if (authorize === undefined) return { authorize: "" };
  return { authorize: authorize.url, authorizeTimeout: formatDuration(authorize.timeoutMs) };
}

function describeStatus(status: Policy["status"]): NonNullable<PolicySettings["status"]> {
  const entries = STATUS_KEYS.flatMap(([key, code]) => {
    const value = status[code];
    return value === undefined ? [] : [[key, value] as const];
  });
  return Object.fromEntries(entries);
}

function describeScope({ scopeHeaders, scopeJwt }: Policy): PolicySettings["scope"] & object {
  if (scopeJwt === undefined) return { headers: [...scopeHeaders] };
  const { claims, clockToleranceMs, ...jwt } = scopeJwt;
  return {
    jwt: { ...jwt, claims: [...claims], clockTolerance: formatDuration(clockToleranceMs) },
  };
}

/** A route that guards nothing must not say that it requires a key; it has that from the defaults. */
function describeKey(
  { source, required, format }: Policy["key"],
  guardsNothing: boolean,
): PolicySettings["key"] & object {
  const rest = { ...(!(guardsNothing && required) && { required }), format };
  return source.from === "body"
    ? { from: "body", pointers: [...source.pointers], ...rest }
    : { from: source.from, name: source.name, ...rest };
}

/** What the file must say to come to these lists again: the difference to the built-in ones. */
function describeRespond({
  release,
  unknown,
  keepsAnswer,
}: Policy["respond"]): PolicySettings["respond"] & object {
  const taken = new Set([...release, ...unknown]);
  return {
    release: release.filter((status) => !RELEASE_STATUSES.includes(status)),
    unknown: unknown.filter((status) => !UNKNOWN_STATUSES.includes(status)),
    record: keepsAnswer
      ? [...RELEASE_STATUSES, ...UNKNOWN_STATUSES].filter((status) => !taken.has(status))
      : "never",
  };
}
