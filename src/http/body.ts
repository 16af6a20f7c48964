/**
 * Request bodies: read whole up to a limit and a time; watched as they go by; or, where nobody wants the rest, taken off
 * the socket a little so that the answer is not lost. Knows no header but Content-Length; the parser has checked the framing.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { BodyRead } from "../core/ports.ts";

/**
 * Reads the body. Over the limit it stops reading and leaves the rest on the socket; an announced length over the
 * limit is not read at all. `timeoutMs` bounds the whole body, however steadily it drips. Call it once.
 */
export function readBody(
  req: IncomingMessage,
  limitBytes: number,
  timeoutMs: number,
): Promise<BodyRead> {
  if (isAnnouncedOver(req, limitBytes)) {
    return Promise.resolve({ kind: "too-large", read: new Uint8Array() });
  }
  return gather(req, limitBytes, timeoutMs, [req], () => req.pause());
}

/**
 * Listens to a body that somebody else reads, from this turn of the event loop on, and holds nothing up. Over the limit
 * nothing is kept. What has not gone by whole when the answer is through, or after `timeoutMs`, is incomplete.
 */
export async function watchBody(
  req: IncomingMessage,
  res: ServerResponse,
  limitBytes: number,
  timeoutMs: number,
): Promise<BodyRead> {
  const tooLarge: BodyRead = { kind: "too-large", read: new Uint8Array() };
  if (isAnnouncedOver(req, limitBytes)) return tooLarge;
  const read = await gather(req, limitBytes, timeoutMs, [req, res], () => undefined);
  return read.kind === "too-large" ? tooLarge : read;
}

function isAnnouncedOver(req: IncomingMessage, limitBytes: number): boolean {
  return Number(req.headers["content-length"] ?? 0) > limitBytes;
}

/** The body is over when one of `closing` closes. `stop` is called where it is given up before its end. */
function gather(
  req: IncomingMessage,
  limitBytes: number,
  timeoutMs: number,
  closing: readonly (IncomingMessage | ServerResponse)[],
  stop: () => void,
): Promise<BodyRead> {
  return new Promise((resolve) => {
    const gathered = new Gathered();
    const settle = (read: BodyRead): void => {
      clearTimeout(timer);
      req.off("data", onData).off("end", onEnd);
      for (const each of closing) each.off("close", onClose);
      resolve(read);
    };
    const onData = (chunk: Buffer): void => {
      gathered.add(chunk);
      if (gathered.length <= limitBytes) return;
      stop();
      settle({ kind: "too-large", read: gathered.bytes });
    };
    const onEnd = (): void => settle({ kind: "body", bytes: gathered.bytes });
    const onClose = (): void => settle({ kind: "incomplete", cause: "gone" });
    const timer = setTimeout(() => {
      stop();
      settle({ kind: "incomplete", cause: "slow" });
    }, timeoutMs);
    if (req.destroyed) return onClose();
    req.on("data", onData).on("end", onEnd);
    for (const each of closing) each.on("close", onClose);
  });
}

/**
 * Chunks in one buffer that doubles. DANGER: kept one by one, chunks of a byte each, which any client may send, would take
 * some hundred times what they carry.
 */
class Gathered {
  #buffer = Buffer.alloc(0);
  length = 0;

  add(chunk: Buffer): void {
    const length = this.length + chunk.length;
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(length, 2 * this.#buffer.length));
      this.#buffer.copy(grown, 0, 0, this.length);
      this.#buffer = grown;
    }
    chunk.copy(this.#buffer, this.length);
    this.length = length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }
}

/** How much of an unwanted body is taken, and for how long, before the connection is closed over it. */
const LINGER_BYTES = 4 * 1024 * 1024;
export const LINGER_MS = 1000;

/**
 * Takes a bounded part of an unwanted body off the socket. Closing with bytes unread makes the kernel send a reset,
 * and a reset overtakes the answer (RFC 9112 §9.6). Resolves at the body's end, the bound, or the client's.
 */
export function discardRest(req: IncomingMessage): Promise<void> {
  if (req.complete || req.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    let length = 0;
    const settle = (): void => {
      clearTimeout(timer);
      req.off("data", onData).off("end", settle).off("close", settle);
      req.pause();
      resolve();
    };
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length > LINGER_BYTES) settle();
    };
    const timer = setTimeout(settle, LINGER_MS);
    req.on("data", onData).on("end", settle).on("close", settle);
    req.resume();
  });
}
