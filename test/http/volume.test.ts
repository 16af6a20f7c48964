/** 200 MB through the tunnel, up and down: whole, with flat memory, and no faster than the slower side. */
import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { fileURLToPath } from "node:url";
import t from "tap";
import { connectRaw, type RawClient } from "../support/raw.ts";
import { startUpstream, type Teardown, type TestUpstream } from "../support/upstream.ts";
import { RUNS_TYPESCRIPT } from "../support/bare-node.ts";

const MB = 1_000_000;
const TOTAL = 200 * MB;
/** Kernel buffers of two connections, generously. Without backpressure everything would be on its way. */
const ON_THE_WAY = 40 * MB;
const GROWTH = 80 * MB;
const BLOCK = Buffer.alloc(MB, "0123456789abcdef");

interface GateProcess {
  readonly port: number;
  rssBytes(): Promise<number>;
}

async function startGateProcess(t: Teardown, upstream: TestUpstream): Promise<GateProcess> {
  const path = fileURLToPath(new URL("../support/gate-process.ts", import.meta.url));
  const child = fork(path, [upstream.url], { execArgv: [RUNS_TYPESCRIPT] });
  const exited = once(child, "exit");
  t.teardown(async () => {
    child.disconnect();
    await exited;
  });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return {
    port,
    rssBytes: async () => {
      const answered = once(child, "message");
      child.send("rss");
      const [{ rssBytes }] = (await answered) as [{ rssBytes: number }];
      return rssBytes;
    },
  };
}

/** Asks the gate again and again until a count stands still, and returns it. */
async function standstill(gate: GateProcess, count: () => number): Promise<number> {
  let last = -1;
  for (let same = 0; same < 200; same += 1) {
    await gate.rssBytes();
    if (count() !== last) same = 0;
    last = count();
  }
  return last;
}

/** Writes the total at the pace that `drain` allows; counts what it has handed over. */
async function writeAll(sink: NodeJS.WritableStream, handed: (bytes: number) => void) {
  for (let sent = 0; sent < TOTAL; sent += MB) {
    handed(sent);
    if (!sink.write(BLOCK)) await once(sink, "drain");
  }
  handed(TOTAL);
}

async function warmUp(client: RawClient): Promise<void> {
  client.send("GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
  await client.read();
}

function digestOfTotal(): string {
  const hash = createHash("sha256");
  for (let at = 0; at < TOTAL; at += MB) hash.update(BLOCK);
  return hash.digest("hex");
}

t.test(
  "200 MB up: an upstream that does not read stops the client, memory stays flat",
  async (t) => {
    const hash = createHash("sha256");
    const upstream = await startUpstream(t, {
      onHead: (req, res) => void (req.url === "/small" && res.end("ok")),
    });
    const gate = await startGateProcess(t, upstream);
    const client = await connectRaw(t, gate.port);
    await warmUp(client);
    const before = await gate.rssBytes();
    let sent = 0;
    client.send(`PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: ${TOTAL}\r\n\r\n`);
    const written = writeAll(client.socket, (bytes) => {
      sent = bytes;
    });
    const { req, res } = await upstream.arriving(2);
    t.ok((await standstill(gate, () => sent)) < ON_THE_WAY, `stopped after ${sent} bytes`);
    let peak = await gate.rssBytes();
    let received = 0;
    for await (const chunk of req as AsyncIterable<Buffer>) {
      hash.update(chunk);
      const step =
        Math.floor((received + chunk.length) / (5 * MB)) > Math.floor(received / (5 * MB));
      received += chunk.length;
      if (step) peak = Math.max(peak, await gate.rssBytes());
    }
    await written;
    res.end("stored");
    t.equal((await client.read()).body.toString(), "stored");
    t.equal(received, TOTAL);
    t.equal(hash.digest("hex"), digestOfTotal());
    t.comment(`memory before ${before / MB} MB, at most ${peak / MB} MB`);
    t.ok(peak - before < GROWTH, `grew by ${(peak - before) / MB} MB`);
    t.equal(upstream.count(), 2);
  },
);

t.test(
  "200 MB down: a client that does not read stops the upstream, memory stays flat",
  async (t) => {
    let sent = 0;
    const upstream = await startUpstream(t, {
      onHead: (req, res) => {
        if (req.url === "/small") {
          res.end("ok");
          return;
        }
        res.writeHead(200, ["Content-Type", "application/octet-stream"]);
        const count = (bytes: number) => {
          sent = bytes;
        };
        void writeAll(res, count).then(() => res.end());
      },
    });
    const gate = await startGateProcess(t, upstream);
    await warmUp(await connectRaw(t, gate.port));
    const before = await gate.rssBytes();
    const answer = await fetchPaused(gate.port);
    await upstream.arriving(2);
    t.ok((await standstill(gate, () => sent)) < ON_THE_WAY, `stopped after ${sent} bytes`);
    let peak = await gate.rssBytes();
    const hash = createHash("sha256");
    let received = 0;
    for await (const chunk of answer) {
      hash.update(chunk);
      const step =
        Math.floor((received + chunk.length) / (5 * MB)) > Math.floor(received / (5 * MB));
      received += chunk.length;
      if (step) peak = Math.max(peak, await gate.rssBytes());
    }
    t.equal(received, TOTAL);
    t.equal(hash.digest("hex"), digestOfTotal());
    t.comment(`memory before ${before / MB} MB, at most ${peak / MB} MB`);
    t.ok(peak - before < GROWTH, `grew by ${(peak - before) / MB} MB`);
    t.equal(upstream.count(), 2);
  },
);

/** The body of the answer, of which nothing is read before it is asked for. */
async function fetchPaused(port: number): Promise<AsyncIterable<Buffer>> {
  const req = http.get({ port, host: "127.0.0.1", path: "/down", agent: false });
  const [res] = (await once(req, "response")) as [http.IncomingMessage];
  return res as AsyncIterable<Buffer>;
}
