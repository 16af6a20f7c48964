/**
 * The gateway's own requests, to servers that the configuration names: an issuer's keys, an authorizer, a webhook. One request,
 * one answer, bounded in time and in size; no redirect is followed and nothing is sent twice. Connections are the guarded
 * call's, with all that it refuses in an answer.
 */
import type { OutboundRequest } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import { createUpstream, type UpstreamPool } from "./upstream.ts";

export type AskAnswer =
  /** `body` is undefined where there was more than was asked for. */
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: readonly HeaderPair[];
      readonly body: Uint8Array | undefined;
    }
  /** `cause`: a word for the log. */
  | { readonly kind: "failed"; readonly cause: string };

export interface Asker {
  /** A GET. Never rejects. */
  ask(
    url: string,
    headers: readonly HeaderPair[],
    limits: { readonly timeoutMs: number; readonly bytes: number },
  ): Promise<AskAnswer>;
  /** Never rejects. */
  post(
    url: string,
    headers: readonly HeaderPair[],
    body: Uint8Array,
    limits: { readonly timeoutMs: number; readonly bytes: number },
  ): Promise<AskAnswer>;
  close(): Promise<void>;
}

/** To one server, at once. */
const CONNECTIONS = 32;

export function createAsker(): Asker {
  const pools = new Map<string, UpstreamPool>();
  const poolFor = (origin: string, timeoutMs: number): UpstreamPool => {
    const known = pools.get(origin);
    if (known !== undefined) return known;
    const options = { url: origin, connectTimeoutMs: timeoutMs, connections: CONNECTIONS };
    const pool = createUpstream(options);
    pools.set(origin, pool);
    return pool;
  };
  const send = async (
    url: string,
    message: Pick<OutboundRequest, "method" | "headers" | "body">,
    { timeoutMs, bytes }: { readonly timeoutMs: number; readonly bytes: number },
  ): Promise<AskAnswer> => {
    const { origin, pathname, search } = new URL(url);
    const limits = { deadlineMs: timeoutMs, responseBytes: bytes };
    const request = { ...message, target: pathname + search };
    const outcome = await poolFor(origin, timeoutMs).send(request, limits);
    switch (outcome.kind) {
      case "answered":
        return { kind: "answered", ...outcome.answer };
      case "streaming": {
        const { status, headers } = outcome;
        outcome.stream.cancel();
        return { kind: "answered", status, headers, body: undefined };
      }
      case "not-sent":
      case "unknown":
        return { kind: "failed", cause: outcome.cause };
    }
  };
  return {
    ask: (url, headers, limits) =>
      send(url, { method: "GET", headers, body: new Uint8Array() }, limits),
    post: (url, headers, body, limits) => send(url, { method: "POST", headers, body }, limits),
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.close()));
    },
  };
}
