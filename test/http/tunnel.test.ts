/** Pass-through: each defect of http-proxy has its test, over raw sockets, counting the upstream's calls. */
import type net from "node:net";
import t from "tap";
import { freePort } from "../support/free-port.ts";
import { startGate } from "../support/gate.ts";
import { connectRaw, exchangeRaw } from "../support/raw.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

t.test("chunked bodies stay chunked whatever the method: no smuggled second request", async (t) => {
  for (const method of ["DELETE", "OPTIONS", "POST", "PUT", "PATCH", "GET"]) {
    const upstream = await startRawUpstream(t, (socket, head) => {
      if (/^transfer-encoding: chunked/im.test(head)) socket.write(OK);
    });
    const gate = await startGate(t, upstream.url);
    const smuggled = "GET /admin HTTP/1.1\r\nHost: evil\r\n\r\n";
    const size = smuggled.length.toString(16);
    const answer = await exchangeRaw(
      t,
      gate.port,
      `${method} /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\n${smuggled}\r\n0\r\n\r\n`,
    );
    t.equal(answer.status, 200, method);
    const received = upstream.connections[0]?.received() ?? "";
    t.match(received, /\r\nTransfer-Encoding: chunked\r\n/, method);
    t.notMatch(received, /content-length/i, method);
    t.ok(received.includes(`\r\n\r\n${size}\r\n${smuggled}`), "inside a chunk");
    t.equal(upstream.connections.length, 1);
  }
});

t.test("length-framed bodies keep their length, and no body stays no body", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url);
  const bodies: [string, string, string[]][] = [
    ["DELETE", "Content-Length: 3\r\n\r\nabc", ["3"]],
    ["GET", "Content-Length: 3\r\n\r\nabc", ["3"]],
    ["DELETE", "\r\n", []],
    ["GET", "\r\n", []],
    ["POST", "\r\n", ["0"]],
  ];
  for (const [at, [method, rest, length]] of bodies.entries()) {
    await exchangeRaw(t, gate.port, `${method} / HTTP/1.1\r\nHost: x\r\n${rest}`);
    const call = await upstream.arrived(at + 1);
    t.same(call.all("content-length"), length, method);
    t.same(call.all("transfer-encoding"), []);
    t.equal(call.body.toString(), rest.startsWith("C") ? "abc" : "");
  }
  t.equal(upstream.count(), bodies.length);
});

t.test("Expect: 100-continue is answered here and not forwarded", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  client.send("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  await client.until("100 Continue\r\n\r\n");
  client.send("hi");
  t.match(await client.read(), { status: 200, interim: [100] });
  const call = await upstream.arrived(1);
  t.same(call.all("expect"), []);
  t.equal(call.body.toString(), "hi");
  t.same(call.all("x-forwarded-for"), ["127.0.0.1"], "fields are set here as well");
  t.equal(upstream.count(), 1);
});

t.test(
  "an upstream that dies mid-body cuts the client off, by length, chunks and close",
  async (t) => {
    const cuts = [
      (socket: net.Socket) => socket.resetAndDestroy(),
      (socket: net.Socket) => socket.end(),
    ];
    for (const head of [
      "Content-Length: 10\r\n\r\nabc",
      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc",
    ]) {
      const upstream = await startRawUpstream(t, `HTTP/1.1 200 OK\r\n${head}`);
      const gate = await startGate(t, upstream.url);
      for (const [at, version] of ["1.1", "1.0", "1.1", "1.0"].entries()) {
        const client = await connectRaw(t, gate.port);
        client.send(`GET / HTTP/${version}\r\nHost: x\r\n\r\n`);
        await client.until("abc");
        cuts[at >> 1]?.((await upstream.arrived(at + 1)).socket);
        t.equal((await client.read()).complete, false, `${head} ${version}`);
        await client.closed;
      }
      t.equal(upstream.count(), 4);
    }
  },
);

t.test(
  "hop-by-hop fields, and those that Connection names, end here in both directions",
  async (t) => {
    const upstream = await startUpstream(t, {
      respond: (_call, _req, res) => {
        const raw =
          "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\nTrailer: X-T\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nX-UP: \xe9\r\nset-cookie: b=2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n";
        res.socket?.end(Buffer.from(raw, "latin1"));
      },
    });
    const gate = await startGate(t, upstream.url);
    const client = await connectRaw(t, gate.port);
    client.send(
      "GET /h HTTP/1.1\r\nHost: x\r\nX-b: \xe9\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Authorization: Basic x\r\nX-A: 1\r\nX-a: 2\r\n\r\n",
    );
    const answer = await client.read();
    t.equal(answer.body.toString(), "ok");
    t.same(
      answer.headers.filter(([name]) => !/^(connection|keep-alive|transfer-encoding)$/i.test(name)),
      [
        ["Set-Cookie", "a=1"],
        ["X-UP", "\xe9"],
        ["set-cookie", "b=2"],
        ["Date", "Thu, 01 Jan 1970 00:00:00 GMT"],
      ],
      "order, case, repeats and bytes kept",
    );
    t.same(answer.all("connection"), ["keep-alive"], "ours");
    t.same(client.rest().length, 0, "no trailers");
    const call = await upstream.arrived(1);
    t.same(call.rawHeaders, [
      ...["Host", "x", "X-b", "\xe9", "X-A", "1", "X-a", "2"],
      ...["X-Forwarded-For", "127.0.0.1", "X-Forwarded-Proto", "http", "X-Forwarded-Host", "x"],
      ...["Connection", "keep-alive"],
    ]);
    t.equal(upstream.count(), 1);
  },
);

