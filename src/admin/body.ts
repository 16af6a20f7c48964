/** Reads the JSON bodies that the admin port takes, most of them small; everything else is refused before it is read. */
import type { IncomingMessage } from "node:http";
import { type AdminReply, problem } from "./reply.ts";

/** Far more than the one short member that is mostly sent here. */
const MAX_BODY_BYTES = 16 * 1024;

/** The text of a JSON body, or the refusal. */
export async function readJsonBody(
  request: IncomingMessage,
  mostBytes: number = MAX_BODY_BYTES,
): Promise<string | AdminReply> {
  const { "content-type": type = "", "content-encoding": encoding } = request.headers;
  // A form or plain text is what a web page may send without asking first (CORS): JSON it may not.
  if (!/^application\/json *(;|$)/i.test(type) || encoding !== undefined) {
    return problem("media-type-unsupported", "Send Content-Type: application/json, not encoded.");
  }
  const bytes = await readBounded(request, mostBytes);
  if (bytes === "too-large") {
    return problem("body-too-large", `At most ${mostBytes} bytes are read here.`);
  }
  // Nobody is left to read this; the answer says for the caller's code that there is nothing to act on.
  if (bytes === "gone") return problem("request-invalid", "The body did not arrive whole.");
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    // The decoder says no more than this.
    return problem("request-invalid", "The body must be UTF-8.");
  }
}

/** `too-large`: more than the limit, the rest stays unread. `gone`: the client left in the middle. */
function readBounded(
  request: IncomingMessage,
  mostBytes: number,
): Promise<Buffer | "too-large" | "gone"> {
  if (Number(request.headers["content-length"] ?? 0) > mostBytes) {
    return Promise.resolve("too-large");
  }
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.byteLength;
      if (length > mostBytes) {
        request.pause();
        resolve("too-large");
      } else {
        chunks.push(chunk);
      }
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", () => resolve("gone"));
  });
}

/** The object that a JSON text is; `undefined` where it is none. */
export function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const document: unknown = JSON.parse(text);
    return isObject(document) ? document : undefined;
  } catch {
    // The parser's error quotes the text; that it is no JSON is all there is to say.
    return undefined;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
