/**
 * The records API: what operators may see of a record, and having it forgotten; resolving is `resolution.ts`. Shows no keys,
 * bodies, tokens or fingerprints, of targets only the path, and of recorded headers only `Location` and `Content-Type`.
 */
import type { ListQuery, RecordDesk } from "../core/ports.ts";
import { attemptOf } from "../core/desk.ts";
import type { ForgetAnswer, Resolution, ResolveAnswer } from "../core/desk.ts";
import type { ProbeStore } from "../core/probe-ports.ts";
import { pathOnly } from "../core/problem.ts";
import { type RecordState, type RecordSummary, summarise } from "../core/record.ts";
import { type AdminReply, json, noContent, problem } from "./reply.ts";

/** What an operator did, for the log. `failed`: the store gave no answer, so it may or may not have happened. */
export type Change =
  | {
      readonly action: "forget";
      readonly recordId: string;
      readonly answer: ForgetAnswer | "failed";
    }
  | {
      readonly action: "resolve";
      readonly recordId: string;
      readonly outcome: Resolution;
      /** Of the answer that was given with it, if one was. */
      readonly givenStatus?: number;
      readonly givenBytes?: number;
      /** `refused`: its route does not record such an answer. */
      readonly answer: ResolveAnswer | "refused" | "failed";
    };

const STATES: readonly RecordState[] = ["in-flight", "completed", "unknown"];
/** Records to a page, where the caller does not say. */
const DEFAULT_LIMIT = 100;
/** What the store port promises to take. */
const MAX_LIMIT = 1000;
const RECORD_ID = /^[0-9a-f]{64}$/;
/** Opaque here, so only its form is checked: visible ASCII, as every store writes it. */
const CURSOR = /^[\x21-\x7e]{1,2048}$/;

/** `GET /v1/records`: one page. Rejects with the errors of the store port, as do the others below. */
export async function listRecords(desk: RecordDesk, search: URLSearchParams): Promise<AdminReply> {
  const query = readQuery(search);
  if (typeof query === "string") return problem("request-invalid", query);
  const page = await desk.list(query);
  return json(200, {
    records: page.records.map(viewOf),
    ...(page.damaged !== undefined && { damaged: page.damaged }),
    ...(page.cursor !== undefined && { cursor: page.cursor }),
  });
}

/** How often a process of this gateway has told a record's answer again, since the process began. */
export interface Replayed {
  /** As `claimedBy` names one. */
  readonly by: string;
  readonly count: number;
  readonly lastAtMs: number;
}

/** What the processes of this gateway know of one record's replays. */
export interface Recollection {
  readonly told: readonly Replayed[];
  /** How many did not say in time what they know. */
  readonly silent: number;
}

/** `GET /v1/records/:id`. */
export async function showRecord(
  {
    desk,
    replaysOf,
  }: {
    readonly desk: RecordDesk;
    readonly replaysOf: (id: string) => Promise<Recollection>;
  },
  id: string,
): Promise<AdminReply> {
  const record = await desk.inspect(id);
  if (record === undefined) return absent();
  const view = viewOf(summarise(record));
  // Nothing else can be told again.
  if (record.state !== "completed") return json(200, view);
  const { told, silent } = await replaysOf(id);
  const replays = told.map(({ by, count, lastAtMs }) => {
    return { by, count, last: rfc3339(lastAtMs) };
  });
  return json(200, { ...view, replays, ...(silent > 0 && { silentProcesses: silent }) });
}

/**
 * `DELETE /v1/records/:id`. DANGER: the next request with this key executes, whatever the record said. A live claim is
 * refused by the store; everything else is the operator's responsibility, and is audited.
 */
export async function forgetRecord(
  desk: RecordDesk & Pick<ProbeStore, "look">,
  id: string,
  search: URLSearchParams,
  audit: (change: Change) => void,
): Promise<AdminReply> {
  const attempt = search.get("attempt") ?? undefined;
  if (search.size > (attempt === undefined ? 0 : 1)) {
    return problem("request-invalid", "Only attempt can be given, once.");
  }
  const answer = await audited(
    () => ofAttempt(desk, id, attempt, (token) => desk.forget(id, token)),
    (told) => audit({ action: "forget", recordId: id, answer: told }),
  );
  switch (answer) {
    case "done":
      return noContent();
    case "absent":
      return absent();
    case "in-flight":
      return problem(
        "record-in-flight",
        "Its request may be running at the upstream, and without the record a retry would run a second time. Wait until it settles or its leaseUntil is over.",
      );
    case "overtaken":
      return overtaken();
  }
}

