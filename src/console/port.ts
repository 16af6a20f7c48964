/**
 * Talks to the admin port. The token is kept in this tab's session storage and goes out in `Authorization` alone: no
 * cookie is sent or taken, and nothing secret is part of a URL.
 */
import type {
  Counters,
  Outcome,
  Recorded,
  RecordPage,
  RecordStory,
  RecordView,
  Routes,
  Status,
} from "./wire.ts";

const TOKEN = "idempotency-gateway.token";
/** The port answers within two seconds or is in trouble. */
const TIMEOUT_MS = 10_000;

/** The port's refusal, in its own words, or that there was no answer: `code` is then `no-answer`. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly code: string;
  readonly status: number;

  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** RFC 9457. */
interface Problem {
  readonly code?: string;
  readonly title?: string;
  readonly detail?: string;
}

type Decided = Pick<RecordView, "id" | "attempt">;

export interface Search {
  readonly key: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  readonly route?: string;
}

export const port = {
  hasToken: (): boolean => sessionStorage.getItem(TOKEN) !== null,
  useToken: (token: string): void => sessionStorage.setItem(TOKEN, token),
  forgetToken: (): void => sessionStorage.removeItem(TOKEN),
  counters: () => get<Counters>("/v1/counters"),
  status: () => get<Status>("/v1/status"),
  routes: () => get<Routes>("/v1/routes"),
  record: (id: string) => get<RecordStory>(`/v1/records/${id}`),
  answer: (id: string) => get<Recorded>(`/v1/records/${id}/answer`),
  records(query: Readonly<Record<string, string>>) {
    return get<RecordPage>(`/v1/records?${new URLSearchParams(query).toString()}`);
  },
  search: (wanted: Search) => ask<RecordPage>("POST", "/v1/records/search", wanted),
  /** Of the attempt that was shown: it may have been settled, and its key claimed again, meanwhile. */
  resolve: ({ id, attempt }: Decided, outcome: Outcome) =>
    ask<unknown>("POST", `/v1/records/${id}/resolve`, { outcome, attempt }),
  forget: ({ id, attempt }: Decided) =>
    ask<unknown>("DELETE", `/v1/records/${id}?${new URLSearchParams({ attempt }).toString()}`),
};

function get<T>(path: string): Promise<T> {
  return ask<T>("GET", path);
}

async function ask<T>(method: string, path: string, body?: object): Promise<T> {
  const token = sessionStorage.getItem(TOKEN);
  const response = await answered(path, {
    method,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    referrerPolicy: "no-referrer",
    headers: {
      ...(token !== null && { Authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "Content-Type": "application/json" }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 204) return undefined as T;
  const document = (await response.json()) as T & Problem;
  if (response.ok) return document;
  const {
    code = "no-answer",
    title = `The port answered ${response.status}`,
    detail = "",
  } = document;
  throw new Refused(response.status, code, `${title}. ${detail}`.trim());
}

/** Relative to the page: a proxy may have the port under a path of its own. */
async function answered(path: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(`..${path}`, request);
  } catch {
    // The browser does not tell pages why.
    throw new Refused(0, "no-answer", "The gateway does not answer.");
  }
}
