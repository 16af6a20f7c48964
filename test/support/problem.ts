/**
 * What §"HTTP contract" promises of every guarded reply, as checks: the gateway's own header fields (those that must be
 * there and those that must not) and the members of a problem. Knows nothing of how an answer came about.
 */
import type { Test } from "tap";
import type { Answer } from "./client.ts";

/** The gateway's own fields of one reply. What is left out must not be there. */
export interface Own {
  readonly status: number;
  /** `Idempotency-Status` */
  readonly word: string;
  /** `Idempotency-Key`, as the client wrote it. */
  readonly key?: string;
  /** `Idempotency-Record`: this one, or any. */
  readonly record?: string | true;
  /** How far ahead `Idempotency-Expires` lies, give or take `EXPIRES_SLACK_MS`. */
  readonly expiresInMs?: number;
  /** `Retry-After` in seconds: at least, at most. */
  readonly retryAfterS?: readonly [number, number];
  /** `x-should-retry` and `stripe-should-retry` */
  readonly shouldRetry?: boolean;
  /** `Link`, where the gateway sets it. */
  readonly link?: string;
}

const EXPIRES_SLACK_MS = 15_000;

/** RFC 9110 §5.6.7 */
const IMF_FIXDATE =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** Checks every own field of a reply and returns the record id, empty where there is none. */
export function checkOwn(t: Test, answer: Answer, own: Own): string {
  const { word } = own;
  t.equal(answer.status, own.status, `${word}: status`);
  t.equal(answer.header("Idempotency-Status"), word, `${word}: Idempotency-Status`);
  t.equal(answer.header("Idempotency-Key"), own.key, `${word}: Idempotency-Key as received`);
  const replayed = word === "replayed" ? "true" : undefined;
  t.equal(answer.header("Idempotent-Replayed"), replayed, `${word}: Idempotent-Replayed`);
  const retry = own.shouldRetry === undefined ? undefined : String(own.shouldRetry);
  t.equal(answer.header("x-should-retry"), retry, `${word}: x-should-retry`);
  t.equal(answer.header("stripe-should-retry"), retry, `${word}: stripe-should-retry`);
  t.equal(answer.header("Link"), own.link, `${word}: Link`);
  checkRetryAfter(t, answer, own);
  checkExpires(t, answer, own);
  const record = answer.header("Idempotency-Record");
  if (own.record === undefined) t.equal(record, undefined, `${word}: no Idempotency-Record`);
  else t.match(record, own.record === true ? /^[0-9a-f]{64}$/ : own.record, `${word}: record`);
  return record ?? "";
}

function checkRetryAfter(t: Test, answer: Answer, { word, retryAfterS }: Own): void {
  const field = answer.header("Retry-After");
  if (retryAfterS === undefined) {
    t.equal(field, undefined, `${word}: no Retry-After`);
    return;
  }
  t.match(field, /^\d+$/, `${word}: Retry-After in seconds`);
  const [least, most] = retryAfterS;
  t.ok(Number(field) >= least && Number(field) <= most, `${word}: Retry-After: ${field}`);
}

function checkExpires(t: Test, answer: Answer, { word, expiresInMs }: Own): void {
  const field = answer.header("Idempotency-Expires");
  if (expiresInMs === undefined) {
    t.equal(field, undefined, `${word}: no Idempotency-Expires`);
    return;
  }
  t.match(field, IMF_FIXDATE, `${word}: Idempotency-Expires is an IMF-fixdate`);
  const offMs = Date.parse(field ?? "") - Date.now() - expiresInMs;
  t.ok(Math.abs(offMs) < EXPIRES_SLACK_MS, `${word}: Idempotency-Expires is ${offMs} ms off`);
}

/** What a refused request collided with. */
export interface Original {
  readonly method: string;
  readonly target: string;
  readonly status?: number;
  readonly location?: string;
}

export interface Refused extends Omit<Own, "word" | "shouldRetry"> {
  readonly code: string;
  readonly original?: Original;
}

const SHOULD_RETRY: Readonly<Record<string, boolean>> = {
  "key-reused": false,
  "outcome-unknown": false,
  "not-replayable": false,
  conflict: false,
  "in-flight": true,
  "store-unavailable": true,
  "record-corrupt": false,
  "access-unchecked": true,
  "quota-exceeded": true,
  "replay-denied": false,
  "upstream-unreachable": true,
};

/** Checks a refusal whole: own fields, media type, and every member of its problem. Returns the record id. */
export function checkRefusal(t: Test, answer: Answer, refused: Refused): string {
  const { code, original, ...own } = refused;
  const shouldRetry = SHOULD_RETRY[code];
  const record = checkOwn(t, answer, {
    ...own,
    word: code,
    ...(shouldRetry !== undefined && { shouldRetry }),
  });
  checkProblem(t, answer, { code, status: own.status, record, ...(original && { original }) });
  return record;
}

/** The document of RFC 9457, with no member more than there should be. */
export function checkProblem(
  t: Test,
  answer: Answer,
  expected: {
    readonly code: string;
    readonly status: number;
    readonly record: string;
    readonly original?: Original;
  },
): void {
  const { code, status, record, original } = expected;
  t.equal(answer.header("Content-Type"), "application/problem+json", `${code}: media type`);
  const { title, detail, original: told, ...rest } = answer.json();
  t.same(
    rest,
    {
      type: `urn:idempotency-gateway:problem:${code}`,
      status,
      code,
      ...(record !== "" && { instance: `urn:idempotency-gateway:record:${record}` }),
    },
    `${code}: members`,
  );
  t.match(title, /^[A-Z].{9,}/, `${code}: title`);
  t.match(detail, /\.$/, `${code}: detail says what to do`);
  if (original === undefined) {
    t.equal(told, undefined, `${code}: no original`);
    return;
  }
  const { createdAt, ...known } = told as Original & { createdAt: string };
  t.same(known, original, `${code}: original`);
  t.match(createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, `${code}: when`);
  t.ok(Math.abs(Date.now() - Date.parse(createdAt)) < 60_000, `${code}: when, about right`);
}
