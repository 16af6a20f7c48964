/** What the listener refuses over raw sockets: the upstream is never called, and the connection ends. */
import t from "tap";
import { blocksOf } from "../../src/http/parser.ts";
import { startGate } from "../support/gate.ts";
import { connectRaw, exchangeRaw } from "../support/raw.ts";
import { startUpstream } from "../support/upstream.ts";

const POST = "POST /a HTTP/1.1\r\nHost: x\r\n";
const GET = "GET /a HTTP/1.1\r\nHost: x\r\n";
const many = (count: number) => Array.from({ length: count }, (_, at) => `X-${at}: 1\r\n`).join("");

/** Claim, status, bytes. */
const REFUSED: [string, number, string][] = [
  ["two Host fields", 400, `${POST}Host: y\r\n\r\n`],
  ["two equal Host fields", 400, `${POST}Host: x\r\n\r\n`],
  ["no Host", 400, "POST /a HTTP/1.1\r\n\r\n"],
  ["empty Host", 400, "GET /a HTTP/1.1\r\nHost: \r\n\r\n"],
  ["Host with user information", 400, "GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n"],
  ["Host with path", 400, "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"],
  ["Host list", 400, "GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n"],
  ["absolute target elsewhere", 400, "POST http://evil/a HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["absolute target with user", 400, "GET http://x@x/a HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["absolute target, other port", 400, "GET http://x:81/a HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["absolute target, no Host", 400, "GET http://x/a HTTP/1.0\r\n\r\n"],
  ["other scheme", 400, "GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["* with GET", 400, "GET * HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["gzip, chunked", 501, `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  [
    "HTTP/1.0 with Transfer-Encoding",
    400,
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  ["HTTP/2.0 on the wire", 505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"],
  ["two Authorization fields", 400, `${POST}Authorization: a\r\nauthorization: b\r\n\r\n`],
  ["two Content-Type fields", 400, `${POST}Content-Type: a/b\r\nContent-Type: a/c\r\n\r\n`],
  ["two credential fields", 400, `${POST}X-Api-Key: a\r\nx-api-key: a\r\n\r\n`],
  ["key with underscore", 400, `${POST}Idempotency_Key: a\r\n\r\n`],
  ["credential with underscore", 400, `${POST}x_api-key: a\r\n\r\n`],
  ["forwarding field with underscore", 400, `${GET}X_Forwarded_For: 1.1.1.1\r\n\r\n`],
  ["101 fields", 431, `${GET}${many(100)}\r\n`],
  ["1500 fields", 431, `${GET}${many(1500)}\r\n`],
  [
    "Connection names the key",
    400,
    `${POST}Connection: close, Idempotency-Key\r\nIdempotency-Key: a\r\n\r\n`,
  ],
  ["Connection names a credential", 400, `${POST}Connection: X-API-KEY\r\nX-Api-Key: a\r\n\r\n`],
  ["Connection names Content-Type", 400, `${POST}Connection: content-type\r\n\r\n`],
  [
    "Connection names Host, second line",
    400,
    `${POST}Connection: keep-alive\r\nConnection: host\r\n\r\n`,
  ],
  ["Connection names X-Forwarded-For", 400, `${GET}Connection: x-forwarded-for\r\n\r\n`],
  ["CONNECT", 400, "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n"],
  ["another expectation", 417, `${POST}Expect: miracles\r\n\r\n`],
  ["unsafe //", 400, "POST //a HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["unsafe %2F", 400, "DELETE /a%2fb HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["unsafe dot segments", 400, "PUT /a/%2e%2e/b HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["unsafe backslash", 400, "PATCH /a\\b HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["fragment", 400, "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["guarded read with //", 400, "REPORT //a HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["CL and TE", 400, `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["two lengths", 400, `${POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`],
  ["coding with underscore", 400, `${POST}Transfer_Encoding: chunked\r\n\r\n`],
  ["Connection names the coding", 400, `${POST}Connection: transfer-encoding\r\n\r\n`],
  ["a length of 16 digits", 400, `${POST}Content-Length: 9999999999999999\r\n\r\nabc`],
  ["bare LF", 400, "GET / HTTP/1.1\nHost: x\n\n"],
  ["obs-fold", 400, `${GET}X-A: 1\r\n 2\r\n\r\n`],
  ["NUL in a value", 400, `${GET}X-A: canary\0\r\n\r\n`],
  ["space before the colon", 400, `${GET}X-A : 1\r\n\r\n`],
  ["lower-case method", 400, "get / HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["TLS hello", 400, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03canary"],
  ["17 KB of head", 431, `${GET}X-A: ${"a".repeat(17_000)}\r\n\r\n`],
  [
    "huge chunk extension",
    413,
    `${POST}Transfer-Encoding: chunked\r\n\r\n1;${"a".repeat(20_000)}\r\n`,
  ],
  ["malformed chunk", 400, `${POST}Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n`],
];

t.test(
  "each is refused with a problem, the connection ends, the upstream is not called",
  async (t) => {
    const upstream = await startUpstream(t);
    const gate = await startGate(t, upstream.url, {
      handler: async (request, client) => {
        handled += 1;
        const read = await request.readBody(1000);
        await (read.kind === "body"
          ? client.pass(read.bytes)
          : client.send({ status: 400, headers: [], body: new Uint8Array() }));
      },
    });
    let handled = 0;
    for (const [claim, status, bytes] of REFUSED) {
      const before = gate.reports.length;
      const client = await connectRaw(t, gate.port);
      // What is pipelined behind a refused request must not be looked at.
      client.send(`${bytes}${GET}\r\n`);
      const answer = await client.read();
      t.equal(answer.status, status, claim);
      t.equal(answer.header("content-type"), "application/problem+json", claim);
      t.equal(answer.header("connection"), "close", claim);
      t.match(answer.json(), { code: "request-invalid", status, detail: String }, claim);
      t.notMatch(answer.body.toString(), /canary/);
      await client.closed;
      t.equal(client.rest().length, 0, `${claim}: no second answer`);
      t.match(
        gate.reports.slice(before),
        [{ route: "none", outcome: "request-invalid", status }],
        claim,
      );
    }
    // Those that the parser cut short in their body had been handed over by then, and nothing of them was sent.
    t.equal(handled, REFUSED.filter(([claim]) => /chunk e|malformed chunk/.test(claim)).length);
    t.equal(upstream.count(), 0);
  },
);

t.test("a key sent twice has its own code", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url);
  const answer = await exchangeRaw(
    t,
    gate.port,
    `${POST}Idempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n`,
  );
  t.match(answer.json(), { status: 400, code: "key-invalid" });
  t.match(await gate.reported(() => true), { route: "none", outcome: "key-invalid", status: 400 });
  t.equal(upstream.count(), 0);
});

t.test("what the parser refuses of a HEAD is told without a body", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url, {
    handler: async (request) => void (await request.readBody(10)),
  });
  for (const bytes of [
    "HEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
  ]) {
    const client = await connectRaw(t, gate.port);
    client.send(bytes);
    await client.closed;
    t.match(client.rest().toString(), /^HTTP\/1\.1 400 [^]*\r\n\r\n$/);
  }
  t.equal(upstream.count(), 0);
});

