/** WebSocket through the tunnel: echo, refusals, and resets on either side that end nothing but their connection. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { Duplex } from "node:stream";
import t from "tap";
import { WebSocket, WebSocketServer } from "ws";
import { freePort } from "../support/free-port.ts";
import { startGate } from "../support/gate.ts";
import { connectRaw, exchangeRaw, type RawClient } from "../support/raw.ts";
import { startRawUpstream, startUpstream, type Teardown } from "../support/upstream.ts";

const HANDSHAKE =
  "GET /chat?room=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

async function startEcho(t: Teardown) {
  const sockets = new WebSocketServer({ noServer: true });
  return startUpstream(t, {
    onUpgrade: (req, socket, head) =>
      sockets.handleUpgrade(req, socket, head, (ws) =>
        ws.on("message", (data, binary) => ws.send(data, { binary })),
      ),
  });
}

/** Also where the end is an error. */
function closeOf(socket: Duplex): Promise<void> {
  return new Promise((resolve) => void socket.once("close", () => resolve()));
}

/** An upstream that accepts every upgrade and hands out its sockets. */
async function startAcceptor(t: Teardown) {
  const sockets: Duplex[] = [];
  const upstream = await startUpstream(t, {
    onUpgrade: (_req, socket) => {
      socket.on("error", () => socket.destroy());
      // Unread, a socket does not learn of its end.
      socket.on("end", () => socket.end()).resume();
      sockets.push(socket);
      socket.write(`${SWITCHING}\r\n`);
    },
  });
  return { upstream, sockets };
}

async function upgraded(t: Teardown, port: number): Promise<RawClient> {
  const client = await connectRaw(t, port);
  client.send(HANDSHAKE);
  await client.read();
  return client;
}

