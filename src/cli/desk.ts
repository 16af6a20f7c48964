/** The records API of a running gateway, as seen from outside: one call each, and refusals in the gateway's words. */

import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { text as textOf } from "node:stream/consumers";

export interface Place {
  /** As configured: where it listens. */
  readonly host: string;
  readonly port: number;
  /** Empty: none. */
  readonly token: string;
}

/** A record as the API shows it. */
export type Shown = Readonly<Record<string, unknown>>;

export interface Page {
  readonly records: readonly Shown[];
  /** Ids of what the store cannot read. */
  readonly damaged?: readonly string[];
  readonly cursor?: string;
}

/** Said to whoever has asked. */
export class Refused extends Error {
  override readonly name = "Refused";
}

export interface RemoteDesk {
  page(state: string | undefined, cursor: string | undefined): Promise<Page>;
  show(id: string): Promise<Shown>;
  resolve(id: string, outcome: "executed" | "not-executed"): Promise<void>;
  forget(id: string): Promise<void>;
}

const PAGE = 1000;
const TIMEOUT_MS = 15_000;

interface Question {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: string;
}

/** All of it rejects with `Refused`. */
export function remoteDesk(place: Place): RemoteDesk {
  const base = `http://${reachable(place.host)}:${place.port}`;
  const ask = async (question: Question): Promise<unknown> => {
    const { status, text } = await answerTo(base, question, place.token);
    const said = documentIn(text);
    if (status === 204 || (status === 200 && said !== undefined)) return said;
    throw new Refused(refusal(status, said, place.token));
  };
  return {
    page: async (state, cursor) => {
      const search = new URLSearchParams({
        limit: String(PAGE),
        ...(state !== undefined && { state }),
        ...(cursor !== undefined && { cursor }),
      });
      return (await ask({ method: "GET", path: `?${search.toString()}` })) as Page;
    },
    show: async (id) => (await ask({ method: "GET", path: `/${id}` })) as Shown,
    resolve: async (id, outcome) => {
      await ask({ method: "POST", path: `/${id}/resolve`, body: JSON.stringify({ outcome }) });
    },
    forget: async (id) => {
      await ask({ method: "DELETE", path: `/${id}` });
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
    asked.end(body);
    const [response] = (await once(asked, "response", { signal })) as [IncomingMessage];
    return { status: response.statusCode ?? 0, text: await textOf(response) };
  } catch (error) {
    throw new Refused(
      `No gateway answers at ${base} (${reasonOf(error)}). Say where its admin port is with --admin HOST:PORT or --config FILE.`,
    );
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return "no answer";
  return "code" in error ? String(error.code) : error.name;
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
