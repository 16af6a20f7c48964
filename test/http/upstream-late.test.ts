/** The last look at the clock before the first byte leaves: at the deadline, and at how long a connection was idle. */
import t from "tap";
import { createUpstream } from "../../src/http/upstream.ts";
import { startUpstream } from "../support/upstream.ts";

t.test(
  "a connection that is there only after the deadline is not used, timer or not",
  async (q) => {
    const server = await startUpstream(q);
    const upstream = createUpstream({ url: server.url, connectTimeoutMs: 5000, connections: 1 });
    q.teardown(() => upstream.close());
    const request = { method: "POST", target: "/", headers: [], body: new Uint8Array() };
    const limits = { deadlineMs: 60_000, responseBytes: 1000 };

    const sending = upstream.send(request, limits);
    // The process stands still for longer than the deadline; its timers have not run yet.
    const now = performance.now();
    q.intercept(performance, "now", { value: () => now + 60_001 });
    q.match(await sending, { kind: "not-sent", status: 504, cause: "no-connection-in-time" });
    q.equal(server.count(), 0, "upstream calls");
  },
);

for (const [announced, stoodMs] of [
  [undefined, 501],
  ["timeout=3", 2001],
] as const) {
  t.test(
    `idle for ${stoodMs} ms in a process that stood still, upstream announces ${announced}: not used again`,
    async (q) => {
      const headers = announced === undefined ? [] : ["Keep-Alive", announced];
      const server = await startUpstream(q, { answer: { status: 201, headers } });
      // Its own would close connections, and announce that.
      server.server.keepAliveTimeout = 0;
      const ports: (number | undefined)[] = [];
      server.server.on("connection", (socket) => ports.push(socket.remotePort));
      const upstream = createUpstream({ url: server.url, connectTimeoutMs: 5000, connections: 1 });
      q.teardown(() => upstream.close());
      const request = { method: "POST", target: "/", headers: [], body: new Uint8Array() };
      const limits = { deadlineMs: 60_000, responseBytes: 1000 };
      const send = async () => q.match(await upstream.send(request, limits), { kind: "answered" });

      await send();
      await send();
      q.equal(ports.length, 1, "used again at once, where there is no other");
      // No timer has run yet when the next request comes.
      const now = performance.now.bind(performance);
      q.intercept(performance, "now", { value: () => now() + stoodMs });
      await send();
      q.equal(ports.length, 2, "connections");
      q.equal(server.count(), 3, "upstream calls");
    },
  );
}

t.test(
  "an answer read late makes its connection no younger: it is counted from the request",
  async (q) => {
    const server = await startUpstream(q, {
      answer: { status: 201, headers: ["Keep-Alive", "timeout=3"] },
    });
    server.server.keepAliveTimeout = 0;
    let connections = 0;
    server.server.on("connection", () => (connections += 1));
    const upstream = createUpstream({ url: server.url, connectTimeoutMs: 5000, connections: 1 });
    q.teardown(() => upstream.close());
    const request = { method: "POST", target: "/", headers: [], body: new Uint8Array() };
    const limits = { deadlineMs: 60_000, responseBytes: 1000 };

    const gate = server.hold();
    const sending = upstream.send(request, limits);
    await server.arriving(1);
    // The upstream answers and idles from now on; this process stands still for 1.5 s before it reads that.
    const now = performance.now.bind(performance);
    let stoodMs = 1500;
    q.intercept(performance, "now", { value: () => now() + stoodMs });
    gate.release();
    q.match(await sending, { kind: "answered" });
    stoodMs += 600;
    q.match(await upstream.send(request, limits), { kind: "answered" });
    q.equal(connections, 2, "connections");
    q.equal(server.count(), 2, "upstream calls");
  },
);
