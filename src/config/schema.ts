/**
 * The configuration as the rest of the gateway sees it: every value present, checked and in one unit. What people
 * write is `file-schema.ts`; how one becomes the other is `resolve.ts`. Nothing here parses, defaults or checks.
 */
import type { Policy, Route } from "../core/policy.ts";
import type { SecretPlace } from "./secret-places.ts";

/** From most to least said. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** Deep-frozen. Durations in milliseconds, sizes in bytes. */
export interface GatewayConfig {
  readonly listen: ListenConfig;
  readonly upstream: UpstreamConfig;
  readonly store: StoreConfig;
  readonly locks: LocksConfig;
  readonly quotas: QuotasConfig;
  readonly admin: AdminConfig;
  readonly log: { readonly level: LogLevel };
  readonly tracing: TracingConfig;
  readonly notify: NotifyConfig;
  /** Processes that share the listener; 1 serves from the main process. */
  readonly workers: number;
  /** What an unsafe request gets that no route matches. Its `route` is `default`. */
  readonly defaults: Policy;
  /** In order: the first match decides. */
  readonly routes: readonly Route[];
}

/** The port for clients. Time-outs are bounds against slow peers and say nothing about the upstream. */
export interface ListenConfig {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  /** 0 asks for any free port. */
  readonly port: number;
  /** CIDR blocks whose `X-Forwarded-*` fields are kept. */
  readonly trustedProxies: readonly string[];
  /** From the first byte of a request to the end of its header section. */
  readonly headersTimeoutMs: number;
  /** For the whole body of a guarded request. */
  readonly bodyTimeoutMs: number;
  /** A reader that takes nothing for this long is cut. */
  readonly idleTimeoutMs: number;
  /** 0: unlimited. */
  readonly maxConnections: number;
}

/** The one server behind the gateway; nothing in a request changes where it is. */
export interface UpstreamConfig {
  /** An origin: scheme, host and port, no path, no trailing slash. */
  readonly url: string;
  readonly connectTimeoutMs: number;
  /** For the whole call, connecting included. */
  readonly timeoutMs: number;
  /** At most this many at once, per process. */
  readonly connections: number;
}

/** Where the records are. */
export interface StoreConfig {
  /** May carry a password: never log it (`withoutSecrets` in `print.ts`). */
  readonly url: string;
  /** For one call. */
  readonly timeoutMs: number;
  readonly keyPrefix: string;
  /** Longer than the longest permitted upstream call and the store calls around it, so it is never renewed. */
  readonly leaseMs: number;
  readonly replicas: { readonly wait: number; readonly timeoutMs: number } | undefined;
  /** `undefined`: recorded answers are stored as they are. */
  readonly encryption?: EncryptionConfig | undefined;
}

export interface EncryptionConfig {
  /** The first one writes, all of them read. At least one. */
  readonly keys: readonly {
    readonly id: string;
    /** Where the key was read, for `--print-config`. */
    readonly from: SecretPlace;
    /** 64 hex digits. Never log it (`withoutSecrets` in `print.ts`). */
    readonly secret: string;
  }[];
  /** What is done with a record that is not encrypted. */
  readonly plain: "refuse" | "accept";
}

/** Who holds the locks of resources. */
export interface LocksConfig {
  /**
   * An odd number of independent Redis servers; empty: the store holds the locks. May carry passwords: never log them
   * (`withoutSecrets` in `print.ts`).
   */
  readonly nodes: readonly string[];
}

/** Where traces go. */
export interface TracingConfig {
  /** Empty: nowhere, and nothing of it is loaded. */
  readonly endpoint: string;
  /** 0 to 1. */
  readonly sample: number;
  readonly serviceName: string;
}

/** Who is told of what somebody has to look at. */
export interface NotifyConfig {
  /** `undefined`: nobody is called. */
  readonly webhook: WebhookConfig | undefined;
}

export interface WebhookConfig {
  /** Its query may name a credential: never log it (`withoutSecrets` in `print.ts`). */
  readonly url: string;
  /** Each of them signs. At least one. */
  readonly secrets: readonly {
    readonly from: SecretPlace;
    /** Base64, without `whsec_`. Never log it (`withoutSecrets` in `print.ts`). */
    readonly secret: string;
  }[];
  readonly name: string;
  /** For one call. */
  readonly timeoutMs: number;
  /** Between two calls at least. */
  readonly intervalMs: number;
  /** From the first try of a call on. */
  readonly retryForMs: number;
}

/** What one caller may take. */
export interface QuotasConfig {
  /** Counted per process. `undefined`: as many as it likes. */
  readonly newKeys: { readonly perSecond: number; readonly burst: number } | undefined;
  /** In the store, over all processes. `undefined`: as many as it likes, and nobody counts. */
  readonly liveRecords: number | undefined;
}

/** The port for operators. */
export interface AdminConfig {
  readonly host: string;
  /** 0 asks for any free port. */
  readonly port: number;
  /** Empty: none is set. Never log it. */
  readonly token: string;
  /** Only with a token. */
  readonly showAnswers: boolean;
}
