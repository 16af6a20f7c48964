/**
 * What a receiver is told: up to a hundred unknown outcomes in one message, each under an id that is the same whoever tells
 * of it and however often. Member by member, so that nothing else of a request is ever among it.
 */
import { Digest } from "../core/digest.ts";
import type { UnknownOutcome } from "../core/outcome.ts";

export interface Message {
  /** Stays with every repeat, as the body does. */
  readonly id: string;
  readonly body: string;
  readonly outcomes: number;
}

/** In one message: a body of some 30 KB, which receivers take. */
export const MOST_OUTCOMES = 100;

export interface About {
  readonly gateway: { readonly name: string; readonly instance: string };
  readonly atMs: number;
  /** How many more will be told in messages behind this one. */
  readonly waiting: number;
  /** How many could not be kept since the last message, and are in the records alone. */
  readonly dropped: number;
}

/** An outcome that is told, with when it became unknown. */
export type Dated = UnknownOutcome & { readonly sinceMs: number };

export function messageOf(outcomes: readonly Dated[], about: About): Message {
  const told = outcomes.map((outcome) => ({
    id: idOf([outcome.recordId, outcome.attempt]),
    record: outcome.recordId,
    route: outcome.route,
    method: outcome.method,
    reason: outcome.reason,
    since: new Date(outcome.sinceMs).toISOString(),
    fence: outcome.fence,
  }));
  const ids = told.map(({ id }) => id);
  const { gateway, atMs, waiting, dropped } = about;
  const body = {
    type: "idempotency.outcomes.unknown",
    timestamp: new Date(atMs).toISOString(),
    data: { gateway, count: told.length, waiting, dropped, outcomes: told },
  };
  return {
    id: ids.length === 1 ? (ids[0] ?? "") : idOf(ids),
    body: JSON.stringify(body),
    outcomes: told.length,
  };
}

function idOf(parts: readonly string[]): string {
  const digest = new Digest();
  digest.add("webhook");
  for (const part of parts) digest.add(part);
  return `msg_${digest.end("base64url")}`;
}
