/** The inbound port as the flow sees it: bodies, replies, clients that leave or dawdle, and the graceful stop. */
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";
import type { BodyRead, InboundRequest } from "../../src/core/ports.ts";
import type { Handler } from "../../src/http/listener.ts";
import { startGate } from "../support/gate.ts";
import { connectRaw, exchangeRaw } from "../support/raw.ts";
import { startUpstream } from "../support/upstream.ts";
import { bodyStream } from "../support/stream.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const text = (value: string) => new TextEncoder().encode(value);

/** Something that happens once and can be awaited. */
function newEvent<Value = void>() {
  let happen: (value: Value) => void = () => undefined;
  const happened = new Promise<Value>((resolve) => {
    happen = resolve;
  });
  return { happen, happened };
}

/** Reads the body with a limit and tells what came of it. */
function reading(limitBytes: number, told: (read: BodyRead) => void): Handler {
  return async (request, client) => {
    const read = await request.readBody(limitBytes);
    told(read);
    const status = { body: 200, "too-large": 413, incomplete: 408 }[read.kind];
    await client.send({ status, headers: [], body: text(read.kind) });
  };
}

t.test("bodies are read whole, by length and by chunks, up to the limit", async (t) => {
  const upstream = await startUpstream(t);
  const reads: BodyRead[] = [];
  const gate = await startGate(t, upstream.url, {
    handler: reading(4, (read) => reads.push(read)),
  });
  const client = await connectRaw(t, gate.port);
  const put = (rest: string) => client.send(`PUT / HTTP/1.1\r\nHost: x\r\n${rest}`);
  put("Content-Length: 4\r\n\r\nabcd");
  t.equal((await client.read()).status, 200);
  put("Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
  t.equal((await client.read()).status, 200);
  put("\r\n");
  t.equal((await client.read()).status, 200, "no body, same connection");
  const gate2 = await startGate(t, upstream.url, {
    handler: reading(5000, (read) => reads.push(read)),
  });
  const dripping = await connectRaw(t, gate2.port);
  const drops = "1\r\na\r\n".repeat(4999);
  dripping.send(
    `PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${drops}1\r\nz\r\n0\r\n\r\n`,
  );
  t.equal((await dripping.read()).status, 200);
  t.same(
    reads.map((read) => (read.kind === "body" ? Buffer.from(read.bytes).toString() : read.kind)),
    ["abcd", "abcd", "", `${"a".repeat(4999)}z`],
  );
  t.equal(upstream.count(), 0);
});

t.test("over the limit: told before the body is sent, and never by a reset", async (t) => {
  const upstream = await startUpstream(t);
  const reads: BodyRead[] = [];
  const gate = await startGate(t, upstream.url, {
    handler: reading(4, (read) => reads.push(read)),
  });
  const announced = await connectRaw(t, gate.port);
  announced.socket.pause();
  announced.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
  const failed = await new Promise((resolve) => {
    announced.socket.write(Buffer.alloc(3_000_000), resolve);
  });
  t.notOk(failed, "a client that reads only after it has written is not cut off");
  announced.socket.resume();
  t.match(await announced.read(), { status: 413, complete: true });
  await announced.closed;

  const chunked = await connectRaw(t, gate.port);
  chunked.send("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n");
  const answer = await chunked.read();
  t.match(answer, { status: 413, complete: true });
  t.equal(answer.header("connection"), "close");
  // Somebody else's whole exchange later, the connection still takes what this one has under way.
  await exchangeRaw(t, gate.port, GET);
  t.equal(chunked.socket.readableEnded, false);
  chunked.send("0\r\n\r\n");
  await chunked.closed;

  const polite = await connectRaw(t, gate.port);
  polite.send("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
  t.match(await polite.read(), { status: 413, interim: [] }, "not invited");
  await polite.closed;
  t.match(reads, [
    { kind: "too-large", read: { length: 0 } },
    { kind: "too-large", read: Buffer.from("abcde") },
    { kind: "body" },
    { kind: "too-large" },
  ]);
  t.equal(upstream.count(), 0);
});

t.test(
  "a slow body is incomplete after its time, however it drips; a lost one at once",
  async (t) => {
    const upstream = await startUpstream(t);
    const reads: BodyRead[] = [];
    const seen = newEvent();
    const gate = await startGate(t, upstream.url, {
      listener: { bodyTimeoutMs: 400 },
      handler: reading(100, (read) => {
        reads.push(read);
        if (reads.length === 2) seen.happen();
      }),
    });
    const slow = await connectRaw(t, gate.port);
    slow.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\na");
    const drip = setInterval(() => slow.send("b"), 10);
    const answer = await slow.read();
    clearInterval(drip);
    t.match(answer, { status: 408, complete: true });
    const lost = await connectRaw(t, gate.port);
    lost.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\na");
    lost.reset();
    await seen.happened;
    t.same(reads, [
      { kind: "incomplete", cause: "slow" },
      { kind: "incomplete", cause: "gone" },
    ]);
    t.equal(upstream.count(), 0);
  },
);

t.test("a slow head and a silent connection are told 408 and closed", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url, { listener: { headersTimeoutMs: 40 } });
  for (const bytes of ["GET / HTTP/1.1\r\nHost: x\r\nX-A", ""]) {
    const client = await connectRaw(t, gate.port);
    client.send(bytes);
    const answer = await client.read();
    t.match(answer, { status: 408, complete: true });
    t.equal(answer.body.length, 0, "it may have been going to be a HEAD");
    client.end();
    await client.closed;
  }
  t.equal(upstream.count(), 0);
});

