/**
 * A small charges API, the upstream of the demo. Like many a real one it has no notion of idempotency: every POST that
 * reaches it charges again, and it counts. Keeps everything in memory; prints one JSON line when it listens, and one
 * each time that it starts to charge. Arguments: a port (any free one), an address (loopback).
 *
 *     POST /v1/charges            201, Location; `?delay=MS` makes it slow (0 to 10000)
 *     GET  /v1/charges            200, {"executions": N, "data": [...]}
 *     GET  /v1/charges/:id        200 or 404
 */
import http from "node:http";
import { argv, stdout } from "node:process";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";

interface Charge {
  id: string;
  amount: number;
  currency: string;
}

const charges: Charge[] = [];
let executions = 0;

const server = http.createServer((request, response) => {
  handle(request, response).catch((error: unknown) => {
    tell({ message: "failed", error: String(error) });
    response.destroy();
  });
});

async function handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://upstream");
  const id = /^\/v1\/charges\/([^/]+)$/.exec(url.pathname)?.[1];
  if (request.method === "POST" && url.pathname === "/v1/charges") {
    const order = readOrder(await text(request));
    if (order === undefined) return answer(response, 422, { error: "amount and currency" });
    executions += 1;
    const charge: Charge = { id: `ch_${executions}`, ...order };
    tell({ message: "charging", id: charge.id });
    await delay(Math.min(Number(url.searchParams.get("delay") ?? 0), 10_000));
    charges.push(charge);
    return answer(response, 201, charge, { Location: `/v1/charges/${charge.id}` });
  }
  if (request.method === "GET" && url.pathname === "/v1/charges") {
    return answer(response, 200, { executions, data: charges });
  }
  const charge = charges.find((each) => each.id === id);
  if (request.method === "GET" && charge !== undefined) return answer(response, 200, charge);
  return answer(response, 404, { error: "not found" });
}

function readOrder(body: string): Omit<Charge, "id"> | undefined {
  let order: unknown;
  try {
    order = JSON.parse(body);
  } catch {
    return undefined; // Told to the caller as 422, like every other order that makes no sense.
  }
  if (typeof order !== "object" || order === null) return undefined;
  if (!("amount" in order) || !("currency" in order)) return undefined;
  const { amount, currency } = order;
  if (typeof amount !== "number" || typeof currency !== "string") return undefined;
  return { amount, currency };
}

function answer(
  response: http.ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

function tell(line: Readonly<Record<string, unknown>>): void {
  stdout.write(`${JSON.stringify(line)}\n`);
}

const host = argv[3] ?? "127.0.0.1";
server.listen(Number(argv[2] ?? 0), host, () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  tell({ message: "listening", address: `http://${host}:${port}` });
});
