/**
 * What is not guarded streams through the built gateway, as a process of its own: large bodies in flat memory, events
 * as they are sent, WebSockets, and connections that break on either side.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import root, { type Test } from "tap";
import { WebSocket, WebSocketServer } from "ws";
import { call } from "../support/client.ts";
import { startGatewayProcess, type GatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { connectRaw } from "../support/raw.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const MIB = 1024 * 1024;
const TOTAL_MIB = 200;
const WARM_UP_MIB = 20;
/** Room for sockets' buffers and for garbage; one body held whole would be 200. */
const GROWTH_MIB = 48;

const portOf = (url: string): number => Number(new URL(url).port);

/** No two mebibytes alike. */
function* mebibytes(count: number): Generator<Buffer> {
  const block = Buffer.alloc(MIB, "0123456789abcdef");
  for (let at = 0; at < count; at += 1) {
    const mine = Buffer.from(block);
    mine.writeUInt32BE(at, at % 1000);
    yield mine;
  }
}

function digestOf(count: number): string {
  const hash = createHash("sha256");
  for (const block of mebibytes(count)) hash.update(block);
  return hash.digest("hex");
}

function digesting(): { readonly sink: Writable; readonly digest: () => string } {
  const hash = createHash("sha256");
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done();
    },
  });
  return { sink, digest: () => hash.digest("hex") };
}

/** `GET /N` is answered with N mebibytes; an upload with its digest. */
function answerLarge(req: IncomingMessage, res: ServerResponse): void {
  const count = Number(req.url?.slice(1));
  if (req.method === "GET") {
    res.writeHead(200, { "Content-Length": count * MIB });
    pipeline(Readable.from(mebibytes(count)), res).catch(() => res.destroy());
    return;
  }
  const { sink, digest } = digesting();
  pipeline(req, sink).then(
    () => res.end(digest()),
    () => res.destroy(),
  );
}

async function download(url: string, count: number): Promise<string> {
  const req = http.get(`${url}/${count}`, { agent: false });
  const [res] = (await once(req, "response")) as [IncomingMessage];
  const { sink, digest } = digesting();
  await pipeline(res, sink);
  return digest();
}

async function upload(url: string, count: number, chunked: boolean): Promise<string> {
  const headers = chunked ? {} : { "Content-Length": count * MIB };
  const req = http.request(`${url}/upload`, { method: "POST", agent: false, headers });
  const answered = once(req, "response") as Promise<[IncomingMessage]>;
  await pipeline(Readable.from(mebibytes(count)), req);
  const [res] = await answered;
  return Buffer.concat(await res.toArray()).toString();
}

/** `VmRSS` is now, `VmHWM` the most there ever was. */
function memoryMiB(pid: number, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
}

root.test("200 MB down and 200 MB up in flat memory", async (t) => {
  const upstream = await startUpstream(t, { onHead: answerLarge });
  const gateway = await startGatewayProcess(t, ["--upstream", upstream.url, "--store", "memory:"]);
  const whole = digestOf(TOTAL_MIB);
  await download(gateway.url, WARM_UP_MIB);
  await upload(gateway.url, WARM_UP_MIB, true);

  const before = memoryMiB(gateway.pid, "VmRSS");
  t.equal(await download(gateway.url, TOTAL_MIB), whole, "down, every byte");
  const down = memoryMiB(gateway.pid, "VmRSS");
  t.equal(await upload(gateway.url, TOTAL_MIB, false), whole, "up by length, every byte");
  const up = memoryMiB(gateway.pid, "VmRSS");
  t.equal(await upload(gateway.url, TOTAL_MIB, true), whole, "up in chunks, every byte");
  const peak = memoryMiB(gateway.pid, "VmHWM");
  const told = [before, down, up, peak].map((mib) => mib.toFixed(0));
  t.comment(
    `RSS in MiB: ${told[0]} before, ${told[1]} after 200 MB down, ${told[2]} after 200 MB up, ${told[3]} at most`,
  );
  t.ok(peak - before < GROWTH_MIB, `grew by ${(peak - before).toFixed(0)} MiB at most`);
  t.equal(upstream.count(), 5);
});

