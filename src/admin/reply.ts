/**
 * What the admin port answers: JSON, and problems (RFC 9457) that say what to do next. The table of its refusals is
 * here; the refusals of the traffic port are `core/problem.ts`.
 */

/** `undefined` body: none, as with 204. */
export interface AdminReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** Code to status and title. The codes are part of the documented interface; `docs/records-api.md` lists them. */
export const REFUSALS = {
  "request-invalid": [400, "The request is not acceptable"],
  "token-missing": [401, "A bearer token is required"],
  "token-invalid": [401, "The bearer token is not valid"],
  "not-allowed": [403, "This is not allowed here"],
  "not-found": [404, "There is nothing here"],
  "record-absent": [404, "There is no such record"],
  "method-not-allowed": [405, "This method is not supported here"],
  "record-in-flight": [409, "The record is in flight"],
  "record-not-unknown": [409, "There is nothing to resolve"],
  "record-overtaken": [409, "It is another attempt's record by now"],
  "configuration-fixed": [409, "The change needs a restart; the running configuration stays"],
  "body-too-large": [413, "The request body is too large"],
  "media-type-unsupported": [415, "The request body is not JSON"],
  "answer-not-recordable": [422, "The answer cannot be recorded"],
  "configuration-invalid": [422, "The configuration is not valid; the running one stays"],
  "internal-error": [500, "The gateway failed"],
  "store-unavailable": [503, "The idempotency store cannot be reached"],
  "record-corrupt": [503, "The record cannot be trusted"],
  "configuration-not-taken": [
    503,
    "Not every process can take the configuration; the running one stays",
  ],
} as const satisfies Record<string, readonly [number, string]>;

export type AdminProblem = keyof typeof REFUSALS;

/** `detail` is for people and quotes nothing that was sent, except names that this port itself knows. */
export function problem(
  code: AdminProblem,
  detail: string,
  headers: Readonly<Record<string, string>> = {},
  members: object = {},
): AdminReply {
  const [status, title] = REFUSALS[code];
  const type = `urn:idempotency-gateway:problem:${code}`;
  return {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
    body: text({ type, title, status, detail, code, ...members }),
  };
}

/** `document` as one line: for `curl` as for programs. */
export function json(status: number, document: object): AdminReply {
  return { status, headers: { "Content-Type": "application/json" }, body: text(document) };
}

/** RFC 9110 §15.3.5: no body, and no `Content-Length` either. */
export function noContent(): AdminReply {
  return { status: 204, headers: {}, body: undefined };
}

/** RFC 9110 §15.5.6: `Allow` is required. */
export function methodNotAllowed(allow: string): AdminReply {
  return problem("method-not-allowed", `Allowed here: ${allow}.`, { Allow: allow });
}

function text(document: object): string {
  return `${JSON.stringify(document)}\n`;
}
