/**
 * `POST /v1/records/:id/resolve`: what an operator has found out at the upstream about an unknown outcome, and the answer that
 * retries are to get, where there is one. Reads and settles; what may stand in an answer is `core/answer-by-hand.ts`.
 */
import type { IncomingMessage } from "node:http";
import { faultOf, takenBy } from "../core/answer-by-hand.ts";
import { attemptOf, type Resolution, type ResolveAnswer } from "../core/desk.ts";
import type { Policy } from "../core/policy.ts";
import type { NewToken, RecordDesk, UpstreamAnswer } from "../core/ports.ts";
import type { ProbeStore } from "../core/probe-ports.ts";
import { pathOnly } from "../core/problem.ts";
import type { HeaderPair } from "../core/record.ts";
import { isObject, objectIn, readJsonBody } from "./body.ts";
import { absent, audited, type Change, ofAttempt, overtaken } from "./records.ts";
import { type AdminReply, json, methodNotAllowed, problem } from "./reply.ts";

/** Where decisions are written. */
export type ResolvingDesk = Pick<RecordDesk, "resolve"> & ProbeStore;

/** What an answer is judged by. */
export interface AnswerTerms {
  /** What the retries of such a request are judged by now; `undefined`: by nothing. */
  readonly policyOf: (method: string, path: string) => Policy | undefined;
  readonly newToken: NewToken;
}

interface ResolveOptions extends AnswerTerms {
  readonly desk: ResolvingDesk;
  /** All that an answer may be judged by. */
  readonly policies: () => readonly Policy[];
  /** Of an outcome that is resolved as executed without an answer. */
  readonly retentionMs: number;
  readonly audit: (change: Change) => void;
}

interface Said {
  readonly outcome: Resolution;
  /** As a view shows it; left out, whichever is unknown. */
  readonly attempt?: string;
  readonly given?: UpstreamAnswer;
}

/** Rejects with the errors of the store port. */
export async function resolution(
  request: IncomingMessage,
  id: string,
  options: ResolveOptions,
): Promise<AdminReply> {
  if (request.method !== "POST") return methodNotAllowed("POST");
  const body = await readJsonBody(request, mostBytes(options.policies()));
  if (typeof body !== "string") return body;
  const said = readResolution(body);
  if (typeof said === "string") return problem("request-invalid", said);
  const { outcome, given } = said;
  const size = given && { status: given.status, bytes: given.body.byteLength };
  const settled = await audited(
    () => settle(id, said, options),
    (told) => {
      const shown = size && { givenStatus: size.status, givenBytes: size.bytes };
      const answer = told === "failed" ? told : told.answer;
      options.audit({ action: "resolve", recordId: id, outcome, ...shown, answer });
    },
  );
  if (settled.answer !== "done") return refusal(settled);
  return json(200, { id, outcome, ...(size && { answer: size }) });
}

/** Around a body in JSON: its head, in which a byte may take two, and the names of the members. */
const HEAD_ROOM_BYTES = 64 * 1024;

/** What the longest answer takes that some route records, with its body in base64. */
function mostBytes(policies: readonly Policy[]): number | undefined {
  const recording = policies.filter(({ respond }) => respond.keepsAnswer);
  if (recording.length === 0) return undefined;
  const longest = Math.max(...recording.map(({ limits }) => limits.responseBytes));
  return Math.ceil(longest / 3) * 4 + HEAD_ROOM_BYTES;
}

type Settled =
  | { readonly answer: "done" }
  | { readonly answer: Exclude<ResolveAnswer, "done"> }
  | { readonly answer: "refused"; readonly why: string };