t.test("a WebSocket echoes text and a large binary message, and closes cleanly", async (t) => {
  const upstream = await startEcho(t);
  const gate = await startGate(t, upstream.url);
  const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/chat`);
  await once(socket, "open");
  socket.send("hello");
  t.equal(String((await once(socket, "message"))[0]), "hello");
  const big = Buffer.alloc(1_000_000, 7);
  socket.send(big);
  const [echoed] = (await once(socket, "message")) as [Buffer];
  t.equal(
    createHash("sha256").update(echoed).digest("hex"),
    createHash("sha256").update(big).digest("hex"),
  );
  socket.close(1000);
  t.equal((await once(socket, "close"))[0], 1000);
  t.match(await gate.reported(() => true), {
    route: "none",
    outcome: "passed",
    status: 101,
    path: "/chat",
  });
  t.equal(upstream.count(), 1);
});

t.test(
  "the handshake arrives whole, and the 101 keeps its fields in both directions",
  async (t) => {
    const upstream = await startRawUpstream(
      t,
      Buffer.from(
        `${SWITCHING}Set-Cookie: a\r\nX-V: \xe9\r\nSet-Cookie: b\r\nKeep-Alive: 5\r\n\r\nearly`,
        "latin1",
      ),
    );
    const gate = await startGate(t, upstream.url);
    const client = await connectRaw(t, gate.port);
    client.send(
      HANDSHAKE.replace(
        "Connection: Upgrade",
        "Connection: keep-alive, Upgrade, X-Hop\r\nX-Hop: 1",
      ),
    );
    const answer = await client.read();
    t.equal(answer.status, 101);
    t.same(answer.headers, [
      ["Connection", "Upgrade"],
      ["Upgrade", "websocket"],
      ["Set-Cookie", "a"],
      ["Set-Cookie", "b"],
      ["X-V", "\xe9"],
    ]);
    t.match(await client.until("early"), "early");
    const received = upstream.connections[0]?.received() ?? "";
    t.match(received, /^GET \/chat\?room=1 HTTP\/1\.1\r\n/);
    t.match(received, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/);
    t.match(received, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/);
    t.match(received, /\r\nSec-WebSocket-Key: dGhl/);
    t.notMatch(received, /x-hop|keep-alive/i);
    t.equal(upstream.count(), 1);
  },
);

t.test("a reset of the client closes the upstream's side, and the gateway goes on", async (t) => {
  const { upstream, sockets } = await startAcceptor(t);
  const gate = await startGate(t, upstream.url);
  const client = await upgraded(t, gate.port);
  const closed = closeOf(sockets[0] as Duplex);
  client.reset();
  await closed;
  await upgraded(t, gate.port);
  t.equal(upstream.count(), 2);
});

t.test("a reset of the upstream closes the client's side, and the gateway goes on", async (t) => {
  const upstream = await startRawUpstream(t, (socket) => void socket.write(`${SWITCHING}\r\n`));
  const gate = await startGate(t, upstream.url);
  const client = await upgraded(t, gate.port);
  upstream.connections[0]?.socket.resetAndDestroy();
  await client.closed;
  await upgraded(t, gate.port);
  t.equal(upstream.count(), 2);
});

t.test(
  "resets in the midst of traffic on both sides at once leave the process alive",
  async (t) => {
    const { upstream, sockets } = await startAcceptor(t);
    const gate = await startGate(t, upstream.url);
    for (let round = 1; round <= 20; round += 1) {
      const client = await upgraded(t, gate.port);
      const far = sockets.at(-1) as Duplex;
      const closed = closeOf(far);
      client.send(Buffer.alloc(100_000));
      far.write(Buffer.alloc(100_000));
      client.reset();
      far.destroy();
      await Promise.all([closed, client.closed]);
    }
    t.equal(upstream.count(), 20);
    t.match(await exchangeRaw(t, gate.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), { status: 200 });
  },
);

t.test("a client that leaves during the handshake closes the upstream's connection", async (t) => {
  const upstream = await startRawUpstream(t, () => undefined);
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  client.send(HANDSHAKE);
  const { socket } = await upstream.arrived(1);
  client.reset();
  await closeOf(socket);
  t.match(await gate.reported(() => true), { outcome: "client-gone", status: 0 });
  t.equal(upstream.count(), 1);
});

t.test("an upstream that answers instead of upgrading is heard, its framing ours", async (t) => {
  const upstream = await startRawUpstream(
    t,
    "HTTP/1.1 403 Forbidden\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
  );
  const gate = await startGate(t, upstream.url);
  const answer = await exchangeRaw(t, gate.port, HANDSHAKE);
  t.same(answer.headers, [
    ["X-A", "1"],
    ["Connection", "close"],
  ]);
  t.equal(answer.status, 403);
  t.equal(answer.body.toString(), "no");
  t.match(await gate.reported(() => true), { outcome: "passed", status: 403 });
  t.equal(upstream.count(), 1);
});

t.test("no answer to the handshake: 502, 502 and 504 as problems", async (t) => {
  const gone = await startUpstream(t, { port: await freePort() });
  await gone.close();
  const refused = await exchangeRaw(t, (await startGate(t, gone.url)).port, HANDSHAKE);
  t.equal(refused.status, 502);
  t.equal(refused.header("retry-after"), "1");
  t.match(refused.json(), { code: "upstream-unreachable" });

  const closing = await startRawUpstream(t, (socket) => socket.end());
  const cut = await exchangeRaw(t, (await startGate(t, closing.url)).port, HANDSHAKE);
  t.equal(cut.status, 502);

  const silent = await startRawUpstream(t, () => undefined);
  const gate = await startGate(t, silent.url, { tunnel: { timeoutMs: 300 } });
  t.equal((await exchangeRaw(t, gate.port, HANDSHAKE)).status, 504);
  t.equal(silent.count() + closing.count() + gone.count(), 2);
});

t.test("anything but a WebSocket handshake is refused, and nothing is forwarded", async (t) => {
  const upstream = await startEcho(t);
  const gate = await startGate(t, upstream.url);
  const h2c =
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
  const requests = [
    `GET / HTTP/1.1\r\nHost: x\r\n${h2c}`,
    `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n${h2c}`,
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
    HANDSHAKE.replace("websocket", "websocket, h2c"),
    HANDSHAKE.replace("GET", "POST"),
    HANDSHAKE.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"),
    HANDSHAKE.replace("Host: x", "Host: x\r\nHost: y"),
    "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
  ];
  for (const request of requests) {
    const client = await connectRaw(t, gate.port);
    client.send(request);
    const answer = await client.read();
    t.equal(answer.status, 400, request);
    t.match(answer.json(), { code: "request-invalid" });
    t.equal(answer.header("connection"), "close");
    client.end();
    await client.closed;
  }
  t.equal(
    gate.reports.filter(({ outcome }) => outcome === "request-invalid").length,
    requests.length,
  );
  t.equal(upstream.count(), 0);
});

t.test("an upgrade or CONNECT whose body is still to come ends nothing but itself", async (t) => {
  wrapUnfinishedUpgrades(t);
  const upstream = await startEcho(t);
  const gate = await startGate(t, upstream.url);
  const requests = [
    HANDSHAKE.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nab"),
    HANDSHAKE.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na"),
    HANDSHAKE.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\nzzz"),
    HANDSHAKE.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n"),
    "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nContent-Length: 5\r\n\r\nab",
  ];
  for (const request of requests) {
    const answer = await exchangeRaw(t, gate.port, request);
    t.match(answer.json(), { code: "request-invalid", status: 400 }, request);
    const leaving = await connectRaw(t, gate.port);
    leaving.send(request);
    leaving.reset();
    await leaving.closed;
  }
  t.equal((await exchangeRaw(t, gate.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status, 200);
  t.equal(upstream.count(), 1);
});

/**
 * What Node 26 does, on every Node: an upgrade whose body is not all here comes with a stream around its socket, which
 * is no socket and fails as its socket fails.
 */
function wrapUnfinishedUpgrades(t: Teardown): void {
  const { prototype } = http.Server;
  const emit = Reflect.get(prototype, "emit") as (...args: unknown[]) => boolean;
  t.teardown(() => Reflect.set(prototype, "emit", emit));
  Reflect.set(prototype, "emit", function (this: http.Server, ...args: unknown[]): boolean {
    const [name, req, socket, head] = args;
    if ((name !== "upgrade" && name !== "connect") || !(socket instanceof net.Socket)) {
      return Reflect.apply(emit, this, args);
    }
    const wrapper = new Duplex({ read: () => undefined, write: () => undefined });
    socket.on("error", (error) => wrapper.destroy(error));
    return Reflect.apply(emit, this, [name, req, wrapper, head]);
  });
}

t.test("a stop destroys upgraded connections when the grace is over", async (t) => {
  const { upstream } = await startAcceptor(t);
  const gate = await startGate(t, upstream.url);
  const client = await upgraded(t, gate.port);
  await gate.listener.stop(20);
  await client.closed;
  t.equal(upstream.count(), 1);
});
