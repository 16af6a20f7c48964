/**
 * An upstream that reads bytes and nothing else: it keeps every request exactly as it came, through the strict reader,
 * and takes everything that the reader stumbles over for a violation. Answers `200` with who asked, by the address that
 * the gateway put into X-Forwarded-For.
 */
import net from "node:net";
import type { AddressInfo } from "node:net";
import type { Teardown } from "../support/teardown.ts";
import { canonicalTarget } from "./explain.ts";
import { readRequest, valuesOf, type Field, type SeenRequest } from "./reader.ts";

export interface Seen extends SeenRequest {
  /** The client's address, as the gateway tells it. */
  readonly from: string;
}

export interface Recorder {
  readonly port: number;
  /** Heads that arrived, whole requests or not. */
  readonly count: number;
  /** Told for each request as soon as it is whole, or when its connection is over and it is not. */
  onSeen: (seen: Seen) => void;
  /** What reached this upstream and should never reach one. */
  readonly violations: readonly string[];
}

export interface RecorderOptions {
  /** Says `Connection: close` in each answer, and keeps to it. */
  readonly closing?: boolean;
}

export async function startRecorder(t: Teardown, options: RecorderOptions = {}): Promise<Recorder> {
  const sockets = new Set<net.Socket>();
  const violations: string[] = [];
  const recorder = {
    port: 0,
    count: 0,
    onSeen: (_seen: Seen): void => undefined,
    violations,
  };
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    let bytes = Buffer.alloc(0);
    let over = false;
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      sockets.delete(socket);
      if (bytes.length > 0 && !over) rest();
    });
    socket.on("data", (chunk) => {
      if (over) {
        violations.push(`bytes behind the last request: ${shown(chunk)}`);
        return;
      }
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      while (bytes.length > 0 && !over && next());
    });

    /** Takes one whole request off the bytes. */
    function next(): boolean {
      const read = readRequest(bytes, 0);
      if (read.kind === "malformed" || (read.kind === "partial" && read.broken !== undefined)) {
        const why = read.kind === "malformed" ? read.why : read.broken;
        violations.push(`malformed (${why}): ${shown(bytes)}`);
        over = true;
        socket.destroy();
        return false;
      }
      if (read.kind !== "request") return false;
      const { request, end, clean } = read;
      if (!clean) violations.push(`chunks: ${shown(bytes)}`);
      const seen = withOrigin(request);
      bytes = bytes.subarray(end);
      recorder.count += 1;
      recorder.onSeen(seen);
      over = options.closing === true || valuesOf(request.fields, "upgrade").length > 0;
      socket.write(answerTo(seen, over));
      if (over) socket.end();
      return !over;
    }

    /** The connection is over and something is left: a request that was given up half-way, or nothing to speak of. */
    function rest(): void {
      const read = readRequest(bytes, 0);
      if (read.kind === "partial") {
        recorder.count += 1;
        recorder.onSeen(withOrigin(read.request));
      } else violations.push(`left over: ${shown(bytes)}`);
    }

    function withOrigin(request: SeenRequest): Seen {
      const origins = valuesOf(request.fields, "x-forwarded-for");
      for (const fault of faultsOf(request, origins)) violations.push(`${fault}: ${shown(bytes)}`);
      return { ...request, body: Buffer.from(request.body), from: originOf(request.fields) };
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", 4096, resolve));
  recorder.port = (server.address() as AddressInfo).port;
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return recorder;
}

/** The gateway's peer is the last in the list, whatever the peer says of others. */
export function originOf(fields: readonly Field[]): string {
  return valuesOf(fields, "x-forwarded-for").at(-1)?.split(", ").at(-1) ?? "";
}

/** These end at the gateway. `upgrade` and `connection` may stand in a WebSocket handshake alone. */
const NEVER = ["keep-alive", "proxy-connection", "proxy-authorization", "te", "trailer", "expect"];

const ONCE = ["host", "content-type", "authorization", "x-api-key", "idempotency-key"];

function faultsOf({ version, fields }: SeenRequest, origins: readonly string[]): string[] {
  const faults: string[] = [];
  if (version !== "1.1") faults.push(`HTTP/${version}`);
  if (origins.length !== 1 || !/^[\d., ]+$/.test(origins[0] ?? "")) faults.push("X-Forwarded-For");
  for (const name of NEVER) if (valuesOf(fields, name).length > 0) faults.push(name);
  for (const name of ONCE) if (valuesOf(fields, name).length > 1) faults.push(`${name} twice`);
  if (valuesOf(fields, "host").length !== 1) faults.push("no host");
  const upgrades = valuesOf(fields, "upgrade");
  if (upgrades.some((value) => value !== "websocket")) faults.push("upgrade");
  if (fields.some(([name]) => TWIN.test(name))) faults.push("underscore");
  return faults;
}

/** What a CGI-like upstream would take for a field that the gateway judges or sets. */
const TWIN =
  /^(?=.*_)(x[-_]forwarded[-_].*|idempotency[-_](key|fence)|content[-_](type|length)|x[-_]api[-_]key)$/i;

/** What the client at this address is told about its request. */
export function answerBody(from: string, request: SeenRequest): string {
  return `${from} ${request.method} ${canonicalTarget(request)}`;
}

function answerTo(seen: Seen, last: boolean): string {
  const { method, from } = seen;
  const body = answerBody(from, seen);
  const length = `Content-Length: ${Buffer.byteLength(body, "latin1")}`;
  const close = last ? "Connection: close\r\n" : "";
  return `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${length}\r\n${close}\r\n${method === "HEAD" ? "" : body}`;
}

/** Enough to see what it is. */
export function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1", 0, 600));
}
