/**
 * The bare prototype of the gateway's own path: node:http in front, undici behind, nothing in between. Reads the body,
 * sends it, answers. No checks, no store, no log, no metrics.
 */
import http from "node:http";
import { Pool } from "undici";

const [port = "", upstream = ""] = process.argv.slice(2);
const pool = new Pool(upstream, { connections: 128 });

const server = http.createServer((req, res) => {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    forward(req, res, body ?? null).catch(() => {
      if (!res.headersSent) res.statusCode = 502;
      res.end();
    });
  });
});
server.keepAliveTimeout = 3_600_000;
server.listen(Number(port), "127.0.0.1", 4096);

async function forward(
  req: http.IncomingMessage,
  res: http.ServerResponse,
  body: Buffer | null,
): Promise<void> {
  const { connection: _hop, "content-length": _framing, ...headers } = req.headers;
  const answer = await pool.request({
    method: req.method ?? "GET",
    path: req.url ?? "/",
    headers,
    body: body === null || body.length === 0 ? null : body,
  });
  const {
    connection: _theirs,
    "keep-alive": _hint,
    "transfer-encoding": _chunks,
    ...fields
  } = answer.headers;
  const bytes = Buffer.from(await answer.body.arrayBuffer());
  res.writeHead(answer.statusCode, fields);
  res.end(bytes);
}