t.test("a reader that takes nothing is cut; one that waits for events is not", async (t) => {
  const upstream = await startUpstream(t, {
    onHead: (req, res) => {
      if (req.url === "/big") res.end(Buffer.alloc(30_000_000));
      else res.writeHead(200, ["Content-Type", "text/event-stream"]).write("data: 1\n\n");
    },
  });
  const gate = await startGate(t, upstream.url, { listener: { idleTimeoutMs: 80 } });
  const patient = await connectRaw(t, gate.port);
  patient.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  await patient.until("data: 1");
  const stuck = await connectRaw(t, gate.port);
  stuck.socket.pause();
  stuck.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  t.match(await gate.reported(({ path }) => path === "/big"), { outcome: "client-gone" });
  const { res } = await upstream.arriving(1);
  res.end("data: 2\n\n");
  t.match(await patient.read(), { complete: true }, "after more than the idle time-out");
  t.equal(upstream.count(), 2);
});

t.test("replies keep status, order, case, repeats and bytes; framing is ours", async (t) => {
  const upstream = await startUpstream(t);
  const headers: [string, string][] = [
    ["Set-Cookie", "a=1"],
    ["x-LATIN", "\xe9"],
    ["set-cookie", "b=2"],
    ["Content-Length", "999"],
    ["Transfer-Encoding", "chunked"],
    ["Connection", "X-Secret"],
    ["X-Secret", "1"],
    ["Date", "Thu, 01 Jan 1970 00:00:00 GMT"],
  ];
  const body = Buffer.from([0, 1, 255, 10, 13]);
  const statuses = [200, 204, 304, 418];
  const gate = await startGate(t, upstream.url, {
    handler: (request, client) =>
      client.send({ status: Number(request.target.slice(1)), headers, body }),
  });
  const client = await connectRaw(t, gate.port);
  for (const status of statuses) {
    client.send(`GET /${status} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await client.read();
    const bodiless = status === 204 || status === 304;
    t.match(answer, { status, complete: true });
    t.same(answer.body, bodiless ? Buffer.alloc(0) : body);
    t.same(answer.headers.slice(0, 3), headers.slice(0, 3));
    t.same(answer.all("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    t.same([...answer.all("transfer-encoding"), ...answer.all("x-secret")], []);
    if (!bodiless) t.same(answer.all("content-length"), ["5"]);
  }
  client.send("HEAD /200 HTTP/1.1\r\nHost: x\r\n\r\n");
  t.match(await client.read({ method: "HEAD" }), { status: 200, complete: true });
  t.equal(client.rest().length, 0);
  t.equal(upstream.count(), 0);
});

t.test("a head that would split the answer becomes a 500, and the process goes on", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url, {
    handler: (_request, client) =>
      client.send({ status: 200, headers: [["X-A", "1\r\nX-B: 2"]], body: text("x") }),
  });
  const answer = await exchangeRaw(t, gate.port, GET);
  t.match(answer.json(), { status: 500, code: "internal-error" });
  t.equal(answer.header("x-b"), undefined);
  t.match(gate.reports, [{ outcome: "internal-error", cause: "ERR_INVALID_CHAR" }]);
  t.equal(upstream.count(), 0);
});

t.test(
  "a stream is written as it comes, and one that breaks leaves the answer incomplete",
  async (t) => {
    const upstream = await startUpstream(t);
    const second = newEvent();
    async function* parts(target: string) {
      yield text("one");
      await second.happened;
      if (target === "/breaks") throw new Error("broken");
      yield text("two");
    }
    const gate = await startGate(t, upstream.url, {
      handler: (request, client) =>
        client.send({ status: 200, headers: [], body: bodyStream(parts(request.target)) }),
    });
    const whole = await connectRaw(t, gate.port);
    const broken = await connectRaw(t, gate.port);
    whole.send("GET /whole HTTP/1.1\r\nHost: x\r\n\r\n");
    broken.send("GET /breaks HTTP/1.1\r\nHost: x\r\n\r\n");
    await whole.until("one");
    await broken.until("one");
    second.happen();
    t.match(await whole.read(), { complete: true, body: Buffer.from("onetwo") });
    t.match(await broken.read(), { complete: false });
    await broken.closed;
    t.equal(upstream.count(), 0);
  },
);

t.test(
  "a stream is read to its end when the client is gone, and send does not reject",
  async (t) => {
    const upstream = await startUpstream(t);
    const left = newEvent();
    const done = newEvent<number>();
    const gate = await startGate(t, upstream.url, {
      handler: async (request, client) => {
        let given = 0;
        async function* parts() {
          yield text("first");
          request.gone.addEventListener("abort", () => left.happen());
          await left.happened;
          for (; given < 100; given += 1) yield Buffer.alloc(100_000);
        }
        await client.send({ status: 200, headers: [], body: bodyStream(parts()) });
        await client.send({ status: 200, headers: [], body: text("again") });
        done.happen(given);
      },
    });
    const client = await connectRaw(t, gate.port);
    client.send(GET);
    await client.until("first");
    client.reset();
    t.equal(await done.happened, 100);
    t.equal(upstream.count(), 0);
  },
);

t.test(
  "a stream without end is let go when the client has left and the stop has begun",
  async (t) => {
    const upstream = await startUpstream(t);
    const cancelled = newEvent();
    const gate = await startGate(t, upstream.url, {
      handler: async (_request, client) => {
        async function* endless() {
          yield text("some");
          await cancelled.happened;
          throw new Error("let go");
        }
        const body = bodyStream(endless(), () => cancelled.happen());
        await client.send({ status: 200, headers: [], body });
      },
    });
    const client = await connectRaw(t, gate.port);
    client.send(GET);
    await client.until("some");
    await gate.listener.stop(1);
    await cancelled.happened;
    t.match(await client.read(), { complete: false });
    t.equal(upstream.count(), 0);
  },
);

t.test("a handler that fails: 500 if nothing was sent, otherwise the answer is cut", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url, {
    handler: async (request, client) => {
      if (request.target === "/silent") return;
      if (request.target === "/late") {
        async function* endless() {
          yield text("some");
          await new Promise(() => undefined);
        }
        void client.send({ status: 200, headers: [], body: bodyStream(endless()) });
        await delay(0);
      }
      throw Object.assign(new Error("canary"), { code: "E_TEST" });
    },
  });
  const early = await exchangeRaw(t, gate.port, GET);
  t.match(early.json(), { status: 500, code: "internal-error" });
  t.notMatch(early.body.toString(), /canary/);
  const silent = await exchangeRaw(t, gate.port, "GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
  t.equal(silent.status, 500);
  const late = await connectRaw(t, gate.port);
  late.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  await late.closed;
  t.match(gate.reports, [{ cause: "E_TEST" }, { cause: "Error" }, { cause: "E_TEST" }]);
  t.notMatch(JSON.stringify(gate.reports), /canary/);
  t.equal(upstream.count(), 0);
});

t.test(
  "stop: running handlers finish although their client left, new connections are refused",
  async (t) => {
    const upstream = await startUpstream(t);
    const started = newEvent<InboundRequest>();
    const finish = newEvent();
    let finished = 0;
    const gate = await startGate(t, upstream.url, {
      handler: async (request, client) => {
        if (request.target === "/quick")
          return client.send({ status: 200, headers: [], body: text("q") });
        started.happen(request);
        await finish.happened;
        await client.send({ status: 200, headers: [], body: text("done") });
        finished += 1;
      },
    });
    const idle = await connectRaw(t, gate.port);
    idle.send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
    t.equal((await idle.read()).header("connection"), "keep-alive");
    const gone = await connectRaw(t, gate.port);
    gone.send(GET);
    const request = await started.happened;
    const stays = await connectRaw(t, gate.port);
    stays.send(GET);
    stays.send("GET /quick HTTP/1.1\r\nHost: x\r\n\r\n");
    const left = new Promise((resolve) => request.gone.addEventListener("abort", resolve));
    gone.reset();
    await left;

    const stopped = gate.listener.stop(10);
    t.equal(gate.listener.draining, true);
    await idle.closed;
    await t.rejects(connectRaw(t, gate.port), { code: "ECONNREFUSED" });
    finish.happen();
    const answer = await stays.read();
    t.equal(answer.body.toString(), "done");
    t.equal(answer.header("connection"), "close");
    await stopped;
    t.equal(finished, 2, "also the one whose client left, past the grace");
    await stays.closed;
    t.equal(upstream.count(), 0);
  },
);

t.test("stop: a stream may end within the grace, and is cut after it", async (t) => {
  const upstream = await startUpstream(t, { onHead: (_req, res) => void res.write("data: 1\n\n") });
  for (const ends of [true, false]) {
    const gate = await startGate(t, upstream.url);
    const client = await connectRaw(t, gate.port);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    await client.until("data: 1");
    const stopped = gate.listener.stop(ends ? 60_000 : 20);
    const { res } = await upstream.arriving(ends ? 1 : 2);
    if (ends) res.end();
    t.equal((await client.read()).complete, ends);
    await stopped;
  }
  t.equal(upstream.count(), 2);
});

t.test(
  "stop: a refusal that waits behind a stream on its connection holds nothing up",
  async (t) => {
    const upstream = await startUpstream(t, {
      onHead: (_req, res) => void res.write("data: 1\n\n"),
    });
    const gate = await startGate(t, upstream.url);
    const client = await connectRaw(t, gate.port);
    client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    await client.until("data: 1");
    client.send("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
    await gate.listener.stop(20);
    t.equal(upstream.count(), 1);
  },
);

t.test(
  "clients that never stop coming do not hold a stop up, on a busy machine either",
  async (t) => {
    const upstream = await startUpstream(t);
    const gate = await startGate(t, upstream.url);
    let busy = true;
    // Every turn of the event loop takes its time, and brings connections.
    const work = (): void => {
      const endMs = performance.now() + 8;
      while (performance.now() < endMs);
      if (busy) setImmediate(work);
    };
    const knock = (): void => {
      const socket = connect(gate.port, "127.0.0.1", () => {
        socket.destroy();
        knock();
      });
      // Closed: the stop is over.
      socket.on("error", () => socket.destroy());
    };
    for (let n = 0; n < 8; n += 1) knock();
    work();
    const beganMs = performance.now();
    await gate.listener.stop(0);
    busy = false;
    t.ok(performance.now() - beganMs < 5000, `${(performance.now() - beganMs).toFixed(0)} ms`);
    t.equal(upstream.count(), 0);
  },
);
