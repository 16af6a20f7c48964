/** A client that hangs up changes nothing: the call finishes and its answer is recorded. */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";
import { call } from "../support/client.ts";
import { connectRaw } from "../support/raw.ts";
import { startUpstream, writeAnswer } from "../support/upstream.ts";
import { exchangeWith, gatewayOn, LASTING } from "./store-places.ts";

const HANGS_UP_AFTER_MS = 10;
const UPSTREAM_TAKES_MS = 300;

for (const store of LASTING) {
  for (const onInFlight of ["reject", "wait"] as const) {
    t.test(
      `${store}, ${onInFlight}: hung up after 10 ms, recorded after 300, replayed`,
      async (q) => {
        const upstream = await startUpstream(q);
        upstream.respond(async (_call, _req, res) => {
          await delay(UPSTREAM_TAKES_MS);
          writeAnswer(res, { status: 201, body: `execution ${upstream.count()}` });
        });
        const start = await gatewayOn(t, q, store, upstream, { defaults: { onInFlight } });
        const gateway = await start();
        const request = {
          method: "POST",
          headers: { "Idempotency-Key": "hangs-up" },
          body: "amount=100",
        };

        const client = await connectRaw(q, Number(new URL(gateway.url).port));
        client.send(
          "POST /charges HTTP/1.1\r\nHost: gateway\r\nIdempotency-Key: hangs-up\r\n" +
            "Content-Length: 10\r\n\r\namount=100",
        );
        await Promise.all([delay(HANGS_UP_AFTER_MS), upstream.arrived(1)]);
        client.socket.destroy();
        if (!client.socket.closed) await once(client.socket, "close");

        const meanwhile = await call(`${gateway.url}/charges`, request);
        if (onInFlight === "reject") {
          q.equal(meanwhile.status, 409);
          q.equal(meanwhile.json()["code"], "in-flight");
        } else {
          q.equal(meanwhile.header("idempotency-status"), "replayed");
          q.equal(String(meanwhile.body), "execution 1");
        }

        const [line] = await gateway.lines(1, exchangeWith("executed"));
        q.ok(Number(line?.["upstreamMs"]) >= UPSTREAM_TAKES_MS - 1, "the call was not cut short");
        const replay = await call(`${gateway.url}/charges`, request);
        q.equal(replay.status, 201);
        q.equal(replay.header("idempotent-replayed"), "true");
        q.equal(String(replay.body), "execution 1");
        q.equal(upstream.count(), 1, "upstream calls");
      },
    );
  }
}