t.test(
  "a head that cannot be read is told with a body only where it surely was no HEAD",
  async (t) => {
    const upstream = await startUpstream(t);
    const gate = await startGate(t, upstream.url);
    const malformed = " ht+p://x/ HTTP/1.1\r\nHost: x\r\n\r\n";
    t.match((await exchangeRaw(t, gate.port, `PUT${malformed}`)).json(), { status: 400 });
    const head = await connectRaw(t, gate.port);
    head.send(`HEAD${malformed}`);
    await head.closed;
    t.match(head.rest().toString(), /^HTTP\/1\.1 400 [^]*\r\n\r\n$/);
    const later = await connectRaw(t, gate.port);
    later.send(`${GET}\r\n`);
    t.equal((await later.read()).status, 200);
    later.send(`PUT${malformed}`);
    const answer = await later.read();
    t.match(answer, { status: 400, complete: true });
    t.equal(answer.body.length, 0, "what came before these bytes is not known any more");
    t.equal(upstream.count(), 1);
  },
);

t.test("evasive targets are refused for a safe method that some route guards", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url, { screen: { guardedReads: new Set(["GET"]) } });
  t.equal((await exchangeRaw(t, gate.port, "GET //a HTTP/1.1\r\nHost: x\r\n\r\n")).status, 400);
  t.equal(upstream.count(), 0);
  t.equal((await exchangeRaw(t, gate.port, "OPTIONS //a HTTP/1.1\r\nHost: x\r\n\r\n")).status, 200);
  t.equal(upstream.count(), 1);
});