t.test("the target arrives exactly as matched", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url);
  const targets = [
    "//a//b?x=//y",
    "/projects/group%2Fname",
    "/a\\b?q=\\",
    "/http:/x",
    "/a?b?c",
    "/?",
  ];
  for (const [at, target] of targets.entries()) {
    await exchangeRaw(t, gate.port, `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
    t.equal((await upstream.arrived(at + 1)).url, target);
  }
  await exchangeRaw(t, gate.port, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
  t.equal((await upstream.arrived(targets.length + 1)).url, "*");
  await exchangeRaw(t, gate.port, "GET /%7euser%2d HTTP/1.1\r\nHost: x\r\n\r\n");
  t.equal((await upstream.arrived(targets.length + 2)).url, "/~user-");
  t.equal(upstream.count(), targets.length + 2);
});

t.test(
  "HEAD and OPTIONS pass untouched; HEAD keeps its Content-Length; 204 and 304 have none",
  async (t) => {
    const upstream = await startUpstream(t, {
      answer: { headers: ["Content-Length", "7", "ETag", '"1"'], body: "1234567" },
    });
    const gate = await startGate(t, upstream.url);
    const client = await connectRaw(t, gate.port);
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    const head = await client.read({ method: "HEAD" });
    t.same(head.all("content-length"), ["7"]);
    t.same(head.all("etag"), ['"1"']);
    upstream.answer({ headers: ["Allow", "GET", "Access-Control-Allow-Origin", "*"], body: "" });
    client.send("OPTIONS /o HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\n\r\n");
    const options = await client.read();
    t.same(options.headers.slice(0, 3), [
      ["Allow", "GET"],
      ["Access-Control-Allow-Origin", "*"],
      ["Content-Length", "0"],
    ]);
    t.same((await upstream.arrived(2)).all("origin"), ["http://a"]);
    for (const status of [204, 304]) {
      upstream.answer({ status, headers: ["X-S", String(status)] });
      client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      t.match(await client.read(), { status, complete: true });
    }
    t.equal(upstream.count(), 4, "all on one connection");
    t.equal(client.rest().length, 0);
  },
);

t.test("refused: 502 with Retry-After; a silent upstream: 504; both as problems", async (t) => {
  const taken = await startUpstream(t, { port: await freePort() });
  await taken.close();
  const refused = await startGate(t, taken.url);
  const answer = await exchangeRaw(t, refused.port, "POST / HTTP/1.1\r\nHost: x\r\n\r\n");
  t.equal(answer.status, 502);
  t.equal(answer.header("retry-after"), "1");
  t.match(answer.json(), { code: "upstream-unreachable", detail: /Nothing was sent/ });
  t.match(await refused.reported(() => true), { outcome: "upstream-unreachable", status: 502 });
  t.equal(taken.count(), 0);

  const upstream = await startUpstream(t);
  upstream.hold();
  const slow = await startGate(t, upstream.url, { tunnel: { timeoutMs: 300 } });
  const late = await exchangeRaw(t, slow.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  t.match(late, { status: 504 });
  t.equal(late.header("retry-after"), "1");
  const unsafe = await exchangeRaw(t, slow.port, "POST / HTTP/1.1\r\nHost: x\r\n\r\n");
  t.match(unsafe.json(), { code: "upstream-unreachable", detail: /nobody knows/ });
  t.equal(unsafe.header("retry-after"), undefined, "sending it again might run it twice");
  t.equal(upstream.count(), 2, "nothing is sent twice");
});

t.test("closed without an answer, garbage, an unasked 101: 502", async (t) => {
  const scripts: ((socket: net.Socket) => void)[] = [
    (socket) => socket.end(),
    (socket) => socket.resetAndDestroy(),
    (socket) => socket.end("garbage\r\n\r\n"),
    (socket) => socket.end("HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n"),
    (socket) => socket.end("HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n"),
    (socket) => socket.write("HTTP/1.1 101 Hi\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    (socket) =>
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
  ];
  for (const script of scripts) {
    const upstream = await startRawUpstream(t, script);
    const gate = await startGate(t, upstream.url);
    const answer = await exchangeRaw(t, gate.port, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    t.equal(answer.status, 502, script.toString());
    t.equal(upstream.count(), 1);
  }
});

t.test("interim answers are passed on, the 100 and what is this hop's alone are not", async (t) => {
  const interim = [
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 102 Processing\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nLink: </b>\r\n\r\n",
  ];
  const upstream = await startRawUpstream(t, interim.join("") + OK);
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const told = await client.until("\r\n\r\nok");
  t.equal(
    told.slice(0, told.indexOf("HTTP/1.1 200")),
    "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n",
  );
  t.match(await client.read(), { status: 200, interim: [102, 103] });
  const old = await connectRaw(t, gate.port);
  old.send("GET / HTTP/1.0\r\n\r\n");
  t.match(await old.read(), { status: 200, interim: [] }, "HTTP/1.0 knows none");
  t.equal(upstream.count(), 2);
});

t.test(
  "a client that leaves closes the call to the upstream, before and during the answer",
  async (t) => {
    const upstream = await startUpstream(t, {
      onHead: (req, res) => {
        if (req.url === "/during")
          res.writeHead(200, ["Content-Type", "text/event-stream"]).write("a");
      },
    });
    const gate = await startGate(t, upstream.url);
    const before = await connectRaw(t, gate.port);
    before.send("GET /before HTTP/1.1\r\nHost: x\r\n\r\n");
    const first = await upstream.arriving(1);
    before.reset();
    await first.closed;
    t.match(await gate.reported(() => true), { outcome: "client-gone", status: 0 });

    const during = await connectRaw(t, gate.port);
    during.send("GET /during HTTP/1.1\r\nHost: x\r\n\r\n");
    await during.until("a\r\n");
    const second = await upstream.arriving(2);
    during.reset();
    await second.closed;
    t.match(await gate.reported(({ path }) => path === "/during"), { outcome: "client-gone" });

    const upload = await connectRaw(t, gate.port);
    upload.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    const third = await upstream.arriving(3);
    upload.reset();
    await third.closed;
    t.equal(third.req.complete, false, "the upstream sees an incomplete body");
    t.equal(upstream.count(), 3);
  },
);

t.test("a client that waits for a free connection and leaves is never sent", async (t) => {
  const upstream = await startUpstream(t);
  const gateOne = upstream.hold();
  const gate = await startGate(t, upstream.url, { tunnel: { connections: 1 } });
  const first = await connectRaw(t, gate.port);
  first.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
  await upstream.arrived(1);
  const second = await connectRaw(t, gate.port);
  second.send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n");
  // A third one behind it, on the same queue, tells when the second one stands in it.
  const third = await connectRaw(t, gate.port);
  second.reset();
  await gate.reported(({ path }) => path === "/second").catch(() => undefined);
  third.send("GET /third HTTP/1.1\r\nHost: x\r\n\r\n");
  gateOne.release();
  t.match(await first.read(), { status: 200 });
  t.match(await third.read(), { status: 200 });
  t.same(
    upstream.calls.map(({ url }) => url),
    ["/first", "/third"],
  );
});

t.test(
  "an answer before the whole upload reaches the client, and the connection ends",
  async (t) => {
    const upstream = await startUpstream(t, {
      onHead: (_req, res) => {
        res.writeHead(413, ["Content-Length", "3"]).end("big");
      },
    });
    const gate = await startGate(t, upstream.url);
    const client = await connectRaw(t, gate.port);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    client.send(Buffer.alloc(1_000_000));
    const answer = await client.read();
    t.match(answer, { status: 413, complete: true });
    t.equal(answer.header("connection"), "close");
    client.send(Buffer.alloc(1_000_000));
    await client.closed;
    t.equal(upstream.count(), 1);
  },
);

t.test("server-sent events come one by one, the head before the first", async (t) => {
  const upstream = await startUpstream(t, { onHead: (_req, res) => res.flushHeaders() });
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  client.send("GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n");
  await client.until("\r\n\r\n");
  const { res } = await upstream.arriving(1);
  res.write("data: one\n\n");
  t.notMatch(await client.until("data: one\n\n"), /two/);
  res.end("data: two\n\n");
  const answer = await client.read();
  t.equal(answer.body.toString(), "data: one\n\ndata: two\n\n");
  t.equal(upstream.count(), 1);
});

t.test("what was read of the body goes first, and `told` is added to the answer", async (t) => {
  const upstream = await startUpstream(t, { answer: { headers: ["X-Told", "upstream"] } });
  const gate = await startGate(t, upstream.url, {
    handler: async (request, client) => {
      const read = await request.readBody(request.target === "/all" ? 1000 : 3);
      const bytes =
        read.kind === "body" ? read.bytes : read.kind === "too-large" ? read.read : undefined;
      await client.pass(bytes, [["X-Told", "gateway"]]);
    },
  });
  const body = "0123456789";
  const requests = [
    `PUT /all HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n${body}`,
    `PUT /length HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n${body}`,
    "PUT /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
  ];
  const client = await connectRaw(t, gate.port);
  for (const [at, request] of requests.entries()) {
    client.send(request);
    t.same((await client.read()).all("x-told"), ["gateway"]);
    t.equal((await upstream.arrived(at + 1)).body.toString(), body);
  }
  t.equal(upstream.count(), requests.length);
});
