/** Node's HTTP server with its limits and time-outs set. What happens to a request is not decided here. */
import http from "node:http";
import { Server as TcpServer, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";

export interface ServerLimits {
  /** From a request's first byte to the end of its head; for a fresh connection, from its beginning. */
  readonly headersTimeoutMs: number;
  /** A client that takes nothing of a pending answer for this long is cut. */
  readonly idleTimeoutMs: number;
  /** 0: unlimited. Connections over it are closed without a word. */
  readonly maxConnections: number;
}

/** How long an idle connection is kept for the client's next request. */
const KEEP_ALIVE_MS = 5000;

/** Then the client is asked to connect again, so that many gateways behind one address share the load. */
const MAX_REQUESTS_PER_SOCKET = 1000;

/** How often heads are looked at for being late; Node's default of 30 s would let each be late by as much. */
const CHECK_INTERVAL_MS = 1000;

/** `timeout` events must be listened to: with `idleTimeoutMs` they come for every connection on which no byte moves. */
export function newServer(limits: ServerLimits): http.Server {
  const { headersTimeoutMs, idleTimeoutMs, maxConnections } = limits;
  const server = http.createServer({
    insecureHTTPParser: false,
    // Judged by `screen`, which answers with a problem.
    requireHostHeader: false,
    headersTimeout: headersTimeoutMs,
    // Uploads that pass through may be long; bodies that are read whole have a time-out of their own.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(CHECK_INTERVAL_MS, headersTimeoutMs),
    noDelay: true,
  });
  // 0: all of them arrive, and `screen` counts. With a number Node 20 drops the rest without a word.
  server.maxHeadersCount = 0;
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_SOCKET;
  // Set only where there is a limit: since Node 21 a limit of 0 turns everybody away.
  if (maxConnections > 0) server.maxConnections = maxConnections;
  server.setTimeout(idleTimeoutMs);
  return server;
}

/** Resolves with where it listens; rejects where that cannot be had. */
export async function listenOn(
  server: http.Server,
  { host, port }: { readonly host: string; readonly port: number },
  onError: (error: Error) => void,
): Promise<{ readonly host: string; readonly port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      // No descriptor left to accept with, say. It passes; without a listener it would end the process.
      server.on("error", onError);
      resolve();
    });
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return { host: address.address, port: address.port };
}

/** Node types its connections as streams, for servers over other transports than this one's TCP. */
export function tcp(socket: Duplex): Socket {
  if (socket instanceof Socket) return socket;
  throw new TypeError("the connection is no TCP socket");
}

/** The connections that are open now. */
export function connectionsOf(server: http.Server): ReadonlySet<Socket> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  return open;
}

/** Turns of the event loop without an arrival, after which nothing that came before is left to be taken. */
const QUIET_TURNS = 3;
/** Clients that never stop coming must not hold a stop up. A busy machine may take 10 ms for a turn. */
const MOST_ARRIVALS_MS = 1000;

/**
 * Resolves when the server has met what its clients had sent by now. Their bytes and connections may wait in the
 * operating system, which resets both when they are closed unread; Node takes one connection in each turn.
 */
export async function takeArrivals(server: http.Server): Promise<void> {
  let arrived = false;
  const note = (): void => {
    arrived = true;
  };
  const kinds = ["connection", "request", "checkContinue", "upgrade"] as const;
  for (const kind of kinds) server.on(kind, note);
  const endMs = performance.now() + MOST_ARRIVALS_MS;
  for (let quiet = 0; quiet < QUIET_TURNS && performance.now() < endMs;) {
    await nextTurn();
    quiet = arrived ? 0 : quiet + 1;
    arrived = false;
  }
  for (const kind of kinds) server.off(kind, note);
}

/**
 * Resolves when every connection has ended. Of the TCP server alone: http's own `close` and `closeIdleConnections` take a
 * connection for idle as soon as its answer was ended, and cut off what the client has not read of it yet.
 */
export function stopListening(server: http.Server): Promise<void> {
  return new Promise((resolve) => {
    TcpServer.prototype.close.call(server, () => resolve());
  });
}
