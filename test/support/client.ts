/** An HTTP client that keeps what a caller sees exactly: raw header pairs, repeated fields, body bytes. */
import http from "node:http";

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array;
  /** Hangs up when it aborts; the call then rejects. */
  readonly signal?: AbortSignal;
  /** Keeps connections; default: one of its own for each call. */
  readonly agent?: http.Agent;
  /** Called when the whole request has been handed to the operating system. */
  readonly onSent?: () => void;
}

export interface Answer {
  readonly status: number;
  /** In order, as on the wire. */
  readonly pairs: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** The only value of a field; undefined where it is absent. Throws where it is repeated. */
  header(name: string): string | undefined;
  all(name: string): readonly string[];
  json(): Record<string, unknown>;
}

/** One request. Rejects when the answer does not come whole. */
export function call(url: string, options: CallOptions = {}): Promise<Answer> {
  const { method = "GET", headers = {}, body, signal, agent = false } = options;
  return new Promise((resolve, reject) => {
    const req = http.request(url, {
      method,
      agent,
      headers: headers as http.OutgoingHttpHeaders,
      ...(signal !== undefined && { signal }),
    });
    req.on("error", reject);
    if (options.onSent !== undefined) req.on("finish", options.onSent);
    req.on("response", (res) => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.on("error", reject);
      res.on("end", () => resolve(answerOf(res, Buffer.concat(chunks))));
    });
    req.end(body);
  });
}

/** What a caller has, of what Node's parser or another one has read. */
export function answerOf(
  res: Pick<http.IncomingMessage, "statusCode" | "rawHeaders">,
  body: Buffer,
): Answer {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < res.rawHeaders.length; i += 2) {
    pairs.push([res.rawHeaders[i] ?? "", res.rawHeaders[i + 1] ?? ""]);
  }
  const all = (name: string): string[] =>
    pairs.filter(([field]) => field.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  return {
    status: res.statusCode ?? 0,
    pairs,
    body,
    all,
    header(name) {
      const values = all(name);
      if (values.length > 1) throw new Error(`${name} is repeated`);
      return values[0];
    },
    json: () => JSON.parse(body.toString("utf8")) as Record<string, unknown>,
  };
}
