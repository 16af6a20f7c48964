/** A gateway that is stopped in the middle, outlives its lease, and goes on as if nothing had happened. */
import t from "tap";
import { call, type Answer } from "../support/client.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";
import { ask, exchangeWith, gatewayOn, LASTING } from "./store-places.ts";

function send(gateway: GatewayProcess, method: string, key: string): Promise<Answer> {
  const headers = { "Idempotency-Key": key };
  return call(`${gateway.url}/${key}`, { method, headers, body: "amount=100" });
}

/** The shortest lease that is allowed. */
function settings(upstream: TestUpstream) {
  return {
    upstream: { url: upstream.url, timeout: "1s", connectTimeout: "1s", connections: 1 },
    store: { timeout: "500ms", lease: "3s" },
  };
}

function targets(upstream: TestUpstream): string[] {
  return upstream.calls.map(
    (seen) => `${seen.method} ${seen.url} ${seen.all("idempotency-fence")[0]}`,
  );
}

const notInFlight = (answer: Answer): boolean =>
  answer.header("idempotency-status") !== "in-flight";

for (const store of LASTING) {
  t.test(
    `${store}: paused while it waits for a connection, it sends nothing afterwards`,
    async (q) => {
      const upstream = await startUpstream(q);
      const start = await gatewayOn(t, q, store, upstream, settings(upstream));
      const [paused, other] = await Promise.all([start(), start()]);
      const gate = upstream.hold();
      const first = send(paused, "POST", "first");
      await upstream.arrived(1);
      // There is one connection, and the first call has it: these are claimed and wait.
      const waiting = [send(paused, "PUT", "put"), send(paused, "POST", "post")];
      await ask(
        () => call(`${other.admin}/v1/records?state=in-flight`),
        (page) => (page.json()["records"] as unknown[]).length === 3,
      );
      paused.signal("SIGSTOP");
      const unknown = await ask(() => send(other, "POST", "post"), notInFlight);
      q.same([unknown.status, unknown.json()["code"]], [409, "outcome-unknown"]);
      // The upstream's answer and the deadline are both there when the process goes on.
      gate.release();
      const resent = await ask(() => send(other, "PUT", "put"), notInFlight);
      q.equal(resent.header("idempotency-status"), "executed", "by the other gateway");
      paused.signal("SIGCONT");

      const [put, post] = await Promise.all(waiting);
      await first;
      q.same(
        targets(upstream),
        ["POST /first 1", "PUT /put 2"],
        "nothing was sent after the lease",
      );
      q.same([put?.status, put?.json()["code"]], [504, "upstream-unreachable"]);
      q.same([post?.status, post?.json()["code"]], [504, "upstream-unreachable"]);
      const replay = await send(paused, "PUT", "put");
      q.equal(replay.header("idempotency-status"), "replayed");
      // Its owner knows that it was never sent, and has given it back.
      const retry = await send(other, "POST", "post");
      q.equal(retry.header("idempotency-status"), "executed");
      q.equal(upstream.count(), 3, "upstream calls");
    },
  );

  t.test(
    `${store}: paused during the call, the other gateway does not send the POST again`,
    async (q) => {
      const upstream = await startUpstream(q, { answer: { status: 201, body: "once" } });
      const start = await gatewayOn(t, q, store, upstream, settings(upstream));
      const [paused, other] = await Promise.all([start(), start()]);
      const gate = upstream.hold();
      const first = send(paused, "POST", "post");
      await upstream.arrived(1);
      paused.signal("SIGSTOP");
      const unknown = await ask(() => send(other, "POST", "post"), notInFlight);
      q.same([unknown.status, unknown.json()["code"]], [409, "outcome-unknown"]);
      gate.release();
      paused.signal("SIGCONT");
      const answer = await first;
      await paused.lines(
        1,
        (line) => exchangeWith("executed")(line) || exchangeWith("outcome-unknown")(line),
      );
      // Whichever it met first, its deadline or the answer: everybody is told the same from now on.
      const retries = await Promise.all(
        [paused, other].map((gateway) => send(gateway, "POST", "post")),
      );
      for (const retry of retries) {
        if (answer.status === 201) q.ok(retry.body.equals(answer.body), "replayed");
        else q.same([retry.status, retry.json()["code"]], [409, "outcome-unknown"]);
      }
      q.comment(`the owner told ${answer.status} ${answer.header("idempotency-status")}`);
      q.equal(upstream.count(), 1, "upstream calls");
    },
  );
}
