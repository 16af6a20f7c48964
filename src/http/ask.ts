/**
 * The gateway's own questions, to servers that the configuration names: an issuer's keys, an authorizer. One request,
 * one answer, bounded in time and in size; no redirect is followed and nothing is sent twice. Connections are the guarded
 * call's, with all that it refuses in an answer.
 */
import type { HeaderPair } from "../core/record.ts";
import { createUpstream, type UpstreamPool } from "./upstream.ts";

export type AskAnswer =
  /** `body` is undefined where there was more than was asked for. */
  | { readonly kind: "answered"; readonly status: number; readonly body: Uint8Array | undefined }
  /** `cause`: a word for the log. */
  | { readonly kind: "failed"; readonly cause: string };

export interface Asker {
  /** A GET. Never rejects. */
  ask(
    url: string,
    headers: readonly HeaderPair[],
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
  return {
    async ask(url, headers, { timeoutMs, bytes }) {
      const { origin, pathname, search } = new URL(url);
      const request = { method: "GET", target: pathname + search, headers, body: new Uint8Array() };
      const limits = { deadlineMs: timeoutMs, responseBytes: bytes };
      const outcome = await poolFor(origin, timeoutMs).send(request, limits);
      switch (outcome.kind) {
        case "answered":
          return { kind: "answered", status: outcome.answer.status, body: outcome.answer.body };
        case "streaming":
          outcome.stream.cancel();
          return { kind: "answered", status: outcome.status, body: undefined };
        case "not-sent":
        case "unknown":
          return { kind: "failed", cause: outcome.cause };
      }
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.close()));
    },
  };
}
