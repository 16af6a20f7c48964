/** What the next process finds after a graceful stop and after kill -9, wherever in the line the last one died. */
import { once } from "node:events";
import http from "node:http";
import t from "tap";
import { call, type Answer } from "../support/client.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "../support/upstream.ts";
import { ask, gatewayOn, LASTING, LEASE_MS } from "./store-places.ts";

const SETTINGS = {
  upstream: { connectTimeout: "500ms", timeout: "500ms" },
  store: { lease: `${LEASE_MS}ms` },
};

function send(gateway: GatewayProcess, method: string, key: string): Promise<Answer> {
  const headers = { "Idempotency-Key": key, "Content-Type": "text/plain" };
  return call(`${gateway.url}/things/${key}`, { method, headers, body: `body of ${key}` });
}

function settings(upstream: TestUpstream) {
  return { ...SETTINGS, upstream: { ...SETTINGS.upstream, url: upstream.url } };
}

function fences(upstream: TestUpstream): string[] {
  return upstream.calls.flatMap((seen) => seen.all("idempotency-fence"));
}

for (const store of LASTING) {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    t.test(`${store}, ${signal}: completed and unknown records are still there`, async (q) => {
      const upstream = await startUpstream(q);
      const binary = Buffer.from([0, 255, 13, 10, 0]);
      upstream.respond((seen, req, res) => {
        if (seen.url !== "/things/done") req.socket.destroy();
        else writeAnswer(res, { status: 201, headers: ["X-A", "1", "X-A", "2"], body: binary });
      });
      const start = await gatewayOn(t, q, store, upstream, settings(upstream));
      const gateway = await start();
      const first = await send(gateway, "POST", "done");
      q.equal(first.header("idempotency-status"), "executed");
      for (const [method, key] of [
        ["POST", "lost"],
        ["PUT", "put"],
      ] as const) {
        const lost = await send(gateway, method, key);
        q.same([lost.status, lost.json()["code"]], [502, "outcome-unknown"], `${method}, reset`);
      }
      q.equal(await gateway.end(signal), signal === "SIGTERM" ? 0 : null, "exit code");

      upstream.respond(undefined);
      const next = await start();
      const replay = await send(next, "POST", "done");
      q.same([replay.status, replay.header("idempotent-replayed")], [201, "true"]);
      q.ok(replay.body.equals(binary), "byte for byte");
      q.same(replay.all("x-a"), ["1", "2"]);
      const blocked = await send(next, "POST", "lost");
      q.same([blocked.status, blocked.json()["code"]], [409, "outcome-unknown"]);
      q.equal(upstream.count(), 3, "upstream calls, before the PUT is sent again");
      const resent = await send(next, "PUT", "put");
      q.same([resent.status, resent.header("idempotency-status")], [200, "executed"]);
      q.same(fences(upstream), ["1", "1", "1", "2"], "upstream calls by fence");
      q.equal(upstream.count(), 4, "upstream calls");
    });
  }

  t.test(`${store}: killed while the upstream holds its answer`, async (q) => {
    const upstream = await startUpstream(q);
    const gate = upstream.hold();
    const start = await gatewayOn(t, q, store, upstream, settings(upstream));
    const gateway = await start();
    const sentMs = performance.now();
    const calls = ["POST", "PUT"].map((method) => send(gateway, method, method.toLowerCase()));
    const cut = Promise.allSettled(calls);
    await upstream.arrived(2);
    await gateway.end("SIGKILL");
    q.same(
      (await cut).map(({ status }) => status),
      ["rejected", "rejected"],
      "the callers are cut off",
    );
    gate.release();

    const next = await start();
    for (const method of ["POST", "PUT"]) {
      const busy = await send(next, method, method.toLowerCase());
      q.same([busy.status, busy.json()["code"]], [409, "in-flight"], method);
      q.match(busy.header("retry-after"), /^[1-9]\d*$/);
    }
    q.equal(upstream.count(), 2, "upstream calls within the lease");

    const post = await ask(
      () => send(next, "POST", "post"),
      (answer) => answer.json()["code"] !== "in-flight",
    );
    q.ok(performance.now() - sentMs >= LEASE_MS, "in flight until the lease was over");
    q.same([post.status, post.json()["code"]], [409, "outcome-unknown"]);
    const put = await ask(
      () => send(next, "PUT", "put"),
      ({ status }) => status !== 409,
    );
    q.equal(put.header("idempotency-status"), "executed", "the PUT is sent again");
    q.same(fences(upstream), ["1", "1", "2"]);
    q.equal(upstream.calls[2]?.method, "PUT");
    q.equal(upstream.count(), 3, "upstream calls: the POST once, the PUT with two fences");
  });

  t.test(`${store}: killed before the claim, the retry executes`, async (q) => {
    const upstream = await startUpstream(q);
    const start = await gatewayOn(t, q, store, upstream, settings(upstream));
    const gateway = await start();
    const request = http.request(`${gateway.url}/things/early`, {
      method: "POST",
      headers: {
        "Idempotency-Key": "early",
        "Content-Type": "text/plain",
        "Content-Length": 13,
        Expect: "100-continue",
      },
    });
    const hungUp = once(request, "error");
    request.flushHeaders();
    // The gateway reads the body now, which is what comes before the claim.
    await once(request, "continue");
    request.write("body of");
    await gateway.end("SIGKILL");
    await hungUp;
    q.equal(upstream.count(), 0, "upstream calls before the retry");
    const retry = await send(await start(), "POST", "early");
    q.same([retry.status, retry.header("idempotency-status")], [200, "executed"]);
    q.equal(upstream.count(), 1, "upstream calls");
  });

  t.test(
    `${store}: stopped gracefully in the middle of a call, its answer is recorded`,
    async (q) => {
      const upstream = await startUpstream(q, { answer: { status: 201, body: "once" } });
      const gate = upstream.hold();
      const start = await gatewayOn(t, q, store, upstream);
      const gateway = await start();
      const running = send(gateway, "POST", "late");
      await upstream.arrived(1);
      const ended = gateway.end("SIGTERM");
      await gateway.line("stopping");
      gate.release();
      const answer = await running;
      q.same([answer.status, answer.header("idempotency-status")], [201, "executed"]);
      q.equal(await ended, 0);
      const replay = await send(await start(), "POST", "late");
      q.same([String(replay.body), replay.header("idempotency-status")], ["once", "replayed"]);
      q.equal(upstream.count(), 1, "upstream calls");
    },
  );
}
