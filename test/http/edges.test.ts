/** The edges of the passage: waits that end, connections that are used again, and bytes that were tampered with. */
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import fc from "fast-check";
import t from "tap";
import { startGate } from "../support/gate.ts";
import { connectRaw, exchangeRaw, type RawClient } from "../support/raw.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

const BYTES = [
  "\r",
  "\n",
  "\0",
  ":",
  "\t",
  " ",
  ";",
  ",",
  "0",
  "1",
  "\x0b",
  "\xff",
  "\r\n",
  "\r\n\r\n",
];
const FIELDS = [
  "Content-Length: 3\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: x\r\n",
];
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
const SEEDS = [
  "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
  `DELETE /b HTTP/1.1\r\nHost: x\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  `OPTIONS /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
  "GET /d HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
];
const MUTATION = fc.record({
  at: fc.nat(),
  remove: fc.nat({ max: 3 }),
  insert: fc.constantFrom("", ...BYTES, ...FIELDS),
});
const TRAFFIC = fc.array(
  fc.tuple(fc.constantFrom(...SEEDS), fc.array(MUTATION, { maxLength: 2 })),
  { minLength: 1, maxLength: 3 },
);

t.test("a connection that never stands: 504, nothing was sent", async (t) => {
  // Accepts TCP and never says a word of TLS: to the tunnel no connection stands.
  const mute = net.createServer((socket) => {
    accepted.push(socket);
    socket.on("error", () => socket.destroy());
  });
  const accepted: net.Socket[] = [];
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  t.teardown(() => {
    for (const socket of accepted) socket.destroy();
    mute.close();
  });
  const { port } = mute.address() as AddressInfo;
  const gate = await startGate(t, `https://127.0.0.1:${port}`, {
    tunnel: { connectTimeoutMs: 40 },
  });
  const answer = await exchangeRaw(t, gate.port, GET.replace("GET", "POST"));
  t.match(answer.json(), { status: 504, code: "upstream-unreachable", detail: /Nothing was sent/ });
  t.equal(answer.header("retry-after"), "1");
  t.equal(accepted.length, 1, "and not tried again");
});

t.test("an https upstream that speaks plain http: 502, nothing was sent", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url.replace("http:", "https:"));
  const answer = await exchangeRaw(t, gate.port, GET.replace("GET", "POST"));
  t.match(answer.json(), { status: 502, detail: /Nothing was sent/ });
  t.equal(upstream.count(), 0);
});

