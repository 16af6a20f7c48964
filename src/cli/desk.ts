/** The records API of a running gateway, as seen from outside: one call each, and refusals in the gateway's words. */

import { request, type ClientRequest, type IncomingMessage } from "node:http";
import { z } from "zod";
import { RECORD_ID } from "./arguments.ts";

export interface Place {
  /** As configured: where it listens. */
  readonly host: string;
  readonly port: number;
  /** Empty: none. */
  readonly token: string;
}

const PAGE = 1000;

const recordId = z.string().regex(RECORD_ID);

/** A record as the API shows it; of other members only that they are there. */
const shown = z.looseObject({
  id: recordId,
  state: z.string(),
  route: z.string(),
  method: z.string(),
  path: z.string(),
  query: z.unknown().optional(),
  fence: z.unknown().optional(),
  claimedBy: z.unknown().optional(),
  attempt: z.string().optional(),
  shadow: z.boolean().optional(),
  createdAt: z.string(),
});

const page = z.object({
  records: z.array(shown).max(PAGE),
  /** Ids of what the store cannot read. */
  damaged: z.array(recordId).max(PAGE).optional(),
  cursor: z.string().optional(),
});

export type Shown = z.infer<typeof shown>;
export type Page = z.infer<typeof page>;

/** Said to whoever has asked. */
export class Refused extends Error {
  override readonly name = "Refused";
}

export interface RemoteDesk {
  page(state: string | undefined, cursor: string | undefined): Promise<Page>;
  show(id: string): Promise<Shown>;
  /** `attempt`: the one that was shown; undefined: nobody has looked. `answer`: what retries are to get, as the API takes it. */
  resolve(
    id: string,
    outcome: "executed" | "not-executed",
    attempt: string | undefined,
    answer?: object,
  ): Promise<void>;
  forget(id: string, attempt: string | undefined): Promise<void>;
}

const TIMEOUT_MS = 15_000;
/** Of an answer: a full page of the longest paths is smaller. */
const MOST_BYTES = 32 * 1024 * 1024;

interface Question {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: string;
}

/** All of it rejects with `Refused`, also where the answer is not one that a gateway gives. */
export function remoteDesk(place: Place): RemoteDesk {
  const base = `http://${reachable(place.host)}:${place.port}`;
  const ask = async <Kind extends z.ZodType>(
    question: Question,
    expected: Kind,
  ): Promise<z.infer<Kind>> => {
    const { status, text } = await answerTo(base, question, place.token);
    const said = documentIn(text);
    const read = status === 200 || status === 204 ? expected.safeParse(said) : undefined;
    if (read?.success === true) return read.data;
    throw new Refused(refusal(status, said, place.token));
  };
  return {
    page: (state, cursor) => {
      const search = new URLSearchParams({
        limit: String(PAGE),
        ...(state !== undefined && { state }),
        ...(cursor !== undefined && { cursor }),
      });
      return ask({ method: "GET", path: `?${search.toString()}` }, page);
    },
    show: (id) => ask({ method: "GET", path: `/${id}` }, shown.extend({ id: z.literal(id) })),
    resolve: async (id, outcome, attempt, answer) => {
      const done = z.object({ id: z.literal(id), outcome: z.literal(outcome) });
      const body = JSON.stringify({ outcome, attempt, ...(answer && { answer }) });
      await ask({ method: "POST", path: `/${id}/resolve`, body }, done);
    },
    forget: async (id, attempt) => {
      const query = attempt === undefined ? "" : `?${new URLSearchParams({ attempt }).toString()}`;
      await ask({ method: "DELETE", path: `/${id}${query}` }, z.undefined());
    },
  };
}

/** Whoever listens everywhere is reached on loopback. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** Not by `fetch`, which refuses ports that are somebody else's by custom. */
async function answerTo(
  base: string,
  { method, path, body }: Question,
  token: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const headers = {
    ...(token !== "" && { Authorization: `Bearer ${token}` }),
    ...(body !== undefined && { "Content-Type": "application/json" }),
  };
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const asked = request(`${base}/v1/records${path}`, { method, headers, signal, agent: false });
    const response = await responseTo(asked, body);
    return { status: response.statusCode ?? 0, text: (await bytesOf(response)).toString() };
  } catch (error) {
    throw new Refused(
      `No gateway answers at ${base} (${reasonOf(error)}). Say where its admin port is with --admin HOST:PORT or --config FILE.`,
    );
  }
}

function responseTo(asked: ClientRequest, body: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    asked.once("response", resolve);
    asked.once("error", reject);
    // An answer that is none, such as a change of protocol, ends here.
    asked.once("close", () => reject(new Error("no answer")));
    asked.end(body);
  });
}

/** All of it. Rejects where that is more than any gateway says or takes. */
export async function bytesOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).byteLength;
    if (bytes > MOST_BYTES) throw new Error("too long an answer");
  }
  return Buffer.concat(chunks);
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "no answer";
  if (error.name === "AbortError") return `not within ${TIMEOUT_MS / 1000} s`;
  return "code" in error ? String(error.code) : error.message;
}

function documentIn(text: string): object | undefined {
  try {
    const document: unknown = JSON.parse(text);
    return typeof document === "object" && document !== null ? document : undefined;
  } catch {
    // None, as with 204, or somebody else's answer, of which the status is told.
    return undefined;
  }
}

function refusal(status: number, said: object | undefined, token: string): string {
  if (status === 401) {
    return token === ""
      ? "The gateway wants a token: set IDEMPOTENCY_GATEWAY_ADMIN_TOKEN."
      : "The gateway has another token than the one that was given.";
  }
  if (said !== undefined && "title" in said && "detail" in said) {
    return `${String(said.title)}. ${String(said.detail)}`;
  }
  return `The answer was ${status} and no gateway's.`;
}