t.test("what is unusual and unambiguous is accepted", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url);
  const accepted = [
    "GET http://X:80/abs?q HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET https://x/abs?q HTTP/1.1\r\nHost: X:443\r\n\r\n",
    "GET /abs?q HTTP/1.0\r\n\r\n",
    "GET /abs?q HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    `GET /abs?q HTTP/1.1\r\nHost: x\r\n${many(99)}\r\n`,
    "GET /abs?q HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
    "GET /abs?q HTTP/1.1\r\nHost: x\r\nContent_Length_Hint: 3\r\nConnection: close, X-Foo\r\n\r\n",
    "GET /abs?q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1;ext=1\r\na\r\n0\r\nIdempotency-Key: t\r\n\r\n",
  ];
  for (const [at, bytes] of accepted.entries()) {
    t.equal((await exchangeRaw(t, gate.port, bytes)).status, 200, bytes);
    const call = await upstream.arrived(at + 1);
    t.equal(call.url, "/abs?q");
    t.equal(call.all("host").length, 1);
    t.same([...call.all("upgrade"), ...call.all("idempotency-key"), ...call.all("x-foo")], []);
  }
  t.equal(upstream.count(), accepted.length);
});

t.test("garbage behind a request in flight is not answered in its place", async (t) => {
  const upstream = await startUpstream(t);
  const gateway = await startGate(t, upstream.url);
  const held = upstream.hold();
  const client = await connectRaw(t, gateway.port);
  client.send(`${POST}Content-Length: 2\r\n\r\nhi`);
  await upstream.arrived(1);
  client.send("\0garbage\r\n\r\n");
  // The gateway has seen the garbage by the time it has answered somebody who came later.
  await exchangeRaw(t, gateway.port, "GET /a b HTTP/1.1\r\n\r\n");
  t.equal(client.rest().length, 0);
  held.release();
  t.match(await client.read(), { status: 200, complete: true });
  await client.closed;
  t.equal(client.rest().length, 0);
  t.equal(upstream.count(), 1);
});

t.test(
  "forwarding fields: spoofed ones are replaced, a trusted peer's are kept and appended to",
  async (t) => {
    const upstream = await startUpstream(t);
    const spoof =
      "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: bank\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    const names = [
      "x-forwarded-for",
      "x-forwarded-proto",
      "x-forwarded-host",
      "x-forwarded-port",
      "forwarded",
      "x-real-ip",
    ];
    const cases: [string[], string[][]][] = [
      [[], [["127.0.0.1"], ["http"], ["x"], [], [], []]],
      [
        ["10.0.0.0/8", "::1/128"],
        [["127.0.0.1"], ["http"], ["x"], [], [], []],
      ],
      [
        ["127.0.0.0/8"],
        [["6.6.6.6, 7.7.7.7, 127.0.0.1"], ["https"], ["bank"], ["1"], ["for=6.6.6.6"], ["6.6.6.6"]],
      ],
    ];
    for (const [at, [trustedProxies, expected]] of cases.entries()) {
      const gate = await startGate(t, upstream.url, { listener: { trustedProxies } });
      await exchangeRaw(t, gate.port, `${GET}${spoof}\r\n`);
      const call = await upstream.arrived(at + 1);
      t.same(
        names.map((name) => call.all(name)),
        expected,
        trustedProxies.join(),
      );
    }
    t.equal(upstream.count(), cases.length);
    t.throws(() => blocksOf(["nonsense"]), /nonsense is no CIDR block/);
  },
);

t.test("a lenient parser refuses to start", async (t) => {
  const upstream = await startUpstream(t);
  await t.rejects(
    startGate(t, upstream.url, {
      listener: { nodeOptions: "--max-old-space-size=100 --insecure-http-parser" },
    }),
    /--insecure-http-parser/,
  );
  t.equal(upstream.count(), 0);
});
