/** Whether anything was sent, and whether the answer was whole: over real sockets, one failure each. */
import net from "node:net";
import type { AddressInfo } from "node:net";
import t from "tap";
import { freePort } from "../support/free-port.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";
import { sendTo, word } from "../support/sending.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

t.test("refused and unresolvable: not sent, 502", async (t) => {
  const refused = sendTo(t, `http://127.0.0.1:${await freePort()}`);
  t.equal(word(await refused.send()), "not-sent 502 ECONNREFUSED");
  const unknown = sendTo(t, "http://upstream.invalid:80");
  t.match(word(await unknown.send()), /^not-sent 502 (ENOTFOUND|EAI_AGAIN)$/);
});

t.test(
  "a TLS handshake that nobody answers: not sent, 504, and no byte of the request left",
  async (t) => {
    let received = "";
    const server = net.createServer((socket) => {
      socket.on("data", (chunk) => (received += chunk.toString("latin1")));
      socket.on("error", () => undefined);
      t.teardown(() => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.teardown(() => server.close());
    const { port } = server.address() as AddressInfo;
    const { send } = sendTo(t, `https://127.0.0.1:${port}`, { connectTimeoutMs: 100 });
    t.equal(word(await send({ body: "canary" })), "not-sent 504 UND_ERR_CONNECT_TIMEOUT");
    t.notMatch(received, /canary|POST/);
    t.equal(received.charCodeAt(0), 0x16, "a ClientHello it was");
  },
);

t.test(
  "a TLS upstream that speaks no TLS, or hangs up during the handshake: not sent",
  async (t) => {
    for (const script of [
      (socket: net.Socket) => socket.end("HTTP/1.1 200 OK\r\n\r\n"),
      (socket: net.Socket) => socket.destroy(),
    ]) {
      // prettier-ignore
      const server = net.createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => script(socket));
    });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      t.teardown(() => server.close());
      const { port } = server.address() as AddressInfo;
      const { send } = sendTo(t, `https://127.0.0.1:${port}`);
      t.match(word(await send({}, { deadlineMs: 3000 })), /^not-sent 502 /);
    }
  },
);

t.test("no connection free before the deadline: not sent, and it never is", async (t) => {
  const upstream = await startUpstream(t);
  const { send } = sendTo(t, upstream.url, { connections: 1 });
  const gate = upstream.hold();
  const first = send({ target: "/first" });
  await upstream.arrived(1);
  const queued = await send({ target: "/queued", body: "x" }, { deadlineMs: 50 });
  t.equal(word(queued), "not-sent 504 no-connection-in-time");
  gate.release();
  t.equal(word(await first), "answered 200");
  t.equal(word(await send({ target: "/later" })), "answered 200");
  t.same(upstream.calls.map(({ url }) => url), ["/first", "/later"]); // prettier-ignore
});

t.test("requests that HTTP cannot carry are not sent", async (t) => {
  const upstream = await startUpstream(t);
  const { send } = sendTo(t, upstream.url);
  t.match(word(await send({ target: "no-slash" })), /^not-sent 502/);
  t.match(word(await send({ target: "/a b" })), /^not-sent 502/);
  t.match(word(await send({ headers: [["X-Bad", "a\r\nX-Evil: 1"]] })), /^not-sent 502/);
  t.match(word(await send({ headers: [["Bad Name", "a"]] })), /^not-sent 502/);
  t.match(word(await send({ method: "PO ST" })), /^not-sent 502/);
  t.equal(upstream.count(), 0);
});

