/**
 * The store for many gateways: one Redis key per record, one Lua script per transition, one round trip each. The
 * scripts decide (held to core/record.ts by the contract suite); this file calls them and reads their words. Redis's
 * clock is the only one.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ListPage, ListQuery, SettleWatch, Store } from "../core/ports.ts";
import { RecordCorrupt, StoreUnavailable } from "../core/ports.ts";
import type {
  ClaimAnswer,
  ClaimRequest,
  CompleteAnswer,
  ForgetAnswer,
  RecordedResponse,
  ResolveAnswer,
  StoredRecord,
  WriteAnswer,
} from "../core/record.ts";
import { asOf, RESOLVED_TOKEN } from "../core/record.ts";
import { decodeRecord, decodeSummary, encodeResponseHead } from "./codec.ts";
import { within } from "./deadline.ts";
import { connect } from "./redis-client.ts";
import { asStoreError, codeWord } from "./redis-errors.ts";
import { healthCheck } from "./redis-health.ts";
import { lister } from "./redis-list.ts";
import { loadScripts } from "./redis-scripts.ts";
import type { ScriptName } from "./redis-scripts.ts";
import { settleSignal } from "./redis-signal.ts";
import { parseRedisUrl } from "./redis-url.ts";
import { summaryAsOf } from "./summary.ts";

export { parseRedisUrl } from "./redis-url.ts";

export interface RedisStoreOptions {
  /** See `parseRedisUrl`. */
  readonly url: string;
  /** Every call settles within this many milliseconds. */
  readonly timeoutMs: number;
  /** Stands in front of every key: `<keyPrefix>{<record id>}`. */
  readonly keyPrefix: string;
  /**
   * A claim counts only when `wait` replicas have it, asked for `timeoutMs`. It shrinks what a failover can lose and
   * does not close it. Not with Cluster.
   */
  readonly replicas?: { readonly wait: number; readonly timeoutMs: number };
}

/** What a script answered: a word and what belongs to it. */
interface Reply {
  readonly word: string;
  readonly data: readonly unknown[];
}

/**
 * Connects in the background; calls reject with `StoreUnavailable` until it stands, and again while it is lost.
 * @throws Error when the URL cannot be used; the message names no secret.
 */
