/** The last look at the clock before the first byte leaves. */
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