root.test("a client that stops reading stops the upstream, and costs no memory", async (t) => {
  const upstream = await startUpstream(t, { onHead: answerLarge });
  const gateway = await startGatewayProcess(t, ["--upstream", upstream.url, "--store", "memory:"]);
  await download(gateway.url, WARM_UP_MIB);
  const before = memoryMiB(gateway.pid, "VmRSS");
  const client = await connectRaw(t, portOf(gateway.url));
  client.send(`GET /${TOTAL_MIB} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await client.until("\r\n\r\n");
  client.socket.pause();
  const { res } = await upstream.arriving(2);
  // While a whole other download goes through, nothing more of this one is taken.
  await download(gateway.url, TOTAL_MIB);
  t.equal(res.writableNeedDrain, true, "the upstream waits");
  const peak = memoryMiB(gateway.pid, "VmHWM");
  t.comment(`RSS in MiB: ${before.toFixed(0)} before, ${peak.toFixed(0)} at most`);
  t.ok(peak - before < GROWTH_MIB);
  client.reset();
  await (
    await upstream.arriving(2)
  ).closed;
  t.equal(upstream.count(), 3);
});

/** One process, and two workers behind one port. */
const CREWS: readonly (readonly [name: string, args: readonly string[]])[] = [
  ["one process", ["--workers", "1"]],
  ["two workers", ["--workers", "2"]],
];

async function start(t: Test, upstream: TestUpstream, crew: readonly string[]) {
  const store = `file:${tempDir(t)}`;
  return startGatewayProcess(t, ["--upstream", upstream.url, "--store", store, ...crew]);
}

/** The next chunk, which must come without anything else being sent. */
async function chunkOf(res: IncomingMessage): Promise<string> {
  return String((await once(res, "data"))[0]);
}

async function openEvents(url: string, options: http.RequestOptions): Promise<IncomingMessage> {
  const req = http.request(url, { agent: false, ...options });
  req.end();
  return ((await once(req, "response")) as [IncomingMessage])[0];
}

const EVENTS = { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" };

for (const [name, crew] of CREWS) {
  root.test(`${name}: server-sent events arrive as they are sent`, async (t) => {
    const upstream = await startUpstream(t, {
      onHead: (_req, res) => void res.writeHead(200, EVENTS),
    });
    const gateway = await start(t, upstream, crew);
    const ways: readonly http.RequestOptions[] = [
      { method: "GET" },
      { method: "POST" },
      { method: "POST", headers: { "Idempotency-Key": "events" } },
    ];
    for (const [at, way] of ways.entries()) {
      const arriving = upstream.arriving(at + 1).then((one) => {
        one.res.flushHeaders();
        return one;
      });
      const events = await openEvents(gateway.url, way);
      const { res, closed } = await arriving;
      t.equal(
        events.headers["content-type"],
        "text/event-stream",
        "the head alone, before any event",
      );
      for (let n = 0; n < 5; n += 1) {
        res.write(`data: ${n}\n\n`);
        t.equal(await chunkOf(events), `data: ${n}\n\n`);
      }
      if (at === 0) {
        events.destroy();
        await closed;
        t.pass("the client's end is the upstream's");
        continue;
      }
      res.end("data: last\n\n");
      t.equal(Buffer.concat(await events.toArray()).toString(), "data: last\n\n");
    }
    const retry = await call(gateway.url, {
      method: "POST",
      headers: { "Idempotency-Key": "events" },
    });
    t.equal(retry.status, 409);
    t.equal(retry.header("Idempotency-Status"), "not-replayable");
    t.equal(upstream.count(), 3);
  });

  root.test(`${name}: WebSockets echo, many at once, and close with their code`, async (t) => {
    const sockets = new WebSocketServer({ noServer: true });
    const codes: Promise<number>[] = [];
    const upstream = await startUpstream(t, {
      onUpgrade: (req, socket, head) =>
        sockets.handleUpgrade(req, socket, head, (ws) => {
          ws.on("message", (data, binary) => ws.send(data, { binary }));
          codes.push(once(ws, "close").then(([code]) => Number(code)));
        }),
    });
    const gateway = await start(t, upstream, crew);
    const big = Buffer.alloc(3 * MIB, "x");
    await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const ws = new WebSocket(`${gateway.url.replace("http", "ws")}/chat?n=${at}`);
        await once(ws, "open");
        ws.send(`hello ${at}`);
        t.equal(String((await once(ws, "message"))[0]), `hello ${at}`);
        if (at < 2) {
          ws.send(big);
          const [echo, binary] = (await once(ws, "message")) as [Buffer, boolean];
          t.ok(binary && echo.equals(big), "3 MiB in one message");
        }
        ws.close(4000 + at);
        t.equal((await once(ws, "close"))[0], 4000 + at);
      }),
    );
    t.equal(upstream.count(), 20);
    t.strictSame(
      (await Promise.all(codes)).toSorted(),
      Array.from({ length: 20 }, (_, at) => 4000 + at),
    );
  });

  root.test(
    `${name}: resets on either side close the other, and the process serves on`,
    async (t) => {
      const upgraded: Duplex[] = [];
      const upstream = await startUpstream(t, {
        onHead: (req, res) => {
          if (req.url === "/alive") res.end("alive");
          else req.on("error", () => undefined).resume();
        },
        onUpgrade: (_req, socket) => {
          socket.on("error", () => socket.destroy());
          socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi",
          );
          upgraded.push(socket);
        },
      });
      const gateway = await start(t, upstream, crew);
      let heads = 0;
      const alive = async (what: string): Promise<void> => {
        const answer = await call(`${gateway.url}/alive`);
        heads += 1;
        t.equal(answer.body.toString(), "alive", `serves after: ${what}`);
      };
      const begin = async (bytes: string) => {
        const client = await connectRaw(t, portOf(gateway.url));
        client.send(bytes);
        return { client, upstreams: await upstream.arriving((heads += 1)) };
      };
      const GET = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
      const POST = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc";

      const waiting = await begin(GET);
      waiting.client.reset();
      await waiting.upstreams.closed;
      await alive("the client resets while it waits for the head");

      const reading = await begin(GET);
      reading.upstreams.res.write("abc");
      await reading.client.until("abc");
      reading.client.reset();
      await reading.upstreams.closed;
      await alive("the client resets in the middle of the answer");

      const sending = await begin(POST);
      sending.client.reset();
      await sending.upstreams.closed;
      await alive("the client resets in the middle of its upload");

      const leaving = await begin(POST);
      leaving.client.end();
      await leaving.upstreams.closed;
      await alive("the client closes in the middle of its upload");

      const unanswered = await begin(GET);
      unanswered.upstreams.req.socket.resetAndDestroy();
      t.equal((await unanswered.client.read()).status, 502);
      await alive("the upstream resets before the head");

      for (const framing of ["Content-Length", "Transfer-Encoding"]) {
        const broken = await begin(GET);
        const value = framing === "Content-Length" ? "1000" : "chunked";
        broken.upstreams.res.writeHead(200, [framing, value]);
        broken.upstreams.res.write("abc");
        await broken.client.until("abc");
        broken.upstreams.req.socket.resetAndDestroy();
        await broken.client.closed;
        t.equal((await broken.client.read().catch(() => ({ complete: false }))).complete, false);
        await alive(`the upstream resets in the middle of an answer with ${framing}`);
      }

      const refusing = await begin(POST);
      refusing.upstreams.req.socket.resetAndDestroy();
      t.equal((await refusing.client.read()).status, 502);
      await alive("the upstream resets in the middle of the upload");

      const HANDSHAKE =
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
      for (const side of ["client", "upstream"]) {
        const client = await connectRaw(t, portOf(gateway.url));
        client.send(HANDSHAKE);
        await client.until("\r\n\r\nhi");
        const socket = upgraded.at(-1)!;
        const gone = new Promise<void>((resolve) => void socket.once("close", resolve));
        if (side === "client") client.reset();
        else socket.destroy(new Error("reset"));
        await Promise.all([gone, client.closed]);
        await alive(`the ${side} breaks a WebSocket`);
      }
      t.equal(upstream.count(), heads + upgraded.length, "nothing was sent twice");
      t.strictSame(
        alarmsOf(gateway),
        [],
        "and no line tells of a defect or of a worker that ended",
      );
      t.equal(await gateway.end("SIGTERM"), 0);
    },
  );
}

function alarmsOf(gateway: GatewayProcess): readonly string[] {
  return gateway.output.filter((line) => line.includes('"level":"error"') || !line.startsWith("{"));
}