t.test(
  "an upload that stalls at the client is told 408; one that stalls at the upstream 504",
  async (t) => {
    const upstream = await startUpstream(t, {
      onHead: (req) => void (req.url === "/reads" ? req.resume() : req.pause()),
    });
    const gate = await startGate(t, upstream.url, { tunnel: { timeoutMs: 300 } });
    const client = await connectRaw(t, gate.port);
    client.send("PUT /reads HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    const starved = await client.read();
    t.match(starved.json(), { status: 408, code: "body-incomplete" });
    t.match(await gate.reported(() => true), { outcome: "client-gone", status: 408 });
    const { closed } = await upstream.arriving(1);
    await closed;

    const pushing = await connectRaw(t, gate.port);
    pushing.send("PUT /stalls HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n");
    pushing.send(Buffer.alloc(20_000_000));
    t.match((await pushing.read()).json(), { status: 504, code: "upstream-unreachable" });
    t.equal(upstream.count(), 2);
  },
);

t.test("an upload that moves is not late, however long it takes", async (t) => {
  const upstream = await startUpstream(t);
  const gate = await startGate(t, upstream.url, { tunnel: { timeoutMs: 600 } });
  const client = await connectRaw(t, gate.port);
  client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
  const started = performance.now();
  let sent = 0;
  const drip = setInterval(() => {
    client.send("a");
    sent += 1;
    if (sent === 10) clearInterval(drip);
  }, 80);
  t.match(await client.read(), { status: 200 });
  t.ok(performance.now() - started > 600);
  t.equal((await upstream.arrived(1)).body.length, 10);
  t.equal(upstream.count(), 1);
});

t.test("a connection in use outlives the time that idle ones are kept", async (t) => {
  const upstream = await startUpstream(t, {
    respond: (_call, _req, res) => void setTimeout(() => res.end("late"), 1300),
  });
  const gate = await startGate(t, upstream.url);
  t.equal((await exchangeRaw(t, gate.port, GET)).body.toString(), "late");
  t.equal(upstream.count(), 1);
});

t.test(
  "upstream connections are used again, and one that was closed meanwhile is not",
  async (t) => {
    const upstream = await startRawUpstream(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const gate = await startGate(t, upstream.url, { tunnel: { connections: 1 } });
    const client = await connectRaw(t, gate.port);
    for (let at = 0; at < 3; at += 1) {
      client.send(GET);
      await client.read();
    }
    t.equal(upstream.connections.length, 1);
    const { socket } = await upstream.arrived(3);
    const closed = once(socket, "close");
    socket.end();
    await closed;
    client.send(GET);
    t.equal((await client.read()).status, 200);
    t.equal(upstream.connections.length, 2);
    t.equal(upstream.count(), 4);
  },
);

t.test("bytes that nobody asked for answer no other request", async (t) => {
  const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
  const upstream = await startRawUpstream(t, (socket, head) => {
    const body = /^GET (\S+)/.exec(head)?.[1] ?? "";
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}${poison}`);
  });
  const gate = await startGate(t, upstream.url, { tunnel: { connections: 1 } });
  const client = await connectRaw(t, gate.port);
  for (const path of ["/one", "/two", "/three"]) {
    client.send(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const answer = await client.read();
    if (answer.status === 200) t.equal(answer.body.toString(), path);
    else t.equal(answer.status, 502);
  }
  t.equal(upstream.count(), 3);
});

t.test("pipelined requests are answered in order", async (t) => {
  const upstream = await startUpstream(t, {
    respond: (call, _req, res) => void res.end(call.url),
  });
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  const paths = ["/1", "/2", "/3", "/4", "/5"];
  client.send(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(""));
  for (const path of paths) t.equal((await client.read()).body.toString(), path);
  t.equal(upstream.count(), paths.length);
});

t.test("pipelined requests run one after the other where one of them is unsafe", async (t) => {
  const first = latch();
  const upstream = await startUpstream(t, {
    respond: async (call, _req, res) => {
      if (call.url === "/1") await first.opened;
      res.end(call.url);
    },
  });
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  const post = (path: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na`;
  client.send(`${post("/1")}GET /2 HTTP/1.1\r\nHost: x\r\n\r\n${post("/3")}`);
  await upstream.arriving(1);
  t.equal((await exchangeRaw(t, gate.port, GET)).status, 200, "somebody else is not held up");
  t.equal(upstream.count(), 2, "nothing behind the first has begun");
  first.open();
  for (const path of ["/1", "/2", "/3"]) t.equal((await client.read()).body.toString(), path);
  t.same(
    upstream.calls.map(({ url }) => url),
    ["/1", "/", "/2", "/3"],
  );

  const last = await connectRaw(t, gate.port);
  const closing = post("/4").replace("Host: x", "Host: x\r\nConnection: close");
  last.send(`${closing}${post("/5")}`);
  t.equal((await last.read()).body.toString(), "/4");
  await last.closed;
  t.equal(upstream.count(), 5, "nothing runs behind an answer that closes the connection");
});

t.test("a client that leaves takes what waits behind its first request with it", async (t) => {
  const first = latch();
  const upstream = await startUpstream(t, {
    respond: async (_call, _req, res) => {
      await first.opened;
      res.end();
    },
  });
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  const request = "HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na";
  client.send(`POST /1 ${request}DELETE /2 ${request}`);
  await upstream.arriving(1);
  client.socket.destroy();
  t.match(await gate.reported(({ path }) => path === "/2"), { outcome: "client-gone", status: 0 });
  first.open();
  await gate.listener.stop(5000);
  t.equal(upstream.count(), 1);
});

t.test("an invitation to send the body never lands in an answer", async (t) => {
  const first = latch();
  const upstream = await startUpstream(t, {
    respond: async (call, _req, res) => {
      if (call.url === "/1") await first.opened;
      res.end(call.url);
    },
  });
  const gate = await startGate(t, upstream.url);
  const client = await connectRaw(t, gate.port);
  const expecting =
    "GET /2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab";
  client.send(`GET /1 HTTP/1.1\r\nHost: x\r\n\r\n${expecting}`);
  // The second answer is there first, and waits in the gateway for the first.
  await (
    await upstream.arriving(2)
  ).closed;
  t.equal((await exchangeRaw(t, gate.port, GET)).status, 200);
  first.open();
  t.equal((await client.read()).body.toString(), "/1");
  const second = await client.read();
  t.equal(second.status, 200);
  t.equal(second.body.toString(), "/2");
  t.equal(client.rest().length, 0);
  t.equal(upstream.count(), 3);
});

t.test("property: tampered bytes never become a call that the gateway did not see", async (t) => {
  const accepted: string[] = [];
  const upstream = await startUpstream(t, {
    respond: (call, _req, res) => {
      res.writeHead(200, ["X-Call", String(upstream.calls.indexOf(call))]).end(call.body);
    },
  });
  const gate = await startGate(t, upstream.url, {
    handler: async (request, client) => {
      accepted.push(`${request.method} ${request.target}`);
      await client.pass(undefined);
    },
  });
  const told = new Set<string>();
  await fc.assert(
    fc.asyncProperty(TRAFFIC, async (requests) => {
      const sent = requests.map(([seed, mutations]) => mutations.reduce(mutate, seed)).join("");
      const client = await connectRaw(t, gate.port);
      // The last one ends the connection, unless what came before has swallowed it.
      client.send(`${sent}GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      for (;;) {
        const answer = await Promise.race([client.read().catch(() => undefined), quiet(client)]);
        if (answer === undefined) break;
        const call = answer.header("x-call");
        if (call === undefined) continue;
        if (told.has(call)) throw new Error("one call was told twice");
        told.add(call);
      }
      client.socket.destroy();
      const left = [...accepted];
      for (const { method, url } of upstream.calls) {
        const at = left.indexOf(`${method} ${url}`);
        if (at < 0) throw new Error(`nobody asked for ${method} ${url}`);
        left.splice(at, 1);
      }
      return upstream.count() <= accepted.length;
    }),
    { numRuns: 200 },
  );
  t.equal((await exchangeRaw(t, gate.port, GET)).status, 200, "alive");
  t.ok(told.size > 50, `${told.size} calls told`);
});

function mutate(text: string, change: { at: number; remove: number; insert: string }): string {
  const at = change.at % (text.length + 1);
  return text.slice(0, at) + change.insert + text.slice(at + change.remove);
}

/** For requests that wait for more of themselves: nothing comes any more. */
function quiet({ socket }: RawClient): Promise<undefined> {
  return new Promise((resolve) => {
    socket.setTimeout(60, () => resolve(undefined));
  });
}

function latch(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}
