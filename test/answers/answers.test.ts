/** Whatever an upstream says, only a whole and sound answer is told as one and replayed: by the line, and end to end. */
import http from "node:http";
import t from "tap";
import { call } from "../support/client.ts";
import { startGateway } from "../support/gateway.ts";
import { RESPONSE_BYTES, saidBy } from "./mutations.ts";
import { rows } from "./rows.ts";
import { startSpeaker } from "./speaker.ts";
import { BROKEN, judgeAll, type Ask } from "./trial.ts";

for (const row of rows) {
  t.test(`${row.name}: ${row.ci} answers, sound and unsound`, async (t) => {
    const { done, violations, counts } = await row.run(0, row.ci);
    t.comment(JSON.stringify(counts));
    t.same(violations.slice(0, 10), []);
    t.equal(done, row.ci);
    t.ok((counts["answers"] ?? 0) > row.ci / 10, "many are told and replayed");
    t.ok((counts["unknown"] ?? 0) > row.ci / 10, "many are no answers");
    t.ok((counts["broken"] ?? 0) > 0 && (counts["streamed"] ?? 0) > 0, "some are too long to keep");
    t.ok((counts["requests"] ?? 0) <= row.ci, "no request is sent twice");
  });
}

t.test("300 of them through a whole gateway", async (t) => {
  const speaker = await startSpeaker(t, saidBy);
  const gateway = await startGateway(t, {
    upstream: { url: speaker.url, timeout: "30s", connections: 512 },
    store: { url: "memory:" },
    log: { level: "silent" },
    defaults: { onUnknown: "block", limits: { responseBytes: `${RESPONSE_BYTES}B` } },
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 96 });
  t.teardown(() => agent.destroy());
  const ask: Ask = async ({ method, number }) => {
    const headers = { "Idempotency-Key": `k-${number}`, "Content-Length": "2" };
    try {
      const answer = await call(`${gateway.url}/unit/${number}`, {
        method,
        headers,
        body: "{}",
        agent,
      });
      return { status: answer.status, pairs: answer.pairs, body: String(answer.body) };
    } catch {
      return BROKEN;
    }
  };
  const { violations, counts } = await judgeAll(1_000_000, 300, speaker, () => ask);
  t.comment(JSON.stringify(counts));
  t.same(violations.slice(0, 10), []);
  t.ok(speaker.requests() <= 300, "no request is sent twice");
});
