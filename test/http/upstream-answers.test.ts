/** What the upstream is sent and what comes back: framing, fidelity of fields and bodies, over real sockets. */
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import t from "tap";
import type { HeaderPair } from "../../src/core/record.ts";
import { answerOf, sendTo, streamOf, word } from "../support/sending.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FRAMING = /^(content-length|transfer-encoding): .*$/gim;

t.test("a body goes out under Content-Length whatever the method, byte for byte", async (t) => {
  const upstream = await startRawUpstream(t, OK);
  const { send } = sendTo(t, upstream.url);
  const body = Buffer.from([0, 255, 13, 10, 13, 10, 48, 128]);
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS", "MKCOL"]) {
    const n = upstream.count() + 1;
    t.equal(word(await send({ method, body, headers: [["X-Method", method]] })), "answered 200");
    const connection = await upstream.arrived(n);
    const text = connection.received();
    const head = text.slice(text.lastIndexOf(`${method} /v1/charges?x=1 HTTP/1.1\r\n`));
    t.same(
      head.match(FRAMING)?.map((line) => line.toLowerCase()),
      ["content-length: 8"],
      method,
    );
    t.ok(head.endsWith(`\r\n\r\n${body.toString("latin1")}`), method);
  }
});

t.test("no body: POST, PUT and PATCH say so, the others have no framing at all", async (t) => {
  const upstream = await startRawUpstream(t, OK);
  const { send } = sendTo(t, upstream.url);
  const framing = async (method: string): Promise<string | undefined> => {
    const n = upstream.count() + 1;
    await send({ method });
    const text = (await upstream.arrived(n)).received();
    return text
      .slice(text.lastIndexOf(`${method} /`))
      .match(FRAMING)
      ?.join()
      .toLowerCase();
  };
  for (const method of ["POST", "PUT", "PATCH"])
    t.equal(await framing(method), "content-length: 0");
  for (const method of ["DELETE", "GET", "OPTIONS"]) t.equal(await framing(method), undefined);
});

