/** Reads the small JSON bodies that the admin port takes; everything else is refused before it is read. */
import type { IncomingMessage } from "node:http";
import { type AdminReply, problem } from "./reply.ts";

const MAX_BODY_BYTES = 16 * 1024;

/** The text of a JSON body, or the refusal. Rejects when the client goes away in the middle. */
export async function readJsonBody(request: IncomingMessage): Promise<string | AdminReply> {
  const { "content-type": type = "", "content-encoding": encoding } = request.headers;
  // A form or plain text is what a web page may send without asking first (CORS): JSON it may not.
  if (!/^application\/json *(;|$)/i.test(type) || encoding !== undefined) {
    return problem("media-type-unsupported", "Send Content-Type: application/json, not encoded.");
  }
  const bytes = await readBounded(request);
  if (bytes === undefined) {
    return problem("body-too-large", `At most ${MAX_BODY_BYTES} bytes are read here.`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    // The decoder says no more than this.
    return problem("request-invalid", "The body must be UTF-8.");
  }
}

/** `undefined`: more than the limit. The rest stays unread. */
function readBounded(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) {
    return Promise.resolve(undefined);
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.byteLength;
      if (length > MAX_BODY_BYTES) {
        request.pause();
        resolve(undefined);
      } else {
        chunks.push(chunk);
      }
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
  });
}