export function createRedisStore(options: RedisStoreOptions): Store {
  const { timeoutMs, keyPrefix, replicas } = options;
  const target = parseRedisUrl(options.url);
  if (replicas !== undefined && target.where.kind === "cluster") {
    throw new Error("Waiting for replicas is not possible with Redis Cluster.");
  }
  let lastTrouble: string | undefined;
  const { client, subscriber } = connect(target, timeoutMs, loadScripts(), (error) => {
    lastTrouble = codeWord(error);
  });
  const keyOf = (id: string): string => `${keyPrefix}{${id}}`;
  const signal = settleSignal(subscriber, keyOf, timeoutMs);
  const problems = healthCheck(client, timeoutMs, () => lastTrouble);

  async function run(
    script: ScriptName,
    id: string,
    ...args: readonly (string | Buffer | number)[]
  ): Promise<Reply> {
    try {
      const call = client[`${script}RecordBuffer`](keyOf(id), Buffer.from(id, "hex"), ...args);
      return readReply(await within(timeoutMs, call));
    } catch (error) {
      throw asStoreError(error);
    }
  }

  async function claim(request: ClaimRequest): Promise<ClaimAnswer> {
    const { id, token, fingerprint, method, target, route, leaseMs, unknownRetentionMs } = request;
    const reply = await run(
      "claim",
      id,
      Buffer.from(token, "hex"),
      Buffer.from(fingerprint, "hex"),
      method,
      target,
      route,
      leaseMs,
      unknownRetentionMs,
      request.onUnknown,
    );
    const answer = readClaim(id, reply);
    if (answer.kind === "granted" && replicas !== undefined) await confirm(request, replicas);
    return answer;
  }

  /** WAIT counts what this connection wrote, so it goes down the same one right behind the claim. */
  async function confirm(
    { id, token }: ClaimRequest,
    { wait, timeoutMs: waitMs }: NonNullable<RedisStoreOptions["replicas"]>,
  ): Promise<void> {
    let reached: number;
    try {
      reached = await within(timeoutMs, client.wait(wait, waitMs));
    } catch (error) {
      await giveBack(id, token);
      throw asStoreError(error);
    }
    if (reached >= wait) return;
    await giveBack(id, token);
    throw new StoreUnavailable(`Only ${reached} of ${wait} replicas have the claim.`);
  }

  /** Nothing was sent for this claim. Where even this fails, its lease ends it. */
  async function giveBack(id: string, token: string): Promise<void> {
    await run("release", id, Buffer.from(token, "hex")).catch((error: unknown) => {
      lastTrouble = codeWord(error);
    });
  }

  async function complete(
    id: string,
    token: string,
    response: RecordedResponse,
    retentionMs: number,
  ): Promise<CompleteAnswer> {
    const { body } = response;
    const head = encodeResponseHead(response);
    const owner = Buffer.from(token, "hex");
    const { word, data } =
      body === undefined
        ? await run("completeBare", id, owner, retentionMs, head)
        : await run("complete", id, owner, retentionMs, Buffer.concat([head, body]));
    if (word === "lost") return { kind: "lost" };
    if (word === "done") return { kind: "done", expiresAtMs: asNumber(data[0]) };
    throw unexpected(word);
  }

  async function inspect(id: string): Promise<StoredRecord | undefined> {
    const { word, data } = await run("inspect", id, "whole");
    if (word === "absent") return undefined;
    return asOf(decodeRecord(id, asBytes(data[0])), asNumber(data[1]));
  }

  const listPage = lister(client, keyPrefix, async (id) => {
    const { word, data } = await run("inspect", id, "summary");
    if (word === "absent") return undefined;
    return summaryAsOf(decodeSummary(id, asBytes(data[0])), asNumber(data[1]));
  });

  async function list(query: ListQuery): Promise<ListPage> {
    try {
      return await within(timeoutMs, listPage(query));
    } catch (error) {
      throw asStoreError(error);
    }
  }

  return {
    claim,
    complete,
    inspect,
    list,
    problems,
    release: async (id, token) =>
      oneOf<WriteAnswer>(await run("release", id, Buffer.from(token, "hex")), "done", "lost"),
    markUnknown: async (id, token, reason, retentionMs) =>
      oneOf<WriteAnswer>(
        await run("markUnknown", id, Buffer.from(token, "hex"), reason, retentionMs),
        "done",
        "lost",
      ),
    forget: async (id) =>
      oneOf<ForgetAnswer>(await run("forget", id), "done", "absent", "in-flight"),
    resolve: async (id, outcome, retentionMs) =>
      oneOf<ResolveAnswer>(
        await run("resolve", id, outcome, retentionMs, Buffer.from(RESOLVED_TOKEN, "hex")),
        "done",
        "absent",
        "not-unknown",
      ),
    watch: (id): Promise<SettleWatch> => signal.watch(id),
    close: async () => {
      signal.close();
      // Not QUIT: a server that does not answer would keep the process from ending.
      client.disconnect();
      subscriber.disconnect();
      await sleep(0);
    },
  };
}

function readClaim(id: string, { word, data }: Reply): ClaimAnswer {
  switch (word) {
    case "granted":
      return { kind: "granted", fence: asNumber(data[0]) };
    case "mismatch": {
      const record = summaryAsOf(decodeSummary(id, asBytes(data[0])), asNumber(data[1]));
      if (record !== undefined) return { kind: "mismatch", record };
      break;
    }
    case "replay": {
      const record = decodeRecord(id, asBytes(data[0]));
      if (record.state === "completed") return { kind: "replay", record };
      break;
    }
    case "busy":
    case "unknown": {
      const nowMs = asNumber(data[1]);
      const record = asOf(decodeRecord(id, asBytes(data[0])), nowMs);
      if (word === "busy" && record?.state === "in-flight") return { kind: word, record, nowMs };
      if (word === "unknown" && record?.state === "unknown") return { kind: word, record };
      break;
    }
  }
  throw unexpected(word);
}

function readReply(reply: unknown): Reply {
  if (!Array.isArray(reply) || !Buffer.isBuffer(reply[0])) throw unexpected("no list");
  const [word, ...data] = reply as [Buffer, ...unknown[]];
  if (word.toString("latin1") === "corrupt") {
    throw new RecordCorrupt("The stored record cannot be read: Redis holds something else there.");
  }
  return { word: word.toString("latin1"), data };
}

function oneOf<Answer extends string>({ word }: Reply, ...known: readonly Answer[]): Answer {
  return known.find((answer) => answer === word) ?? raise(unexpected(word));
}

function asNumber(value: unknown): number {
  return typeof value === "number" ? value : raise(unexpected("no number"));
}

function asBytes(value: unknown): Buffer {
  return Buffer.isBuffer(value) ? value : raise(unexpected("no bytes"));
}

/** The scripts never answer like this, so a proxy in between or another script did. */
function unexpected(what: string): RecordCorrupt {
  const word = /^[a-z -]{1,20}$/u.test(what) ? what : "other bytes";
  return new RecordCorrupt(`Redis gave an answer that no script gives (${word}).`);
}

function raise(error: Error): never {
  throw error;
}
