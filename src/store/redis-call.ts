/**
 * Calls the scripts and takes their answers apart: a word, and what belongs to it. Every failure leaves here as one of
 * the store port's errors.
 */
import { RecordCorrupt, StoreUnavailable } from "../core/ports.ts";
import { within } from "./deadline.ts";
import { inOneWrite } from "./redis-client.ts";
import type { ScriptedClient } from "./redis-client.ts";
import type { ServerClock } from "./redis-clock.ts";
import { asStoreError, codeWord } from "./redis-errors.ts";
import { ReplyMisplaced } from "./redis-order.ts";
import type { Order } from "./redis-order.ts";
import type { ScriptName } from "./redis-scripts.ts";

/** What a script answered. */
export interface Reply {
  readonly word: string;
  readonly data: readonly unknown[];
}

/** Runs one script on the record's key; the id goes first, as ARGV[1], and `args` behind it. */
export type RunScript = (
  script: ScriptName,
  id: string,
  ...args: readonly (string | Buffer | number)[]
) => Promise<Reply>;

export interface Line {
  readonly client: ScriptedClient;
  readonly timeoutMs: number;
  readonly order: Order;
  readonly clock: ServerClock;
  /** The word of the last connection error. */
  readonly lastTrouble: () => string | undefined;
}

export function scriptRunner(line: Line, keyOf: (id: string) => string): RunScript {
  const { client, timeoutMs, order, clock, lastTrouble } = line;
  return async (script, id, ...args) => {
    // DANGER: a Cluster client without slots keeps a call until it has some, long after the caller was refused, and a
    // claim that runs then has no owner.
    if (client.status !== "ready") {
      throw new StoreUnavailable(`Redis is not connected (${lastTrouble() ?? "connecting"}).`, {
        undone: true,
      });
    }
    const name = order.nextCall();
    inOneWrite(client);
    const askedAtMs = performance.now();
    const call = client[`${script}RecordBuffer`](keyOf(id), Buffer.from(id, "hex"), ...args, name);
    const answer = await inTime(call, timeoutMs, order);
    const reply = Array.isArray(answer) ? (answer as readonly unknown[]) : [];
    const [serverMs, echo] = reply.slice(-2);
    if (!Buffer.isBuffer(echo) || echo.toString("latin1") !== name) {
      order.broken();
      throw new ReplyMisplaced();
    }
    clock.heard(askedAtMs, asNumber(serverMs));
    return readReply(reply.slice(0, -2));
  };
}

async function inTime(call: Promise<unknown>, timeoutMs: number, order: Order): Promise<unknown> {
  try {
    return await within(timeoutMs, call);
  } catch (error) {
    // The client has the same time-out as the call.
    if (error instanceof StoreUnavailable || codeWord(error) === "TIMEOUT") order.doubt();
    throw asStoreError(error);
  }
}

function readReply([word, ...data]: readonly unknown[]): Reply {
  if (!Buffer.isBuffer(word)) throw unexpected("no word");
  if (word.toString("latin1") === "corrupt") {
    throw new RecordCorrupt("The stored record cannot be read: Redis holds something else there.");
  }
  return { word: word.toString("latin1"), data };
}

export function oneOf<Answer extends string>({ word }: Reply, ...known: readonly Answer[]): Answer {
  return known.find((answer) => answer === word) ?? raise(unexpected(word));
}

export function asNumber(value: unknown): number {
  return typeof value === "number" ? value : raise(unexpected("no number"));
}

export function asBytes(value: unknown): Buffer {
  return Buffer.isBuffer(value) ? value : raise(unexpected("no bytes"));
}

/** The scripts never answer like this, so a proxy in between or another script did. */
export function unexpected(what: string): RecordCorrupt {
  const word = /^[a-z -]{1,20}$/u.test(what) ? what : "other bytes";
  return new RecordCorrupt(`Redis gave an answer that no script gives (${word}).`);
}

function raise(error: Error): never {
  throw error;
}
