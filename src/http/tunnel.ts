/**
 * The pass-through: requests and upgrades that are not guarded, streamed both ways by http-proxy, which no other file
 * imports. http-proxy 1.18 opens the request and pipes; head, framing, timers and the answer are done here and in
 * `passage.ts` and `upgrade.ts`, because its own ways with them are wrong (each has its test). Nothing retries.
 */
import http from "node:http";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import httpProxy from "http-proxy";
import type { Passed } from "../core/ports.ts";
import type { HeaderPair } from "../core/record.ts";
import { flat, valuesOf } from "./headers.ts";
import { Onward, Passage, type PassageLimits } from "./passage.ts";
import type { Turn } from "./reply.ts";
import { UpgradePassage } from "./upgrade.ts";

export interface TunnelOptions extends PassageLimits {
  /** An origin: scheme, host and port. */
  readonly url: string;
  /** At most this many requests at once; more wait. Upgraded connections count apart. */
  readonly connections: number;
}

export interface Outbound {
  /** End-to-end fields, without framing. */
  readonly headers: readonly HeaderPair[];
  /** Sent exactly as it stands. */
  readonly target: string;
  /** What was already taken of the body; it goes first. */
  readonly read?: Uint8Array | undefined;
  /** Added to the answer's fields, over the upstream's of the same name. */
  readonly told?: readonly HeaderPair[] | undefined;
}

export interface Tunnel {
  /** Resolves when both directions are over. Never rejects. */
  pass(turn: Turn, outbound: Outbound): Promise<Passed>;
  /** WebSocket. Resolves when the connection is over, or with what was answered instead. Never rejects. */
  upgrade(req: IncomingMessage, socket: Socket, head: Buffer, outbound: Outbound): Promise<Passed>;
  /** Ends idle connections to the upstream; for after the listener has stopped. */
  close(): void;
}

/**
 * How long an idle upstream connection is kept where the upstream announces nothing shorter. Short, because a request
 * that meets the upstream's close half-way fails, and nothing here sends it again.
 */
const IDLE_CONNECTION_MS = 1000;

export function createTunnel(options: TunnelOptions): Tunnel {
  const upstream = new URL(options.url);
  const secure = upstream.protocol === "https:";
  const agents = newAgents(secure, options.connections);
  const proxy = httpProxy.createProxyServer({
    // As an object: http-proxy would parse a string with the legacy `url.parse`.
    target: {
      protocol: upstream.protocol,
      host: upstream.hostname.replace(/^\[|\]$/g, ""),
      hostname: upstream.hostname.replace(/^\[|\]$/g, ""),
      port: Number(upstream.port === "" ? (secure ? 443 : 80) : upstream.port),
    },
    selfHandleResponse: true,
    toProxy: true,
  });
  keepStreamPassOnly(proxy);
  proxy.on("proxyReq", (call, onward) => void onward.emit("call", call));
  proxy.on("proxyReqWs", (call, onward) => void onward.emit("call", call));
  proxy.on("proxyRes", (answer, onward) => void onward.emit("answer", answer));
  // Where http-proxy takes the client for gone, resets of the upstream reach this event and nothing else.
  proxy.on("econnreset", (error, onward) => void onward.emit("failure", error));
  // Without a listener an error outside any callback would end the process.
  proxy.on("error", (error, onward) => void onward.emit("failure", error));

  const host: HeaderPair = ["Host", upstream.host];
  return {
    pass: (turn, outbound) => {
      const onward = new Onward(turn.req.method ?? "GET");
      const framed = framing(turn.req);
      const upload = framed.length > 0 ? new PassThrough() : undefined;
      const headers = [...withHost(outbound.headers, host), ...framed];
      return new Passage(turn, onward, upload, options).start(
        outbound.read,
        outbound.told ?? [],
        () =>
          proxy.web(
            onward,
            turn.res,
            {
              ssl: pinned(outbound.target, headers),
              agent: agents.web,
              buffer: upload ?? turn.req,
            },
            (error) => void onward.emit("failure", error),
          ),
      );
    },
    upgrade: (req, socket, head, outbound) => {
      const onward = new Onward(req.method ?? "GET");
      const headers: HeaderPair[] = [
        ...withHost(outbound.headers, host),
        ["Connection", "Upgrade"],
        ["Upgrade", "websocket"],
      ];
      return new UpgradePassage(socket, onward, options).start(() =>
        proxy.ws(
          onward,
          socket,
          head,
          { ssl: pinned(outbound.target, headers), agent: agents.upgrade },
          (error) => void onward.emit("failure", error),
        ),
      );
    },
    close: () => {
      agents.web.destroy();
      agents.upgrade.destroy();
    },
  };
}

function newAgents(secure: boolean, connections: number) {
  const { Agent } = secure ? https : http;
  return {
    // `timeout` closes free sockets; nothing listens to it on those in use.
    web: new Agent({ keepAlive: true, maxSockets: connections, timeout: IDLE_CONNECTION_MS }),
    upgrade: new Agent({ keepAlive: false }),
  };
}

/**
 * Takes out every http-proxy pass but the one that sends. Above all `deleteLength`, which turns a chunked DELETE or
 * OPTIONS into `Content-Length: 0` and still sends the body: the next request on that connection is the attacker's.
 */
function keepStreamPassOnly(proxy: httpProxy): void {
  // Not in the type declarations; what is relied upon is checked.
  for (const list of ["webPasses", "wsPasses"]) {
    const passes: unknown = Reflect.get(proxy, list);
    const kept = Array.isArray(passes) ? passes.filter(isStreamPass) : [];
    if (kept.length !== 1) throw new Error(`http-proxy has no single stream pass in ${list}`);
    Reflect.set(proxy, list, kept);
  }
}

function isStreamPass(pass: unknown): boolean {
  return typeof pass === "function" && pass.name === "stream";
}

/**
 * http-proxy fills the request's options into the object it is given as `ssl`. Its `path` (with `//` squashed) and its
 * `headers` (lower-case, repeats joined) meet setters that ignore them: what is sent is what is given here, exactly.
 * Rejected: correcting the request in the `proxyReq` event, which is skipped for some requests.
 */
function pinned(target: string, headers: readonly HeaderPair[]): object {
  return Object.defineProperties({}, { path: pin(target), headers: pin(flat(headers)) });
}

function pin(value: unknown): PropertyDescriptor {
  return { enumerable: true, get: () => value, set: ignore };
}

function ignore(): void {
  // See `pinned`.
}

/** HTTP/1.0 may come without Host; HTTP/1.1, which is spoken to the upstream, may not. */
function withHost(headers: readonly HeaderPair[], host: HeaderPair): HeaderPair[] {
  return valuesOf(headers, "host").length === 0 ? [host, ...headers] : [...headers];
}

/** Methods whose requests ordinarily have no content, so that its absence needs no saying (RFC 9110 §8.6). */
const BODILESS_METHODS = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);

/** The body is framed as the client framed it, whatever the method: the parser has made sure that there is one way. */
function framing(req: IncomingMessage): HeaderPair[] {
  if (req.headers["transfer-encoding"] !== undefined) return [["Transfer-Encoding", "chunked"]];
  const length = req.headers["content-length"];
  if (length !== undefined) return [["Content-Length", length]];
  return BODILESS_METHODS.has(req.method ?? "") ? [] : [["Content-Length", "0"]];
}
