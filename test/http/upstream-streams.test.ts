/** Answers over the limit and event streams: told as they come, at the reader's pace, and let go when asked. */
import type net from "node:net";
import t from "tap";
import { answerOf, sendTo, streamOf, word } from "../support/sending.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

t.test("after close nothing is left that would keep the process alive", async (t) => {
  // The first test of this file, and the file in a process of its own: nothing of an earlier one is still closing.
  const held = (): string[] => process.getActiveResourcesInfo().toSorted();
  const before = held();
  const upstream = await startUpstream(t);
  const { pool, send } = sendTo(t, upstream.url);
  t.equal(word(await send()), "answered 200");
  upstream.hold();
  t.equal(word(await send({}, { deadlineMs: 20 })), "unknown timeout");
  const hanging = send();
  await upstream.arriving(3);
  await pool.close();
  t.equal(word(await hanging), "unknown reset");
  await upstream.close();
  for (let turn = 0; turn < 1000 && held().length > before.length; turn += 1) {
    await new Promise(setImmediate);
  }
  t.same(held(), before);
});

t.test("exactly the limit is kept, one byte more is streamed, however it is framed", async (t) => {
  const upstream = await startUpstream(t);
  const { send } = sendTo(t, upstream.url);
  for (const framing of [
    ["Content-Type", "a/b"],
    ["Transfer-Encoding", "chunked"],
  ]) {
    // prettier-ignore
    const body = Buffer.from("0123456789".repeat(100));
    upstream.answer({ status: 201, headers: framing, body });
    t.same(answerOf(await send()).body, body);
    const more = Buffer.concat([body, Buffer.from("!")]);
    upstream.answer({ status: 201, headers: framing, body: more });
    const streaming = streamOf(await send());
    t.equal(streaming.status, 201);
    t.same(await read(streaming.stream), more);
  }
});

t.test(
  "a Content-Length over the limit streams at once, before any byte of the body",
  async (t) => {
    const upstream = await startRawUpstream(t, "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
    const streaming = streamOf(await sendTo(t, upstream.url).send());
    const { socket } = await upstream.arrived(1);
    socket.write("x".repeat(1001));
    t.equal((await read(streaming.stream)).length, 1001);
  },
);

t.test("an event stream is handed on event by event, and outlives the deadline", async (t) => {
  const upstream = await startRawUpstream(
    t,
    "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  const deadlineMs = 50;
  const streaming = streamOf(await sendTo(t, upstream.url).send({}, { deadlineMs }));
  const { socket } = await upstream.arrived(1);
  const events = streaming.stream[Symbol.asyncIterator]();
  const startedMs = performance.now();
  const late: number[] = [];
  for (let n = 1; performance.now() - startedMs < 2 * deadlineMs; n += 1) {
    socket.write(`2\r\n${n % 10}\n\r\n`);
    const { value } = (await events.next()) as IteratorResult<Uint8Array, undefined>;
    if (Buffer.from(value ?? []).toString() !== `${n % 10}\n`) late.push(n);
    await new Promise(setImmediate);
  }
  t.same(late, [], "each event came before the next one was sent");
  socket.write("0\r\n\r\n");
  t.equal((await events.next()).done, true);
});

t.test("while nobody reads, the upstream is held back", async (t) => {
  const total = 64 * 1024 * 1024;
  let drained = 0;
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    pour(socket, total, (bytes) => (drained = bytes));
  });
  const streaming = streamOf(await sendTo(t, upstream.url).send());
  const { socket } = await upstream.arrived(1);
  await stalled(socket);
  t.ok(drained < total / 2, `${drained} bytes left the upstream unread`);
  let received = 0;
  for await (const chunk of streaming.stream) received += chunk.byteLength;
  t.equal(received, total);
});

/** Writes `total` bytes as fast as the other side takes them. */
function pour(socket: net.Socket, total: number, report: (written: number) => void): void {
  const chunk = Buffer.alloc(64 * 1024);
  let written = 0;
  const more = (): void => {
    while (written < total) {
      written += chunk.length;
      report(written);
      if (!socket.write(chunk)) return;
    }
    socket.off("drain", more);
  };
  socket.on("drain", more);
  more();
}

/** Resolves when nothing has been taken from this socket's buffer over many turns of the loop. */
async function stalled(socket: net.Socket): Promise<void> {
  for (let still = 0, before = -1; still < 2000; still += 1) {
    await new Promise(setImmediate);
    if (socket.bytesWritten - socket.writableLength !== before) still = 0;
    before = socket.bytesWritten - socket.writableLength;
  }
}

t.test("cancel lets the rest go: the connection is closed", async (t) => {
  const upstream = await startRawUpstream(
    t,
    "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nbegin",
  );
  const streaming = streamOf(await sendTo(t, upstream.url).send());
  const { socket } = await upstream.arrived(1);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  streaming.stream.cancel();
  streaming.stream.cancel();
  await closed;
  await t.rejects(read(streaming.stream));
});

t.test("a reader that stops early closes the connection, and the pool goes on", async (t) => {
  const upstream = await startUpstream(t);
  upstream.answer({ body: Buffer.alloc(2_000_000) });
  const { send } = sendTo(t, upstream.url, { connections: 1 });
  const streaming = streamOf(await send());
  const { closed } = await upstream.arriving(1);
  for await (const chunk of streaming.stream) {
    t.ok(chunk.byteLength > 0);
    break;
  }
  await closed;
  upstream.answer({ body: "small" });
  t.equal(word(await send()), "answered 200");
});

t.test(
  "a stream that breaks tells its reader, and ends no process when nobody reads",
  async (t) => {
    const heads = [
      "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n",
    ];
    for (const head of heads) {
      for (const reads of [true, false]) {
        const upstream = await startRawUpstream(t, head + "x".repeat(2000));
        const { send, pool } = sendTo(t, upstream.url);
        const streaming = streamOf(await send());
        const { socket } = await upstream.arrived(1);
        const reading = reads ? read(streaming.stream) : undefined;
        const closed = new Promise((resolve) => socket.once("close", resolve));
        socket.resetAndDestroy();
        await closed;
        if (reading !== undefined) await t.rejects(reading, head);
        await pool.close();
      }
    }
  },
);

t.test("a stream that is read to its end gives its connection back", async (t) => {
  const upstream = await startUpstream(t);
  upstream.answer({ body: Buffer.alloc(5000) });
  const { send } = sendTo(t, upstream.url, { connections: 1 });
  for (const _ of [1, 2, 3]) t.equal((await read(streamOf(await send()).stream)).length, 5000);
  const ports = new Set<number | undefined>();
  for (const n of [1, 2, 3]) ports.add((await upstream.arriving(n)).req.socket.remotePort);
  t.equal(ports.size, 1);
});

t.test("close ends a stream that is still running", async (t) => {
  const upstream = await startRawUpstream(
    t,
    "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nbegin",
  );
  const { pool, send } = sendTo(t, upstream.url);
  const streaming = streamOf(await send());
  await pool.close();
  await t.rejects(read(streaming.stream));
});
