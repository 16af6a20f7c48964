/** What an answer is and what only looks like one, and that nothing an upstream says unasked answers a request. */
import type net from "node:net";
import t from "tap";
import { answerOf, sendTo, streamOf, word } from "../support/sending.ts";
import { startRawUpstream } from "../support/upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

t.test("what a lenient parser takes for an answer is none: unknown, sent once", async (t) => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const answers: Readonly<Record<string, string>> = {
    "a coding that would be lost":
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding without chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "chunked twice":
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "the same length twice": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "a list of lengths": "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "no length behind its name": "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    "a space before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "bare line feeds": "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a status below 100": "HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok",
    "no HTTP at all": "SSH-2.0-OpenSSH_9.2\\r\\n",
    "an empty line first": `\r\n${OK}`,
    "a chunk without its line end": `${chunked}2\r\nokX\r\n0\r\n\r\n`,
    "a chunk size with a sign": `${chunked}+2\r\nok\r\n0\r\n\r\n`,
    "a chunk size beyond all measure": `${chunked}${"f".repeat(17)}\r\nok`,
    "a bare line feed in a chunk's extension": `${chunked}2;a\nb\r\nok\r\n0\r\n\r\n`,
    "a trailer that is no field": `${chunked}2\r\nok\r\n0\r\nnothing\r\n\r\n`,
    "a length among the trailers": `${chunked}2\r\nok\r\n0\r\nContent-Length: 2\r\n\r\n`,
    "an extension that is none": `${chunked}2;="\r\nok\r\n0\r\n\r\n`,
    "trailers without end": `${chunked}0\r\n${`X: ${"x".repeat(1000)}\r\n`.repeat(17)}`,
    "interim answers without end": "HTTP/1.1 102 Processing\r\n\r\n".repeat(1001),
  };
  for (const [what, answer] of Object.entries(answers)) {
    const upstream = await startRawUpstream(t, answer);
    const { send } = sendTo(t, upstream.url);
    t.match(word(await send({ body: "x" })), /^unknown (reset|truncated)$/, what);
    t.equal(upstream.count(), 1);
  }
});

t.test("an answer is what its framing says, and what follows it answers nobody", async (t) => {
  const rows: readonly [bytes: string, body: string][] = [
    [`${OK}${POISON}`, "ok"],
    [`${OK}\r\n`, "ok"],
    [`HTTP/1.1 204 No Content\r\nContent-Length: 46\r\n\r\n${POISON}`, ""],
    [`HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, ""],
    [`HTTP/1.1 304 Not Modified\r\n\r\n${POISON}`, ""],
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: 1\r\n\r\nmore",
      "ok",
    ],
    ["HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok!", "ok"],
  ];
  for (const [bytes, body] of rows) {
    const upstream = await startRawUpstream(t, (socket, head) => {
      socket.write(head.includes("/odd") ? bytes : OK);
    });
    const { send } = sendTo(t, upstream.url, { connections: 1 });
    for (const target of ["/odd", "/next", "/odd", "/next"]) {
      const answer = answerOf(await send({ target }));
      t.equal(answer.body.toString(), target === "/odd" ? body : "ok", bytes);
    }
    t.equal(upstream.count(), 4);
  }
});

t.test("white space around a value is no part of it", async (t) => {
  const upstream = await startRawUpstream(
    t,
    "HTTP/1.1 200 OK\r\nX-A: \t a b \t \r\nX-B:   \r\nContent-Length:  2  \r\n\r\nok",
  );
  const { headers } = answerOf(await sendTo(t, upstream.url).send());
  t.same(headers, [
    ["X-A", "a b"],
    ["X-B", ""],
    ["Content-Length", "2"],
  ]);
});

t.test("what an upstream says later, unasked, answers no request", async (t) => {
  for (const delayMs of [0, 5, 30]) {
    const upstream = await startRawUpstream(t, (socket) => {
      socket.write(OK);
      const saidMs = performance.now();
      setTimeout(() => {
        // On a machine that stood still meanwhile it would come after the rest, against which nothing is promised.
        if (performance.now() - saidMs < 45) socket.write(POISON);
      }, delayMs);
    });
    const { send } = sendTo(t, upstream.url, { connections: 64 });
    for (let n = 1; n <= 32; n += 1) {
      t.equal(answerOf(await send()).body.toString(), "ok", `${delayMs} ms later, call ${n}`);
    }
    t.equal(upstream.count(), 32);
  }
});

t.test("a connection that has rested is used again, and a few are enough", async (t) => {
  const upstream = await startRawUpstream(t, OK);
  const { send } = sendTo(t, upstream.url, { connections: 4 });
  for (let n = 1; n <= 40; n += 1) t.equal(word(await send()), "answered 200");
  t.ok(upstream.connections.length <= 4, `${upstream.connections.length} connections`);
  t.equal(upstream.count(), 40);
});

t.test("an answer that was whole before its reader went on is read to its end", async (t) => {
  const size = 3_000_000;
  const heads = [
    `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\nConnection: close\r\n\r\n`,
    `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`,
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\n",
  ];
  for (const head of heads) {
    const upstream = await startRawUpstream(t, (socket) => {
      socket.write(head);
      for (let sent = 0; sent < size; sent += 100_000) socket.write(Buffer.alloc(100_000));
      socket.end();
    });
    const { send } = sendTo(t, upstream.url);
    const { stream } = streamOf(await send());
    let received = 0;
    for await (const chunk of stream) {
      received += chunk.byteLength;
      // The end of the connection comes while nobody asks for more.
      for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
    }
    t.equal(received, size, head);
    t.equal(upstream.count(), 1);
  }
});

t.test("an answer that ends at the very byte at which its reader pauses", async (t) => {
  // Just over what is kept and a stream's buffer: the reader is full with the last chunk, and then comes the end.
  const size = 70_000;
  for (const framing of [
    `Content-Length: ${size}`,
    `Content-Length: ${size}\r\nConnection: close`,
    "Connection: close",
  ]) {
    const upstream = await startRawUpstream(t, (socket: net.Socket) => {
      socket.end(
        Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`), Buffer.alloc(size)]),
      );
    });
    const { send } = sendTo(t, upstream.url);
    const { stream } = streamOf(await send());
    for (let turn = 0; turn < 200; turn += 1) await new Promise(setImmediate);
    let received = 0;
    for await (const chunk of stream) received += chunk.byteLength;
    t.equal(received, size, framing);
    const kept = framing.startsWith("Content-Length") ? "answered 200" : "streaming 200";
    t.equal(word(await send({}, { responseBytes: 100_000 })), kept);
    t.equal(upstream.count(), 2);
  }
});
