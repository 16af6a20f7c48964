/**
 * The npm middleware for this job, `@node-idempotency/core` with its Redis adapter, in a fastify server that proxies by
 * undici. As its page says: the request is looked up before the handler, the answer is stored after it. The body is
 * handed to it as the text that came, which saves it parsing. No log, no metrics.
 */
import { Idempotency, IdempotencyError, IdempotencyErrorCodes } from "@node-idempotency/core";
import { RedisStorageAdapter } from "@node-idempotency/storage-adapter-redis";
import fastify, { type FastifyRequest } from "fastify";
import { Pool } from "undici";

const [port = "", upstream = "", redis = ""] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 128 });
const storage = new RedisStorageAdapter({ url: redis });
await storage.connect();
const idempotency = new Idempotency(storage);

interface Kept {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
}

const app = fastify({ bodyLimit: 2 * 1024 * 1024, keepAliveTimeout: 3_600_000 });
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", { parseAs: "string" }, (_req, body, done) => done(null, body));
app.all("/*", async (req, reply) => {
  const text = typeof req.body === "string" ? req.body : "";
  const asked = { headers: req.headers, path: req.url, method: req.method, body: { text } };
  const found = await lookUp(asked);
  if (found !== undefined) return reply.code(found.status).headers(found.headers).send(found.body);
  const { status, headers, body } = await forward(req, text);
  await idempotency.onResponse(asked, { body, additional: { status, headers } });
  return reply.code(status).headers(headers).send(body);
});
await app.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });

async function lookUp(
  asked: Parameters<Idempotency["onRequest"]>[0],
): Promise<(Kept & { readonly body: unknown }) | undefined> {
  try {
    const stored = await idempotency.onRequest(asked);
    return stored && { ...(stored.additional as unknown as Kept), body: stored.body };
  } catch (error) {
    if (!(error instanceof IdempotencyError)) throw error;
    const conflict =
      error.code === IdempotencyErrorCodes.REQUEST_IN_PROGRESS ||
      error.code === IdempotencyErrorCodes.IDEMPOTENCY_FINGERPRINT_MISSMATCH;
    return { status: conflict ? 409 : 400, headers: {}, body: { title: error.message } };
  }
}

async function forward(req: FastifyRequest, text: string): Promise<Kept & { body: string }> {
  const { connection: _hop, "content-length": _framing, ...sent } = req.headers;
  const answer = await pool.request({
    method: req.method,
    path: req.url,
    headers: sent,
    body: text === "" ? null : text,
  });
  const {
    connection: _theirs,
    "keep-alive": _hint,
    "transfer-encoding": _chunks,
    date: _date,
    ...fields
  } = answer.headers;
  const headers = Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Kept["headers"];
  return { status: answer.statusCode, headers, body: await answer.body.text() };
}
