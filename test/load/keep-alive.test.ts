/** An upstream that closes idle connections makes no outcome unknown, and the gaps are such that it could. */
import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { Random } from "../support/random.ts";
import { call } from "../support/client.ts";
import { gapMs, startClosingUpstream } from "./idle-closing.ts";
import { rowOf } from "./rows.ts";

t.setTimeout(230_000);

t.test("10,000 guarded requests at random gaps: no unknown outcome, each sent once", async (t) => {
  const row = rowOf("keep-alive");
  const { done, violations, counts } = await row.run(0, row.ci);
  t.comment(JSON.stringify(counts));
  t.same(violations.slice(0, 10), []);
  t.equal(done, row.ci);
  t.ok((counts["reused"] ?? 0) > 100, "connections were found again");
  t.ok((counts["connections"] ?? 0) > 1000, "and were closed in between");
});

t.test("the same gaps break requests of a client that keeps its connections", async (t) => {
  const setting = { idleMs: 200, announced: false };
  const upstream = await startClosingUpstream(t, setting);
  let broken = 0;
  await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      const random = new Random(n);
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      t.teardown(() => agent.destroy());
      for (let turn = 0; turn < 6; turn += 1) {
        const headers = { "Content-Length": "2" };
        await call(upstream.url, { method: "POST", body: "{}", headers, agent }).catch(() => {
          broken += 1;
        });
        await pause(gapMs(setting, random));
      }
    }),
  );
  t.comment(`${broken} of 600 broke; the upstream closed ${upstream.closed()} connections`);
  t.ok(broken > 0);
});