t.test(
  "fields go out in order, with their case, repeats and bytes, and the client's Host",
  async (t) => {
    const upstream = await startRawUpstream(t, OK);
    const { send } = sendTo(t, upstream.url);
    const fields: HeaderPair[] = [
      ["X-One", "1"],
      ["x-TWO", "caf\u00e9"],
      ["X-One", "2"],
      ["Authorization", "Bearer x"],
      ["Content-Type", "application/json"],
      ["Cookie", "a=1"],
      ["Idempotency-Key", '"k"'],
    ];
    await send({ headers: [["Host", "shop.example"], ...fields], body: "{}" });
    const lines = (await upstream.arrived(1)).received().split("\r\n");
    t.equal(lines[0], "POST /v1/charges?x=1 HTTP/1.1");
    t.same(lines.filter((line) => /^host:/i.test(line)), ["host: shop.example"]); // prettier-ignore
    t.same(
      lines.filter((line) =>
        fields.some(([name]) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`)),
      ),
      fields.map(([name, value]) => `${name}: ${value}`),
    );
  },
);

t.test(
  "fields come back in order, with their case, repeats and bytes; hop-by-hop ones do not",
  async (t) => {
    const head = [
      "HTTP/1.1 201 Made",
      "set-cookie: a=1",
      "Link: </1>",
      "Set-Cookie: b=2",
      "X-Latin: caf\u00e9 \u00ff",
      "LINK: </2>",
      "X-Empty:",
      "Connection: keep-alive, X-Named",
      "X-Named: gone",
      "Keep-Alive: timeout=5",
      "Proxy-Authenticate: Basic",
      "Upgrade: h2c",
      "Trailer: X-Later",
      "Date: Fri, 02 Jan 2026 03:04:05 GMT",
      "Content-Length: 4",
    ];
    const body = Buffer.from([0, 255, 10, 0]);
    const upstream = await startRawUpstream(
      t,
      Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), body]),
    );
    const answer = answerOf(await sendTo(t, upstream.url).send());
    t.equal(answer.status, 201);
    t.same(answer.headers, [
      ["set-cookie", "a=1"],
      ["Link", "</1>"],
      ["Set-Cookie", "b=2"],
      ["X-Latin", "caf\u00e9 \u00ff"],
      ["LINK", "</2>"],
      ["X-Empty", ""],
      ["Date", "Fri, 02 Jan 2026 03:04:05 GMT"],
      ["Content-Length", "4"],
    ]);
    t.same(answer.body, body);
  },
);

t.test(
  "a chunked answer is put together, with its extensions and trailers left behind",
  async (t) => {
    const upstream = await startRawUpstream(
      t,
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3;a=b\r\none\r\n3\r\ntwo\r\n0\r\nX-T: 1\r\n\r\n",
    );
    const answer = answerOf(await sendTo(t, upstream.url).send());
    t.same([answer.headers, answer.body.toString()], [[], "onetwo"]);
  },
);

t.test("an encoded body stays encoded", async (t) => {
  const upstream = await startUpstream(t);
  const gzipped = Buffer.from("1f8b080000000000000303000000000000000000", "hex");
  upstream.answer({ headers: ["Content-Encoding", "gzip"], body: gzipped });
  const answer = answerOf(await sendTo(t, upstream.url).send());
  t.same(answer.body, gzipped);
  t.ok(answer.headers.some(([name, value]) => name === "Content-Encoding" && value === "gzip"));
});

t.test("an answer that ends with the connection is passed on, and not kept", async (t) => {
  for (const head of ["HTTP/1.1 200 OK\r\nConnection: close", "HTTP/1.0 200 OK"]) {
    const upstream = await startRawUpstream(t, (socket) => socket.end(`${head}\r\n\r\nto the end`));
    const { status, stream } = streamOf(await sendTo(t, upstream.url).send());
    t.equal(status, 200);
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    t.equal(Buffer.concat(chunks).toString(), "to the end");
    t.equal(upstream.count(), 1);
  }
});

t.test("204, 304 and HEAD have no body, whatever their Content-Length says", async (t) => {
  const rows = [
    ["POST", "204 No Content", "X: 1", 204],
    ["PUT", "304 Not Modified", "Content-Length: 5", 304],
    ["PUT", "304 Not Modified", "Content-Length: 5000000", 304],
    ["HEAD", "200 OK", "Content-Length: 5000000", 200],
    ["HEAD", "200 OK", "Content-Type: text/event-stream", 200],
    ["POST", "205 Reset Content", "Content-Length: 0", 205],
  ] as const;
  for (const [method, line, field, status] of rows) {
    const upstream = await startRawUpstream(t, `HTTP/1.1 ${line}\r\n${field}\r\n\r\n`);
    const { send } = sendTo(t, upstream.url);
    for (const _ of ["fresh", "again"]) {
      const answer = answerOf(await send({ method }, { deadlineMs: 2000 }));
      t.same([answer.status, answer.body.length], [status, 0], `${method} ${line} ${field}`);
    }
  }
});

t.test("interim answers are not the answer", async (t) => {
  const upstream = await startRawUpstream(
    t,
    `HTTP/1.1 103 Early Hints\r\nLink: </early>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}`,
  );
  const answer = answerOf(await sendTo(t, upstream.url).send({ body: "x" }));
  t.same([answer.status, answer.body.toString()], [200, "ok"]);
  t.notOk(answer.headers.some(([name]) => name === "Link"));
});

t.test("a 100 that nobody asked for is no answer either, in pieces or not", async (t) => {
  const bytes = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100\r\nX: 1\r\n\r\n${OK}`;
  const scripts: readonly (string | ((socket: Socket) => void))[] = [
    bytes,
    (socket) => void trickle(socket, bytes),
  ];
  for (const script of scripts) {
    const upstream = await startRawUpstream(t, script);
    const { send } = sendTo(t, upstream.url);
    t.equal(answerOf(await send({ body: "x" })).body.toString(), "ok");
    t.equal(upstream.count(), 1);
  }
});

/** One byte per turn of the loop. */
async function trickle(socket: Socket, bytes: string): Promise<void> {
  socket.setNoDelay(true);
  for (const byte of bytes) {
    socket.write(byte, "latin1");
    await new Promise(setImmediate);
  }
}

t.test("redirects and errors are answers; nothing is followed or retried", async (t) => {
  const upstream = await startUpstream(t);
  const { send } = sendTo(t, upstream.url);
  for (const status of [301, 307, 308, 400, 401, 408, 425, 429, 500, 502, 503, 599]) {
    upstream.answer({
      status,
      headers: ["Location", "/elsewhere", "Retry-After", "0"],
      body: "no",
    });
    t.equal(word(await send({ method: "PUT", body: "x" })), `answered ${status}`);
  }
  t.equal(upstream.count(), 12);
});

t.test("connections are kept and shared: 40 calls over at most 4", async (t) => {
  const upstream = await startUpstream(t);
  const sockets = new Set<number | undefined>();
  upstream.server.on("connection", (socket) => sockets.add(socket.remotePort));
  const { send } = sendTo(t, upstream.url, { connections: 4 });
  const outcomes = await Promise.all(Array.from({ length: 40 }, () => send({ body: "x" })));
  t.ok(outcomes.every((outcome) => word(outcome) === "answered 200"));
  t.ok(sockets.size <= 4, `${sockets.size} connections`);
  t.equal(upstream.count(), 40);
});

t.test("an upstream that answers before it has read the body is believed", async (t) => {
  const server = createServer((_, res) => {
    res.writeHead(413, { Connection: "close", "Content-Length": "4" });
    res.end("much");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const { send } = sendTo(t, `http://127.0.0.1:${port}`);
  t.equal(word(await send({ body: "x".repeat(1000) })), "answered 413");
});
