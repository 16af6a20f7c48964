/**
 * The second port, for operators: health, metrics, the records API and the console. Never carries traffic, and keeps
 * answering while the gateway drains. What may be seen of records is `records.ts`, who may ask is `auth.ts`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { RecordCorrupt, type RecordDesk, StoreFull, StoreUnavailable } from "../core/ports.ts";
import { createGate, type Gate } from "./auth.ts";
import { type Configuring, configurationResource } from "./configuration.ts";
import { consolePage } from "./console.ts";
import { overview, type OverviewOptions } from "./overview.ts";
import {
  type Change,
  forgetRecord,
  isRecordId,
  listRecords,
  type Recollection,
  showRecord,
} from "./records.ts";
import { type AdminReply, json, methodNotAllowed, problem } from "./reply.ts";
import { type AnswerTerms, resolution, type ResolvingDesk } from "./resolution.ts";

export interface AdminOptions extends OverviewOptions, AnswerTerms {
  readonly host: string;
  /** 0 asks for any free port. */
  readonly port: number;
  /** Empty: none. Then the records API is open to this host's programs on loopback, and closed elsewhere. */
  readonly token: string;
  readonly desk: RecordDesk & ResolvingDesk;
  /** What the processes of this gateway know of a record's replays; never rejects. */
  readonly replaysOf: (id: string) => Promise<Recollection>;
  /** Where the build has put the console; ends with a slash. */
  readonly consoleDir: URL;
  /** Why no traffic should come here now (draining, the store); empty when ready. Told to whoever asks `/readyz`. */
  readonly problems: () => Promise<readonly string[]>;
  /** `ready` asks what `/readyz` would say. It takes as long as that may take, and does not reject. */
  readonly exposition: (
    ready: () => Promise<boolean>,
  ) => Promise<{ readonly contentType: string; readonly body: string }>;
  /** Called for each change that was asked for and allowed, with what came of it. */
  readonly audit: (change: Change & { readonly remote: string }) => void;
  /** Broken machinery: the caller gets 500, the log the error. `message` is a fixed text. */
  readonly failure: (message: string, error: unknown) => void;
  /** How long an outcome resolved as executed without an answer is remembered. */
  readonly executedRetentionMs: number;
  /** Left out: there is nothing to read again. */
  readonly configuring?: Configuring;
}

export interface Admin {
  /** Rejects with the system's error where the address cannot be had. */
  start(): Promise<{ readonly host: string; readonly port: number }>;
  /** For requests from here on. */
  adopt(settings: Pick<AdminOptions, "token" | "executedRetentionMs">): void;
  /** Lets answers finish for a second, then closes what is left. */
  stop(): Promise<void>;
}

/** `/readyz` answers within this time, whatever the store does. */
const READINESS_TIMEOUT_MS = 2000;
/** A running answer, a last scrape for one, gets this long once the port is told to stop. */
const STOP_GRACE_MS = 1000;

/** Operators' requests are small and few: who is slow or holds on to a connection is let go early. */
const SERVER_OPTIONS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
};
/** So that nobody who reaches this port can use up the file descriptors that the traffic needs. */
const MAX_CONNECTIONS = 128;

/** Not started yet. */
export function createAdmin(options: AdminOptions): Admin {
  let current = options;
  let host: string | undefined;
  let gate: Gate | undefined;
  const server = createServer(SERVER_OPTIONS, (request, response) => {
    void serve(request, response, current, gate);
  });
  server.maxConnections = MAX_CONNECTIONS;
  return {
    async start() {
      const address = await listen(server, options);
      host = address.host;
      gate = createGate(current.token, host);
      return address;
    },
    adopt(settings) {
      current = { ...current, ...settings };
      if (host !== undefined) gate = createGate(current.token, host);
    },
    stop: () => close(server),
  };
}

/** One request from start to end. Never rejects. */
async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: AdminOptions,
  gate: Gate | undefined,
): Promise<void> {
  // A client that leaves in the middle is its own affair; without the listeners it would be an uncaught error.
  request.on("error", ignoreReset);
  response.on("error", ignoreReset);
  let reply: AdminReply;
  try {
    reply = await answer(request, options, gate);
  } catch (error) {
    reply = replyToError(error, options);
  }
  send(request, response, reply);
}

function ignoreReset(): void {
  // Nothing to tell: nobody is left to hear it, and what the request changed has been audited.
}

/** Which resource, whether its caller may, and what it says. Rejects on a store that fails and on defects. */
async function answer(
  request: IncomingMessage,
  options: AdminOptions,
  gate: Gate | undefined,
): Promise<AdminReply> {
  const target = request.url ?? "";
  if (!target.startsWith("/")) return problem("request-invalid", "Ask with a path, as in /readyz.");
  const queryAt = target.indexOf("?");
  const path = queryAt === -1 ? target : target.slice(0, queryAt);
  const open = openResource(path, options);
  if (open !== undefined) return isRead(request) ? open() : methodNotAllowed("GET, HEAD");

  const refused = gate === undefined ? problem("not-allowed", "Not ready yet.") : gate(request);
  if (refused !== undefined) return refused;
  const configuration = configurationResource(request, path, options.configuring);
  if (configuration !== undefined) return configuration;
  const search = new URLSearchParams(queryAt === -1 ? "" : target.slice(queryAt + 1));
  const bounded = { ...options, problems: () => inTime(options.problems()) };
  return overview(request, path, bounded) ?? records(request, path, search, options);
}

