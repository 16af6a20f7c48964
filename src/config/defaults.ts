/**
 * What holds where nobody said anything, in the words of the configuration file. The one place for it:
 * `config/gateway.yaml`, the JSON Schema and the reference are held to this object by tests.
 */
import type { PolicyValues } from "./inherit.ts";

/**
 * No `key.name` and no `key.pointers`, which depend on `key.from`, no `probe.path`, which only the user knows, no
 * `probe.releaseAfter`, which follows from the lease, and no `resource`, which is a route's own.
 */
export const DEFAULT_POLICY: PolicyValues = {
  mode: "enforce",
  profile: "default",
  status: {},
  key: { from: "header", required: false, format: "any" },
  scope: { headers: ["Authorization", "X-Api-Key"] },
  fingerprint: { body: "raw", headers: [], ignore: [] },
  duplicates: { report: false, window: "10s" },
  onInFlight: "reject",
  waitTimeout: "30s",
  onStoreError: "reject",
  onUnknown: "by-method",
  probe: { as: "caller", timeout: "2s", headers: [] },
  retention: { completed: "24h", unknown: "72h" },
  limits: { requestBytes: "1MiB", responseBytes: "1MiB" },
  respond: { release: [], unknown: [], record: [] },
  replay: {
    dropHeaders: [],
    status: {},
    as: "recorded",
    conflictStatus: 409,
    conflictBody: "problem",
    whenChanged: "replay",
    authorize: "",
    authorizeTimeout: "1s",
  },
  docsUrl: "",
};

/** Of `scope.jwt`, where it is given. No `jwks`, no `issuer` and no `audience`, which only the user knows. */
export const DEFAULT_JWT: { readonly claims: string[]; readonly clockTolerance: string } = {
  claims: ["sub"],
  clockTolerance: "30s",
};

/**
 * Of a route's `resource`, and of its `afterDelete` where that is given. No `id`, which names the resource, and no
 * `serialize`, which follows from the others.
 */
export const DEFAULT_RESOURCE = {
  precondition: "off",
  put: "upsert",
  once: false,
  afterDelete: { remember: "24h", put: 410, delete: "replay" },
} as const;

/** Where `key.from` is `header` and no name is given. */
export const DEFAULT_KEY_NAME = "Idempotency-Key";

/** No `store.lease`, which follows from other values, and no `store.replicas`, `store.encryption` and `notify.webhook`, which are off. */
export const DEFAULTS = {
  listen: {
    host: "0.0.0.0",
    port: 8080,
    trustedProxies: ["127.0.0.0/8", "::1/128"],
    headersTimeout: "10s",
    bodyTimeout: "30s",
    idleTimeout: "60s",
    maxConnections: 0,
  },
  upstream: {
    url: "http://127.0.0.1:3000",
    connectTimeout: "2s",
    timeout: "30s",
    connections: 128,
  },
  store: { url: "file:./.idempotency", timeout: "250ms", keyPrefix: "idem:" },
  locks: { nodes: [] },
  admin: { host: "127.0.0.1", port: 9091, token: "", showAnswers: false },
  log: { level: "info" },
  tracing: { endpoint: "", sample: 1, serviceName: "idempotency-gateway" },
  workers: 1,
} as const;

/** Of `store.replicas`, where it is given at all. */
export const DEFAULT_REPLICAS = { wait: 1, timeout: "50ms" } as const;

/** Of `store.encryption`, where it is given at all. */
export const DEFAULT_ENCRYPTION = { plain: "refuse" } as const;

/** Of `notify.webhook`, where it is given at all. No `url` and no `secrets`, which only the user knows. */
export const DEFAULT_WEBHOOK = {
  name: "idempotency-gateway",
  timeout: "5s",
  interval: "30s",
  retryFor: "1h",
} as const;

/** "Not processed": the upstream says that a retry is welcome, so the key is free again. */
export const RELEASE_STATUSES: readonly number[] = [401, 407, 408, 421, 425, 429, 503];

/** The upstream is itself a proxy here, and does not know either. */
export const UNKNOWN_STATUSES: readonly number[] = [502, 504];
