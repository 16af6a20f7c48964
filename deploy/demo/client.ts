/**
 * The demo's HTTP client: one request, one connection, the answer as it came. It retries nothing on its own; the demo
 * shows what a retrying client gets.
 */
import http from "node:http";
import { text } from "node:stream/consumers";

export interface Ask {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** The field's value as it goes over the wire; left out: no key. */
  readonly key?: string;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** Rejects with the connection's error, or when `hangUp` aborts. */
export async function send(base: string, ask: Ask, hangUp?: AbortSignal): Promise<Answer> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const request = http.request(new URL(ask.path, base), {
      method: ask.method,
      agent: false,
      headers: {
        ...(ask.key === undefined ? {} : { "Idempotency-Key": ask.key }),
        ...(ask.body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      ...(hangUp === undefined ? {} : { signal: hangUp }),
    });
    request.once("response", resolve);
    request.once("error", reject);
    request.end(ask.body);
  });
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: await text(response),
  };
}

/** The value of a header that comes once; empty when it is missing. */
export function header(answer: Answer, name: string): string {
  return answer.headers[name.toLowerCase()]?.toString() ?? "";
}