t.test("the connection breaks before an answer: unknown, sent once", async (t) => {
  const scripts: readonly ((socket: net.Socket) => unknown)[] = [
    (socket) => socket.resetAndDestroy(),
    (socket) => socket.end(),
    (socket) => socket.end("HTTP/1.1 200 O"),
    (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Le"),
    (socket) => socket.end("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
  ];
  for (const method of ["POST", "PUT", "DELETE", "GET"]) {
    for (const script of scripts) {
      const upstream = await startRawUpstream(t, script);
      const { send } = sendTo(t, upstream.url);
      t.equal(word(await send({ method, body: method === "POST" ? "x" : "" })), "unknown reset");
      t.equal(upstream.count(), 1, `${method} ${String(script)}`);
    }
  }
});

t.test("an answer that is no HTTP: unknown, sent once", async (t) => {
  const answers = [
    "garbage\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/3.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-Bad: a\0b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX Bad: a\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-Bad: a\rb\r\nContent-Length: 0\r\n\r\n",
    `HTTP/1.1 200 OK\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`,
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  ];
  for (const answer of answers) {
    const upstream = await startRawUpstream(t, answer);
    const { send } = sendTo(t, upstream.url);
    t.equal(
      word(await send({ body: "x" }, { deadlineMs: 3000 })),
      "unknown reset",
      answer.slice(0, 60),
    );
    t.equal(upstream.count(), 1);
  }
});

t.test("a field with control characters is never handed on", async (t) => {
  for (const code of [1, 8, 11, 27, 127]) {
    const bad = `HTTP/1.1 200 OK\r\nX-Bad: a${String.fromCharCode(code)}b\r\nContent-Length: 2\r\n\r\nok`;
    const upstream = await startRawUpstream(t, bad);
    const { send } = sendTo(t, upstream.url);
    t.equal(word(await send()), "unknown reset", `${code}`);
  }
});

t.test("an answer that is cut short: unknown truncated", async (t) => {
  const scripts: readonly ((socket: net.Socket) => unknown)[] = [
    (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"),
    (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
    (socket) => socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
    (socket) => socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho"),
    (socket) =>
      socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n"),
    (socket) => socket.end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nshort\r\n"),
    (socket) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", () =>
        socket.resetAndDestroy(),
      ),
  ];
  for (const script of scripts) {
    const upstream = await startRawUpstream(t, script);
    const { send } = sendTo(t, upstream.url);
    t.match(word(await send({ body: "x" })), /^unknown (truncated|reset)$/, String(script));
    t.equal(upstream.count(), 1);
  }
});

t.test(
  "the deadline ends a call that has left: unknown timeout, and the connection is closed",
  async (t) => {
    const silent = await startRawUpstream(t, () => undefined);
    const { send } = sendTo(t, silent.url);
    // Long enough to connect on a busy machine: a call that has not left is another outcome.
    const outcome = send({ body: "x" }, { deadlineMs: 1000 });
    const { socket } = await silent.arrived(1);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    t.equal(word(await outcome), "unknown timeout");
    await closed;
    const dripping = await startRawUpstream(
      t,
      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    );
    t.equal(word(await sendTo(t, dripping.url).send({}, { deadlineMs: 1000 })), "unknown timeout");
  },
);

t.test("an idle connection that the upstream closes costs no unknown outcome", async (t) => {
  for (const close of [
    (socket: net.Socket) => socket.end(),
    (socket: net.Socket) => socket.resetAndDestroy(),
  ]) {
    // prettier-ignore
    const upstream = await startRawUpstream(t, OK);
    const { send } = sendTo(t, upstream.url, { connections: 1 });
    for (let round = 1; round <= 5; round += 1) {
      t.equal(word(await send({ method: round % 2 === 0 ? "POST" : "DELETE" })), "answered 200");
      const { socket } = await upstream.arrived(round);
      const closed = new Promise((resolve) => socket.once("close", resolve));
      close(socket);
      await closed;
    }
    t.equal(upstream.count(), 5);
    t.equal(upstream.connections.length, 5);
  }
});

t.test("bytes that nobody asked for answer no later request", async (t) => {
  const upstream = await startRawUpstream(t, (socket, head) => {
    const extra = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    socket.write(head.includes("/first") ? OK + extra : OK);
  });
  const { send } = sendTo(t, upstream.url, { connections: 1 });
  for (const target of ["/first", "/second", "/first", "/third"]) {
    const outcome = await send({ target });
    const text = outcome.kind === "answered" ? Buffer.from(outcome.answer.body).toString() : "";
    t.equal(text, "ok", target);
  }
});

t.test("close ends what is running, and leaves nothing open", async (t) => {
  const upstream = await startUpstream(t);
  upstream.hold();
  const { pool, send } = sendTo(t, upstream.url, { connections: 1 });
  const running = send();
  const { closed } = await upstream.arriving(1);
  const queued = send();
  await pool.close();
  t.equal(word(await running), "unknown reset");
  t.match(word(await queued), /^not-sent 502/);
  await closed;
  t.match(word(await send()), /^not-sent 502/);
});
