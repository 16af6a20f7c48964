/**
 * The store for many gateways: one Redis key per record, one Lua script per transition, one round trip each. The
 * scripts decide (held to core/record.ts by the contract suite); this file calls them and reads their words. Redis's
 * clock is the only one.
 */
import type { ListPage, ListQuery, Store } from "../core/ports.ts";
import { RESOLVED_TOKEN } from "../core/desk.ts";
import type { ForgetAnswer, ResolveAnswer } from "../core/desk.ts";
import type { Finding } from "../core/probe-ports.ts";
import type { CompleteAnswer, RecordedResponse, WriteAnswer } from "../core/record.ts";
import { asOf } from "../core/record.ts";
import { decodeRecord, encodeAnswer } from "./codec.ts";
import { within } from "./deadline.ts";
import type { Keyring } from "./encryption.ts";
import { asBytes, asNumber, oneOf, scriptRunner, unexpected } from "./redis-call.ts";
import type { Line, RunScript } from "./redis-call.ts";
import { redisCells } from "./redis-cells.ts";
import { claimer } from "./redis-claim.ts";
import { connect, connectForWait, hangUp } from "./redis-client.ts";
import type { ScriptedClient } from "./redis-client.ts";
import { createServerClock } from "./redis-clock.ts";
import { asStoreError, codeWord } from "./redis-errors.ts";
import { healthCheck } from "./redis-health.ts";
import { lister } from "./redis-list.ts";
import { createOrder } from "./redis-order.ts";
import { confirmer } from "./redis-replicas.ts";
import type { ReplicaWait } from "./redis-replicas.ts";
import { redisRoll } from "./redis-roll.ts";
import { loadScripts } from "./redis-scripts.ts";
import { settleSignal } from "./redis-signal.ts";
import { parseRedisUrl } from "./redis-url.ts";
import { damageOf, readListed, type Listed } from "./summary.ts";

export interface RedisStoreOptions {
  /** See `parseRedisUrl`. */
  readonly url: string;
  /** Every call settles within this many milliseconds. */
  readonly timeoutMs: number;
  /** Stands in front of every key: `<keyPrefix>{<record id>}`, `r:{<resource id>}`, `s:{<scope>}`. */
  readonly keyPrefix: string;
  /**
   * A claim counts only when `wait` replicas have it, asked for `timeoutMs`. It shrinks what a failover can lose and
   * does not close it. Not with Cluster.
   */
  readonly replicas?: ReplicaWait;
  /** Left out: recorded answers are stored as they are. */
  readonly keyring?: Keyring;
}

/**
 * Connects in the background; calls reject with `StoreUnavailable` until it stands, and again while it is lost.
 * @throws Error when the URL cannot be used; the message names no secret.
 */
export function createRedisStore(options: RedisStoreOptions): Store {
  const { timeoutMs, keyPrefix, replicas, keyring } = options;
  const address = parseRedisUrl(options.url);
  if (replicas !== undefined && address.where.kind === "cluster") {
    throw new Error("Waiting for replicas is not possible with Redis Cluster.");
  }
  let trouble: string | undefined;
  const onError = (error: Error): void => {
    trouble = codeWord(error);
  };
  const scripts = loadScripts();
  const { client, subscriber } = connect(address, timeoutMs, scripts, onError);
  const waiting =
    replicas && connectForWait(address, timeoutMs + replicas.timeoutMs, scripts, onError);
  const keyOf = (id: string): string => `${keyPrefix}{${id}}`;
  const clock = createServerClock();
  const lineOf = (over: ScriptedClient): Line => ({
    client: over,
    timeoutMs,
    order: createOrder(over, timeoutMs),
    clock,
    lastTrouble: () => trouble,
  });
  const line = lineOf(client);
  const run = scriptRunner(line, keyOf);
  const confirmation =
    replicas && waiting
      ? { replicas, confirm: confirmer(waiting, scriptRunner(lineOf(waiting), keyOf), replicas) }
      : undefined;
  const cellKeyOf = (id: string): string => `${keyPrefix}r:{${id}}`;
  // What stands on a roll is called by its scope and the record.
  const rollKeyOf = (name: string): string => `${keyPrefix}s:{${name.slice(0, 64)}}`;
  const signal = settleSignal(subscriber, keyOf, timeoutMs);
  const listPage = lister(client, keyPrefix, (id) => listed(run, id, keyring));

  return {
    claim: claimer(run, clock, timeoutMs, confirmation, keyring),
    complete: (id, token, response, retentionMs) =>
      complete(run, { id, token }, response, retentionMs, keyring),
    release: async (id, token) =>
      oneOf<WriteAnswer>(await run("release", id, bytesOf(token)), "done", "lost"),
    markUnknown: async (id, token, reason, retentionMs) => {
      const reply = await run("markUnknown", id, bytesOf(token), reason, retentionMs);
      return oneOf<WriteAnswer>(reply, "done", "lost");
    },
    inspect: async (id) => (await look(run, id, keyring))?.record,
    look: (id) => look(run, id, keyring),
    settleUnknown: (id, attempt, finding) => settleUnknown(run, id, attempt, finding, keyring),
    list: (query) => bounded(timeoutMs, listPage, query),
    forget: async (id, attempt = "") => {
      const reply = await run("forget", id, bytesOf(attempt));
      return oneOf<ForgetAnswer>(reply, "done", "absent", "in-flight", "overtaken");
    },
    resolve: async (id, outcome, retentionMs, attempt = "") => {
      const token = bytesOf(RESOLVED_TOKEN);
      const reply = await run("resolve", id, outcome, retentionMs, token, bytesOf(attempt));
      return oneOf<ResolveAnswer>(reply, "done", "absent", "not-unknown", "overtaken");
    },
    ...redisCells(scriptRunner(line, cellKeyOf)),
    ...redisRoll(scriptRunner(line, rollKeyOf), run, timeoutMs),
    watch: (id) => signal.watch(id),
    problems: healthCheck(
      [client, ...(waiting ? [waiting] : [])],
      timeoutMs,
      replicas,
      () => trouble,
    ),
    close: async () => {
      signal.close();
      for (const connection of [client, subscriber, waiting]) {
        if (connection !== undefined) hangUp(connection);
      }
    },
  };
}

