/**
 * The stage of the end-to-end tests: one gateway on one store in front of one upstream that numbers its executions, and
 * a caller whose requests differ only in what a test names.
 */
import type { Test } from "tap";
import { call, type Answer, type CallOptions } from "./client.ts";
import {
  startGateway,
  storeSettings,
  type GatewayOptions,
  type StoreName,
  type TestGateway,
} from "./gateway.ts";
import { until } from "./redis-server.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "./upstream.ts";

export interface Ask {
  /** The key's header field as it stands; more than one: sent so often. Left out: none. */
  readonly key?: string | readonly string[] | undefined;
  /** Default POST. */
  readonly method?: string;
  /** Path and query; default `TARGET`. */
  readonly target?: string;
  /** Default `BODY`; null: none. */
  readonly body?: string | Uint8Array | null;
  /** Over the default `Content-Type: application/json`. */
  readonly headers?: NonNullable<CallOptions["headers"]>;
  readonly signal?: AbortSignal;
}

export const TARGET = "/v1/charges";
export const BODY = '{"amount":100}';
export const DAY_MS = 86_400_000;

/** A record as the records API shows it. */
export type RecordView = Readonly<Record<string, unknown>>;

export interface Scene {
  readonly store: StoreName;
  readonly gateway: TestGateway;
  readonly upstream: TestUpstream;
  ask(ask?: Ask): Promise<Answer>;
  /** `GET /v1/records/ID`; undefined where there is none. */
  record(id: string): Promise<RecordView | undefined>;
  /** Resolves when the store has forgotten the record. */
  forgotten(id: string): Promise<void>;
  /** Resolves when the record is in that state. */
  inState(id: string, state: string): Promise<void>;
  /** Any request to the admin port. */
  admin(path: string, options?: CallOptions): Promise<Answer>;
}

/** Sections of the configuration, as in YAML; `store.url` and `upstream.url` are filled in. */
export interface SceneSettings {
  readonly upstream?: Readonly<Record<string, unknown>>;
  readonly store?: Readonly<Record<string, unknown>>;
  readonly defaults?: Readonly<Record<string, unknown>>;
  readonly routes?: readonly Readonly<Record<string, unknown>>[];
  readonly admin?: Readonly<Record<string, unknown>>;
  readonly tracing?: Readonly<Record<string, unknown>>;
  readonly quotas?: Readonly<Record<string, unknown>>;
}

/** `root` is the file's root test: a Redis that is shared lives as long as it. */
export async function startScene(
  t: Test,
  root: Test,
  store: StoreName,
  settings: SceneSettings = {},
  parts: GatewayOptions = {},
): Promise<Scene> {
  const upstream = await startUpstream(t);
  answerByNumber(upstream);
  const sections = {
    ...settings,
    upstream: { url: upstream.url, ...settings.upstream },
    store: { ...(await storeSettings(root, store)), timeout: "2s", ...settings.store },
  };
  const gateway = await startGateway(t, sections, parts);
  await until(async () => (await call(`${gateway.admin}/readyz`)).status === 200);
  const record = async (id: string): Promise<RecordView | undefined> => {
    const answer = await call(`${gateway.admin}/v1/records/${id}`);
    return answer.status === 200 ? answer.json() : undefined;
  };
  return {
    store,
    gateway,
    upstream,
    ask: (ask = {}) => call(gateway.url + (ask.target ?? TARGET), callOptions(ask)),
    record,
    forgotten: (id) => until(async () => (await record(id)) === undefined),
    inState: (id, state) => until(async () => (await record(id))?.["state"] === state),
    admin: (path, request) => call(gateway.admin + path, request),
  };
}

function callOptions({
  key,
  method = "POST",
  body = BODY,
  headers = {},
  signal,
}: Ask): CallOptions {
  return {
    method,
    headers: {
      // node:http frames no body of a DELETE by itself.
      ...(body !== null &&
        !("Transfer-Encoding" in headers) && { "Content-Length": String(Buffer.byteLength(body)) }),
      "Content-Type": "application/json",
      ...(key !== undefined && { "Idempotency-Key": key }),
      ...headers,
    },
    ...(body !== null && { body }),
    ...(signal !== undefined && { signal }),
  };
}

/** 201 with a Location and a body that say which execution it was, so that a replay differs from a second one. */
export function answerByNumber(upstream: TestUpstream): void {
  let executions = 0;
  upstream.respond((_call, _req, res) => {
    executions += 1;
    writeAnswer(res, {
      status: 201,
      headers: ["Content-Type", "text/plain", "Location", `/v1/charges/${executions}`],
      body: `execution ${executions}`,
    });
  });
}

/** Fresh, and readable in a failure. */
export function newKey(): string {
  keys += 1;
  return `key-${keys}`;
}
let keys = 0;
