/**
 * Writes answers: fields as they were given, framing by this hop alone, backpressure kept, and a stream read to its
 * end even when nobody is left to see it. Decides nothing about what is answered.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Reply } from "../core/ports.ts";
import { renderProblem, type Problem } from "../core/problem.ts";
import type { HeaderPair } from "../core/record.ts";
import { discardRest, LINGER_MS } from "./body.ts";
import type { ReadOn } from "./read-on.ts";
import { onward, renderHead } from "./headers.ts";

/** One request and the answer to it, as Node gives them. */
export interface Turn {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** The client waits for 100 before it sends the body, and has not been told yet. */
  awaitsContinue: boolean;
  /** A wait for somebody else's answer would hold up a stop; not the call of one's own. */
  givenUp: boolean;
  onGivenUp?: () => void;
}

/** Ends the turn's wait for another's answer, also one that begins later. */
export function giveUp(turn: Turn): void {
  turn.givenUp = true;
  turn.onGivenUp?.();
}

/** Tells a client that waits for it to send its body (RFC 9110 §10.1.1). */
export function inviteBody(turn: Turn): void {
  if (!turn.awaitsContinue) return;
  turn.awaitsContinue = false;
  const { res } = turn;
  if (res.socket !== null) return res.writeContinue();
  // DANGER: pipelined behind an answer that is not out yet. Node would put the head of this answer before the 100 that
  // waits with it, and the 100 into its body: every answer after it would be read from the wrong place.
  res.once("socket", () => {
    if (!res.headersSent) res.writeContinue();
  });
}

/**
 * Sends a reply. Resolves when it is handed to the operating system or the client is gone. Rejects only when the head
 * is not one that may stand on the wire, and then nothing was sent.
 */
export async function sendReply(turn: Turn, reply: Reply, readOn?: ReadOn): Promise<void> {
  const { req, res } = turn;
  if (isOver(turn)) return drain(reply.body, readOn);
  // Lets the parser finish the segment that it is in: a small body mostly came along with its head.
  await Promise.resolve();
  const buffered = reply.body instanceof Uint8Array ? reply.body : undefined;
  const bodiless = req.method === "HEAD" || reply.status === 204 || reply.status === 304;
  const length = buffered === undefined || bodiless ? undefined : buffered.length;
  const early = !req.complete;
  if (early) res.shouldKeepAlive = false;
  // With its reason, because a failed attempt at another head leaves that one's behind.
  res.writeHead(reply.status, STATUS_CODES[reply.status] ?? "", fieldsOf(reply, length));
  if (buffered === undefined) {
    if (!(await writeStream(res, reply.body, bodiless, readOn))) return;
  } else if (early && !bodiless) {
    res.write(buffered);
  }
  if (early) {
    // Everything is on its way; the end, and with it the close, follows what can be read of the body.
    res.flushHeaders();
    void lingerThenEnd(turn);
    return;
  }
  await ended(res, buffered !== undefined && !bodiless ? buffered : undefined);
}

/** As Node takes them. A stored or upstream head must never bring its own framing along. */
function fieldsOf({ status, headers }: Reply, lengthBytes: number | undefined): string[] {
  const fields: string[] = [];
  const goesOn = onward(headers);
  const unframed = status === 204 || lengthBytes !== undefined;
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (goesOn(lower) && !(unframed && lower === "content-length")) fields.push(name, value);
  }
  if (lengthBytes !== undefined) fields.push("Content-Length", String(lengthBytes));
  return fields;
}

/** Sends a problem on an answer that has not begun. */
export function sendProblem(
  turn: Turn,
  problem: Problem,
  extra: readonly HeaderPair[] = [],
): Promise<void> {
  const { status, headers, body } = renderProblem(problem);
  return sendReply(turn, { status, headers: [...headers, ...extra], body });
}

/** Whether nothing can be answered any more. */
export function isOver({ res }: Turn): boolean {
  return res.destroyed || res.headersSent || res.socket?.destroyed === true;
}

/** Ends an answer whose request was not read to its end, after reading some more of it. */
export async function lingerThenEnd(turn: Turn): Promise<void> {
  // A client that still waits to be invited sends no body that could be in the way.
  if (!turn.awaitsContinue) await discardRest(turn.req);
  turn.res.end();
}

function ended(res: ServerResponse, body: Uint8Array | undefined): Promise<void> {
  return new Promise((resolve) => {
    res.once("close", resolve).once("finish", resolve);
    if (body === undefined) res.end();
    // Node writes text in one piece with the head, where bytes make it a second one: 10 us.
    else if (body.length <= IN_ONE_PIECE_BYTES) res.end(latin1(body), "latin1");
    else res.end(body);
  });
}

/** Up to here copying costs less than a second piece. */
const IN_ONE_PIECE_BYTES = 4096;

/** One char for each byte. */
function latin1({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
}

/** True when the whole stream was written; false when the client left, or the stream broke and took the socket along. */
async function writeStream(
  res: ServerResponse,
  body: Reply["body"],
  bodiless: boolean,
  readOn: ReadOn | undefined,
): Promise<boolean> {
  res.flushHeaders();
  let end: (() => void) | undefined;
  const onClose = (): void => {
    end = readOn?.begin(() => cancel(body));
  };
  res.once("close", onClose);
  try {
    for await (const chunk of asStream(body)) {
      if (bodiless || res.destroyed) continue;
      if (!res.write(chunk)) await writable(res);
    }
  } catch {
    // Not swallowed: whoever made the stream knows of its end. The client is told by an answer that stays incomplete,
    // with a reset, because an answer that only a close delimits would look whole.
    cut(res);
    return false;
  } finally {
    res.off("close", onClose);
    end?.();
  }
  return !res.destroyed;
}

function cancel(body: Reply["body"]): void {
  if (!(body instanceof Uint8Array)) body.cancel();
}

async function* asStream(body: Reply["body"]): AsyncIterable<Uint8Array> {
  if (body instanceof Uint8Array) yield body;
  else yield* body;
}

/** Reads a stream that nobody is left to see, for a while, so that what waits for its end learns of it. */
async function drain(body: Reply["body"], readOn: ReadOn | undefined): Promise<void> {
  const end = readOn?.begin(() => cancel(body));
  try {
    for await (const chunk of asStream(body)) void chunk;
  } catch {
    // As in `writeStream`: its maker knows, and there is no client to tell.
  } finally {
    end?.();
  }
}

function writable(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      res.off("drain", settle).off("close", settle);
      resolve();
    };
    res.on("drain", settle).on("close", settle);
    if (res.destroyed) settle();
  });
}

/** Ends an answer so that the client cannot take it for a whole one. */
export function cut(res: ServerResponse): void {
  const { socket } = res;
  if (socket === null) res.destroy();
  else socket.resetAndDestroy();
}

/**
 * A problem on a socket that no ServerResponse looks after; the socket is closed after it. `method` is the request's,
 * where it is known: after HEAD a body would be taken for the next answer, so without it the status has to say it all.
 */
export function refuseSocket(
  socket: Socket,
  problem: Problem,
  extra: readonly HeaderPair[] = [],
  method?: string,
): void {
  const { status, headers, body } = renderProblem(problem);
  const told = method === undefined ? { headers: [], body: Buffer.alloc(0) } : { headers, body };
  const head = renderHead(status, [
    ...told.headers,
    ...extra,
    ["Date", new Date().toUTCString()],
    ["Connection", "close"],
    ["Content-Length", String(told.body.length)],
  ]);
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  // What still comes in is dropped for a moment, for the same reason as in `discardRest`.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
  socket.end(method === "HEAD" ? head : Buffer.concat([head, told.body]));
}
