/**
 * What the console asks for beside the records: the counters, the routes, how things stand, the records of a key, and,
 * where the configuration lets the token's holder see it, what a record would answer. All of it is behind the gate.
 */
import type { IncomingMessage } from "node:http";
import type { Policy } from "../core/policy.ts";
import type { RecordDesk } from "../core/ports.ts";
import type { StoredRecord } from "../core/record.ts";
import { readJsonBody } from "./body.ts";
import { absent, isRecordId, viewOf } from "./records.ts";
import { type AdminReply, json, methodNotAllowed, problem } from "./reply.ts";
import { summarise } from "../core/record.ts";
import { idsOf, readWanted, recordsOf } from "./search.ts";

/** That somebody has looked at what a record would answer, for the log. */
export interface Look {
  readonly recordId: string;
  readonly remote: string;
}

export interface OverviewOptions {
  readonly desk: RecordDesk;
  /** Since the gateway's start, over all workers. */
  readonly counters: () => Promise<object>;
  /** What is fixed while it runs, without a secret: version, store, upstream. */
  readonly about: () => object;
  /** The defaults and the routes in the words of the configuration file. */
  readonly routes: () => object;
  /** Every policy that a key may have been read under, the defaults among them. */
  readonly policies: () => readonly Policy[];
  readonly problems: () => Promise<readonly string[]>;
  /** Whether recorded answers and whole targets may be seen. */
  readonly showAnswers: () => boolean;
  /** Called before they are. */
  readonly looked: (look: Look) => void;
}

/** Of a recorded body; more than fits a screen many times. */
const SHOWN_BYTES = 64 * 1024;

/** `undefined`: another path. Rejects with the errors of the store port. */
export function overview(
  request: IncomingMessage,
  path: string,
  options: OverviewOptions,
): Promise<AdminReply> | undefined {
  const read = readable(path, request, options);
  if (read !== undefined) {
    const isRead = request.method === "GET" || request.method === "HEAD";
    return isRead ? read() : Promise.resolve(methodNotAllowed("GET, HEAD"));
  }
  if (path !== "/v1/records/search") return undefined;
  return request.method === "POST"
    ? search(request, options)
    : Promise.resolve(methodNotAllowed("POST"));
}

function readable(
  path: string,
  request: IncomingMessage,
  options: OverviewOptions,
): (() => Promise<AdminReply>) | undefined {
  switch (path) {
    case "/v1/counters":
      return async () => json(200, await options.counters());
    case "/v1/routes":
      return async () => json(200, options.routes());
    case "/v1/status":
      return async () => {
        const problems = await options.problems();
        return json(200, {
          ...options.about(),
          ready: problems.length === 0,
          problems,
          showAnswers: options.showAnswers(),
        });
      };
    default: {
      const id = /^\/v1\/records\/([^/]+)\/answer$/.exec(path)?.[1];
      return id === undefined || !isRecordId(id) ? undefined : () => show(request, id, options);
    }
  }
}

/** `POST /v1/records/search`: the key comes in the body, where no proxy's log and no history keeps it. */
async function search(request: IncomingMessage, options: OverviewOptions): Promise<AdminReply> {
  const body = await readJsonBody(request);
  if (typeof body !== "string") return body;
  const wanted = readWanted(body);
  if (wanted === undefined) {
    return problem(
      "request-invalid",
      'The body must be {"key": "…", "headers": {"Authorization": "…"}, "route": "…"}: the key, the credentials it was sent with, and where only one route is meant its name. A key out of several members of a body is a list.',
    );
  }
  const records = await recordsOf(options.desk, idsOf(wanted, options.policies()));
  return json(200, { records: records.map((record) => viewOf(summarise(record))) });
}

/** `GET /v1/records/:id/answer`: what is kept from everybody else, for those that the configuration trusts with it. */
async function show(
  request: IncomingMessage,
  id: string,
  { desk, showAnswers, looked }: OverviewOptions,
): Promise<AdminReply> {
  if (!showAnswers()) {
    return problem(
      "not-allowed",
      "Recorded answers are shown only where `admin.showAnswers` is true and `admin.token` is set.",
    );
  }
  const record = await desk.inspect(id);
  if (record === undefined) return absent();
  looked({ recordId: id, remote: request.socket.remoteAddress ?? "unknown" });
  return json(200, { id, target: record.target, ...answerOf(record) });
}

function answerOf(record: StoredRecord): object {
  if (record.state !== "completed" || record.response === undefined) return { answer: null };
  const { status, headers, body } = record.response;
  return { answer: { status, headers, body: body === undefined ? null : bodyOf(body) } };
}

/** As text where it is text, otherwise in base64. */
function bodyOf(bytes: Uint8Array): object {
  const shown = bytes.subarray(0, SHOWN_BYTES);
  const size = { bytes: bytes.byteLength, shownBytes: shown.byteLength };
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    // A character that the cut goes through is left out.
    const text = decoder.decode(shown, { stream: shown.byteLength < bytes.byteLength });
    return { ...size, encoding: "utf-8", content: text };
  } catch {
    // The decoder says no more than that it is no text.
    return { ...size, encoding: "base64", content: Buffer.from(shown).toString("base64") };
  }
}