async function settle(
  id: string,
  { outcome, attempt, given }: Said,
  { desk, retentionMs, policyOf, newToken }: ResolveOptions,
): Promise<Settled> {
  if (given === undefined) {
    const resolve = (token?: string) => desk.resolve(id, outcome, retentionMs, token);
    return { answer: await ofAttempt(desk, id, attempt, resolve) };
  }
  const record = (await desk.look(id))?.record;
  if (record === undefined) return { answer: "absent" };
  if (attempt !== undefined && attempt !== attemptOf(record)) return { answer: "overtaken" };
  if (record.state !== "unknown") return { answer: "not-unknown" };
  if (record.shadow) {
    return { answer: "refused", why: "It is a shadow's: no retry is answered by it." };
  }
  const taken = takenBy(policyOf(record.method, pathOnly(record.target)), given);
  if (taken.kind === "refused") return { answer: "refused", why: taken.why };
  // DANGER: of the attempt that was looked at alone, because what became of another nobody has said; and under a token that
  // no owner has, so that one that comes back late is told this answer instead of writing its own.
  const finding = { ...taken, kind: "executed", by: "operator", token: newToken() } as const;
  const written = await desk.settleUnknown(id, record.token, finding);
  return { answer: written === "done" ? "done" : "overtaken" };
}

function refusal(settled: Exclude<Settled, { readonly answer: "done" }>): AdminReply {
  switch (settled.answer) {
    case "absent":
      return absent();
    case "not-unknown":
      return problem(
        "record-not-unknown",
        "Only a record whose outcome is unknown can be resolved; this one is in flight or completed.",
      );
    case "overtaken":
      return overtaken();
    case "refused":
      return problem(
        "answer-not-recordable",
        `${settled.why} Nothing was written; without an answer it can be resolved as ever.`,
      );
  }
}

const OUTCOME_FORM =
  'The body must be {"outcome": "executed"} or {"outcome": "not-executed"}, and nothing else but "attempt" and, with executed, "answer".';
const ANSWER_FORM =
  'The answer must be {"status": 201, "headers": [["Content-Type", "application/json"]], "body": "…"}, with the body as text, or in its place "bodyBase64", and nothing else.';

/** What was said, or what is wrong with it: a misspelt or additional member would be an intention that was not understood. */
function readResolution(body: string): Said | string {
  const said = objectIn(body);
  if (said === undefined) return OUTCOME_FORM;
  const { outcome, attempt, answer, ...more } = said;
  if (outcome !== "executed" && outcome !== "not-executed") return OUTCOME_FORM;
  if (Object.keys(more).length > 0) return OUTCOME_FORM;
  if (attempt !== undefined && typeof attempt !== "string") {
    return "attempt must be the one that the record shows.";
  }
  const decided: Said = { outcome, ...(attempt !== undefined && { attempt }) };
  if (!Object.hasOwn(said, "answer")) return decided;
  if (outcome === "not-executed") return "What was not executed has no answer.";
  const given = readAnswer(answer);
  if (typeof given === "string") return given;
  return faultOf(given) ?? { ...decided, given };
}

function readAnswer(said: unknown): UpstreamAnswer | string {
  if (!isObject(said)) return ANSWER_FORM;
  const { status, headers, body, bodyBase64, ...more } = said;
  const sound = typeof status === "number" && isPairs(headers) && Object.keys(more).length === 0;
  // One of the two, so that a body is never left out by mistake.
  if (!sound || (body === undefined) === (bodyBase64 === undefined)) return ANSWER_FORM;
  const bytes = body === undefined ? bytesOf(bodyBase64, "base64") : bytesOf(body, "utf8");
  if (bytes !== undefined) return { status, headers, body: bytes };
  return body === undefined
    ? "bodyBase64 must be base64 (RFC 4648 §4), with its padding and without line breaks."
    : "body must be text that can be written in UTF-8.";
}

/** `undefined` where the text does not stand for exactly these bytes: Node reads over what it does not know. */
function bytesOf(text: unknown, encoding: "base64" | "utf8"): Buffer | undefined {
  if (typeof text !== "string") return undefined;
  const bytes = Buffer.from(text, encoding);
  return bytes.toString(encoding) === text ? bytes : undefined;
}

function isPairs(value: unknown): value is readonly HeaderPair[] {
  return Array.isArray(value) && value.every(isPair);
}

function isPair(value: unknown): boolean {
  return (
    Array.isArray(value) && value.length === 2 && value.every((one) => typeof one === "string")
  );
}