/**
 * Decides by `decide` where `attempt`, as a view shows it, is the attempt that stands under that id now; its token is what
 * the store holds the decision to. Left out: whichever stands.
 */
export async function ofAttempt<Answer>(
  desk: Pick<ProbeStore, "look">,
  id: string,
  attempt: string | undefined,
  decide: (token?: string) => Promise<Answer>,
): Promise<Answer | "absent" | "overtaken"> {
  if (attempt === undefined) return decide();
  const record = (await desk.look(id))?.record;
  if (record === undefined) return "absent";
  return attemptOf(record) === attempt ? decide(record.token) : "overtaken";
}

export function overtaken(): AdminReply {
  return problem(
    "record-overtaken",
    "Since you looked it was decided about, and its key was claimed again. Nothing was changed; look at the record again.",
  );
}

/** 64 lower-case hex digits, as in the header `Idempotency-Record`. */
export function isRecordId(text: string): boolean {
  return RECORD_ID.test(text);
}

/** A change is audited with its answer, also where there was none: then nobody knows whether it was made. */
export async function audited<A>(
  call: () => Promise<A>,
  audit: (answer: A | "failed") => void,
): Promise<A> {
  let answer: A;
  try {
    answer = await call();
  } catch (error) {
    audit("failed");
    throw error;
  }
  audit(answer);
  return answer;
}

export function absent(): AdminReply {
  return problem(
    "record-absent",
    "It never existed, was released or forgotten, or its retention is over.",
  );
}

/** The query of a listing, or what is wrong with it. */
function readQuery(search: URLSearchParams): ListQuery | string {
  const known = ["state", "limit", "cursor"];
  const names = [...search.keys()];
  if (names.some((name) => !known.includes(name)) || new Set(names).size !== names.length) {
    return `Only ${known.join(", ")} can be given, each at most once.`;
  }
  const state = search.get("state");
  if (state !== null && !isState(state)) return `state must be one of ${STATES.join(", ")}.`;
  const limit = search.get("limit") ?? String(DEFAULT_LIMIT);
  if (!/^[1-9]\d{0,3}$/.test(limit) || Number(limit) > MAX_LIMIT) {
    return `limit must be a whole number from 1 to ${MAX_LIMIT}.`;
  }
  const cursor = search.get("cursor");
  if (cursor !== null && !CURSOR.test(cursor)) return "cursor must be the one of the page before.";
  return {
    limit: Number(limit),
    ...(state !== null && { state }),
    ...(cursor !== null && { cursor }),
  };
}

function isState(text: string): text is RecordState {
  return STATES.some((state) => state === text);
}

/** Names every member that is shown: a member that a record gains one day is not shown by accident. */
export function viewOf(record: RecordSummary): object {
  const { id, state, route, method, target, fence, claimedBy, shadow } = record;
  return {
    id,
    state,
    route,
    method,
    path: pathOnly(target),
    query: target.includes("?"),
    fence,
    // Of a record of the format before, nobody knows.
    claimedBy: claimedBy === "" ? null : claimedBy,
    attempt: attemptOf(record),
    ...(shadow && { shadow }),
    createdAt: rfc3339(record.createdAtMs),
    ...stateView(record),
    expiresAt: rfc3339(record.expiresAtMs),
  };
}

function stateView(record: RecordSummary): object {
  switch (record.state) {
    case "in-flight":
      return { leaseUntil: rfc3339(record.leaseUntilMs) };
    case "unknown":
      return { reason: record.reason, since: rfc3339(record.sinceMs) };
    case "completed": {
      const { response, replayable, answeredBy } = record;
      const location = field(response?.headers, "location");
      const contentType = field(response?.headers, "content-type");
      return {
        completedAt: rfc3339(record.completedAtMs),
        // No status: an operator resolved it as executed, and nobody has seen the answer.
        status: response?.status ?? null,
        ...(answeredBy !== undefined && { answeredBy }),
        replayable,
        // A Location can carry a secret in its query, as a target can (a signed download, for one).
        ...(location !== undefined && { location: location.replace(/[?#].*$/s, "?…") }),
        ...(contentType !== undefined && { contentType }),
      };
    }
  }
}

/** The first field of that name. Field names are case-insensitive (RFC 9110 §5.1). */
function field(
  headers: readonly (readonly [name: string, value: string])[] | undefined,
  wanted: string,
): string | undefined {
  return headers?.find(([name]) => name.toLowerCase() === wanted)?.[1];
}

/** In UTC, with milliseconds. */
function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
