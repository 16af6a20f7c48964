/** The test upstream and the raw client themselves: what other tests lean on must not lean over. */
import t from "tap";
import { connectRaw, exchangeRaw } from "../support/raw.ts";
import { startRawUpstream, startUpstream } from "../support/upstream.ts";

t.test("calls are recorded whole and in order, and a gate holds answers back", async (t) => {
  const upstream = await startUpstream(t);
  const gate = upstream.hold();
  const client = await connectRaw(t, upstream.port);
  client.send("POST /a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nhi");
  const call = await upstream.arrived(1);
  t.equal(call.body.toString(), "hi");
  t.same(call.all("X-A"), ["1", "2"]);
  t.equal(client.rest().length, 0, "held");
  gate.release();
  t.equal((await client.read()).body.toString(), "ok");
  upstream.answer({ status: 204 });
  client.send("GET /b HTTP/1.1\r\nHost: x\r\n\r\n");
  t.equal((await client.read()).status, 204, "second answer on the same socket");
  t.equal(upstream.count(), 2);
});

t.test("raw: chunked, cut-off and close-delimited answers are told apart", async (t) => {
  const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  const chunked = await startRawUpstream(
    t,
    "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: 1\r\n\r\n",
  );
  const whole = await exchangeRaw(t, chunked.port, request);
  t.match(whole, { status: 200, complete: true, interim: [103] });
  t.equal(whole.body.toString(), "ab");
  const cut = await startRawUpstream(t, (socket) =>
    socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"),
  );
  t.equal((await exchangeRaw(t, cut.port, request)).complete, false);
  const closed = await startRawUpstream(t, (socket) => socket.end("HTTP/1.0 200 OK\r\n\r\nab"));
  t.match(await exchangeRaw(t, closed.port, request), { complete: true });
  t.equal(cut.count() + closed.count() + chunked.count(), 3);
});
