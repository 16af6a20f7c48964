/**
 * Kill -9 at moments that chance picks, over and over, while clients retry: no POST reaches the upstream twice, and
 * whoever has seen an answer gets the same one for ever.
 */
import { randomInt } from "node:crypto";
import t from "tap";
import { call, type Answer } from "../support/client.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";
import { startUpstream, writeAnswer } from "../support/upstream.ts";
import { ask, gatewayOn, LASTING } from "./store-places.ts";

const FRESH_KEYS = 8;

function send({ url }: GatewayProcess, key: string): Promise<Answer> {
  return call(`${url}/charges`, { method: "POST", headers: { "Idempotency-Key": key }, body: key });
}

for (const store of LASTING) {
  for (const [workers, kills] of [
    ["1", 6],
    ["2", 3],
  ] as const) {
    t.test(
      `${store}, ${workers} worker(s): killed ${kills} times, nothing runs twice`,
      async (q) => {
        const upstream = await startUpstream(q);
        let events = 0;
        let killAt = 0;
        let kill = (): void => undefined;
        const happened = (): void => {
          events += 1;
          if (events === killAt) kill();
        };
        upstream.respond(({ body }, _req, res) => {
          happened();
          writeAnswer(res, { status: 201, body: `${upstream.count()} for ${String(body)}` });
          happened();
        });
        const start = await gatewayOn(t, q, store, upstream, {
          upstream: { url: upstream.url, connectTimeout: "500ms", timeout: "500ms" },
          // As short as is allowed: what a killed process had in flight is settled at the end of the test.
          store: { timeout: "500ms", lease: "2500ms" },
        });

        const seen = new Map<string, Set<string>>();
        const keys: string[] = [];
        const points: number[] = [];
        for (let round = 0; round < kills; round += 1) {
          const gateway = await start("--workers", workers);
          const fresh = Array.from({ length: FRESH_KEYS }, (_, n) => `key-${round}-${n}`);
          // The last round's are retried at once, and each fresh one twice at the same time.
          const tried = [...keys.slice(-FRESH_KEYS), ...fresh, ...fresh];
          keys.push(...fresh);
          events = 0;
          killAt = randomInt(1, 3 * FRESH_KEYS);
          points.push(killAt);
          kill = () => gateway.signalAll("SIGKILL");
          const attempts = tried.map(async (key) => {
            const answer = await send(gateway, key);
            if (answer.status === 201)
              seen.set(key, new Set(seen.get(key)).add(String(answer.body)));
            happened();
          });
          await Promise.allSettled(attempts);
          gateway.signalAll("SIGKILL");
          await gateway.ended;
        }
        q.comment(`killed at event ${points.join(", ")}`);

        const last = await start("--workers", workers);
        const tally: Record<string, number> = {};
        const wrong: string[] = [];
        for (const key of keys) {
          const answer = await ask(
            () => send(last, key),
            (told) => told.header("idempotency-status") !== "in-flight",
          );
          const status = answer.header("idempotency-status") ?? "none";
          tally[status] = (tally[status] ?? 0) + 1;
          const bodies = new Set(seen.get(key));
          if (answer.status === 201) bodies.add(String(answer.body));
          else if (bodies.size > 0) wrong.push(`${key}: answered before, now ${status}`);
          if (bodies.size > 1) wrong.push(`${key}: ${[...bodies].join(" and ")}`);
          const calls = upstream.calls.filter(({ body }) => String(body) === key).length;
          if (calls > 1) wrong.push(`${key}: ${calls} upstream calls`);
          if (answer.status === 201 && calls !== 1) wrong.push(`${key}: an answer out of nowhere`);
        }
        q.comment(
          `${keys.length} keys, ${upstream.count()} upstream calls, ${JSON.stringify(tally)}`,
        );
        q.same(wrong, []);
        q.ok(upstream.count() <= keys.length, "upstream calls: at most one for each key");
        q.equal(new Set(upstream.calls.map(({ body }) => String(body))).size, upstream.count());
      },
    );
  }
}