/** What needs no token. */
function openResource(
  path: string,
  options: AdminOptions,
): (() => Promise<AdminReply>) | undefined {
  switch (path) {
    case "/livez":
      return async () => json(200, { status: "alive" });
    case "/readyz":
      return () => readiness(options);
    case "/metrics":
      return async () => {
        const { contentType, body } = await options.exposition(() => isReady(options));
        return { status: 200, headers: { "Content-Type": contentType }, body };
      };
    default:
      return consolePage(path, options.consoleDir);
  }
}

/** For load balancers and orchestrators: 503 takes this gateway out of rotation, and the reasons are for people. */
async function readiness(options: AdminOptions): Promise<AdminReply> {
  const reasons = await inTime(options.problems());
  return reasons.length === 0
    ? json(200, { status: "ready" })
    : json(503, { status: "not ready", reasons });
}

/** A scrape has more to tell than this, so that what makes `/readyz` fail is "not ready" in it. */
async function isReady(options: AdminOptions): Promise<boolean> {
  try {
    return (await readiness(options)).status === 200;
  } catch (error) {
    options.failure("the admin port failed", error);
    return false;
  }
}

function inTime(problems: Promise<readonly string[]>): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly string[]>((settle) => {
    timer = setTimeout(settle, READINESS_TIMEOUT_MS, ["the store did not say in time how it is"]);
  });
  return Promise.race([problems, late]).finally(() => clearTimeout(timer));
}

/** Everything below `/v1/records`, for callers that the gate has let in. */
async function records(
  request: IncomingMessage,
  path: string,
  search: URLSearchParams,
  options: AdminOptions,
): Promise<AdminReply> {
  const [, id = "", action] = /^\/v1\/records(?:\/([^/]+)(?:\/(resolve))?)?$/.exec(path) ?? [];
  if (id === "" && path !== "/v1/records") {
    return problem(
      "not-found",
      "Here are /console/, /livez, /readyz, /metrics, /v1/records, /v1/counters, /v1/routes, /v1/status, /v1/config and /v1/reload.",
    );
  }
  if (id === "") {
    return isRead(request) ? listRecords(options.desk, search) : methodNotAllowed("GET, HEAD");
  }
  if (!isRecordId(id)) {
    const detail = "A record id is 64 lower-case hex digits, as told in Idempotency-Record.";
    return problem("request-invalid", detail);
  }
  const remote = request.socket.remoteAddress ?? "unknown";
  const audit = (change: Change): void => options.audit({ ...change, remote });
  if (action === "resolve") {
    const { executedRetentionMs: retentionMs } = options;
    return resolution(request, id, { ...options, retentionMs, audit });
  }
  if (isRead(request)) return showRecord(options, id);
  if (request.method === "DELETE") return forgetRecord(options.desk, id, search, audit);
  return methodNotAllowed("GET, HEAD, DELETE");
}

function isRead(request: IncomingMessage): boolean {
  return request.method === "GET" || request.method === "HEAD";
}

/**
 * The one place where exceptions become answers. An unreachable store is not logged here: it has its own metric and
 * readiness reason, and the caller is told. No error's message leaves the process.
 */
function replyToError(error: unknown, options: AdminOptions): AdminReply {
  if (error instanceof StoreFull) {
    const detail = "It has no room for this, and nothing was changed. Make room, then ask again.";
    return problem("store-unavailable", detail, { "Retry-After": "1" });
  }
  if (error instanceof StoreUnavailable) {
    const detail =
      "Whether a change was made is not known; ask again after the time in Retry-After.";
    return problem("store-unavailable", detail, { "Retry-After": "1" });
  }
  if (error instanceof RecordCorrupt) {
    options.failure("a record cannot be trusted", error);
    return problem(
      "record-corrupt",
      "What the store holds for it is damaged or is another record.",
    );
  }
  options.failure("the admin port failed", error);
  return problem("internal-error", "The log says where.");
}

/** HEAD gets the head that GET would get (RFC 9110 §9.3.2). Nothing here may be kept by a cache. */
function send(request: IncomingMessage, response: ServerResponse, reply: AdminReply): void {
  const body = Buffer.from(reply.body ?? "");
  response.writeHead(reply.status, {
    ...reply.headers,
    ...(reply.body !== undefined && { "Content-Length": body.byteLength }),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    // What was not read of the request would be taken for the next one's beginning, or has to be waited for.
    ...(!request.complete && { Connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function listen(
  server: Server,
  options: AdminOptions,
): Promise<{ readonly host: string; readonly port: number }> {
  return new Promise((resolveListening, reject) => {
    server.once("error", reject);
    server.listen({ host: options.host, port: options.port, exclusive: true }, () => {
      server.off("error", reject);
      // A connection that cannot be accepted (no file descriptors left) must not end the process.
      server.on("error", (error) => options.failure("the admin port failed", error));
      const bound = server.address();
      if (bound === null || typeof bound === "string") {
        reject(new Error("the admin port has no address"));
        return;
      }
      resolveListening({ host: bound.address, port: bound.port });
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolveClosed) => {
    const timer = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
    // The error says that it was not running: closed is what was asked for.
    server.close(() => {
      clearTimeout(timer);
      resolveClosed();
    });
    server.closeIdleConnections();
  });
}