const bytesOf = (hex: string): Buffer => Buffer.from(hex, "hex");

/** Two scripts, because only the small one may write where memory is full. */
async function complete(
  run: RunScript,
  claimed: { readonly id: string; readonly token: string },
  response: RecordedResponse,
  retentionMs: number,
  keyring: Keyring | undefined,
): Promise<CompleteAnswer> {
  const { id } = claimed;
  const token = bytesOf(claimed.token);
  const { answer, body } = encodeAnswer(claimed, response, keyring);
  const { word, data } =
    body === undefined
      ? await run("completeBare", id, token, retentionMs, answer)
      : await run("complete", id, token, retentionMs, answer, Buffer.from(body));
  if (word === "lost") return { kind: "lost" };
  if (word === "done") return { kind: "done", expiresAtMs: asNumber(data[0]) };
  throw unexpected(word);
}

async function look(
  run: RunScript,
  id: string,
  keyring: Keyring | undefined,
): ReturnType<Store["look"]> {
  const { word, data } = await run("inspect", id, "whole");
  if (word === "absent") return undefined;
  const nowMs = asNumber(data[1]);
  const record = asOf(decodeRecord(id, asBytes(data[0]), keyring), nowMs);
  return record && { record, nowMs };
}

async function settleUnknown(
  run: RunScript,
  id: string,
  attempt: string,
  finding: Finding,
  keyring: Keyring | undefined,
): Promise<WriteAnswer> {
  const { token, keptMs, answer, body, by } = writtenOf(id, finding, keyring);
  const about = bytesOf(attempt);
  const found = finding.kind;
  const reply = await run("settleUnknown", id, about, found, token, keptMs, answer, body, by);
  return oneOf<WriteAnswer>(reply, "done", "lost");
}

/** What stands behind a finding in the script's arguments; nothing where the record is to be forgotten. */
function writtenOf(id: string, finding: Finding, keyring: Keyring | undefined) {
  if (finding.kind === "not-executed") {
    return { token: "", keptMs: 0, answer: "", body: "", by: "" };
  }
  const { token, response, retentionMs: keptMs, by } = finding;
  const { answer, body } = encodeAnswer({ id, token }, response, keyring);
  return { token: bytesOf(token), keptMs, answer, body: Buffer.from(body ?? []), by };
}

async function listed(run: RunScript, id: string, keyring: Keyring | undefined): Promise<Listed> {
  try {
    const { word, data } = await run("inspect", id, "summary");
    if (word === "absent") return undefined;
    return readListed(id, asBytes(data[0]), asNumber(data[1]), keyring);
  } catch (error) {
    return damageOf(id, error);
  }
}

/** A page takes several round trips; the time-out is for all of them. */
async function bounded(
  timeoutMs: number,
  listPage: (query: ListQuery) => Promise<ListPage>,
  query: ListQuery,
): Promise<ListPage> {
  try {
    return await within(timeoutMs, listPage(query));
  } catch (error) {
    throw asStoreError(error);
  }
}
