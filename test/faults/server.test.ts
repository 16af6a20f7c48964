/** Redis itself in trouble while requests are under way: stopped, full, or set so that it may evict. */
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";
import type { Test } from "tap";
import { call } from "../support/client.ts";
import { startGateway } from "../support/gateway.ts";
import { startRedis } from "../support/redis-server.ts";
import { startUpstream } from "../support/upstream.ts";

t.setTimeout(120_000);

async function world(t: Test, args: readonly string[] = []) {
  const redis = await startRedis(t, { args });
  const upstream = await startUpstream(t, { answer: { status: 201, body: "x".repeat(50_000) } });
  const gateway = await startGateway(
    t,
    {
      upstream: { url: upstream.url, timeout: "5s" },
      store: { url: redis.url, timeout: "250ms", lease: "10s" },
    },
    {
      ready: async (store) => {
        while ((await store.problems()).join().includes("does not answer")) await delay(10);
      },
    },
  );
  const ask = (key: string) =>
    call(`${gateway.url}/charges`, {
      method: "POST",
      headers: { "idempotency-key": key },
      body: "{}",
    });
  const until = async (key: string, outcome: string): Promise<void> => {
    while ((await ask(key)).header("idempotency-status") !== outcome) await delay(20);
  };
  return { redis, upstream, gateway, ask, until };
}

t.test(
  "stopped while the upstream works: the true answer, and the record once it goes on",
  async (t) => {
    const { redis, upstream, ask, until } = await world(t);
    await until("warm", "replayed");
    const gate = upstream.hold();
    const first = ask("key-1");
    await upstream.arrived(2);
    await redis.kill("SIGSTOP");
    gate.release();
    const answer = await first;
    t.equal(answer.status, 201);
    t.equal(answer.header("idempotency-status"), "not-recorded");
    t.equal((await ask("key-2")).status, 503);
    await redis.kill("SIGCONT");
    await until("key-1", "replayed");
    await until("key-2", "replayed");
    t.equal(upstream.count(), 3, "each key once");
  },
);

t.test(
  "full: what was executed is recorded without its body, and new keys are refused",
  async (t) => {
    const { redis, upstream, ask, until } = await world(t);
    await until("warm", "replayed");
    const gate = upstream.hold();
    const first = ask("key-1");
    await upstream.arrived(2);
    await redis.cli("CONFIG", "SET", "maxmemory", "1");
    gate.release();
    t.equal((await first).status, 201);
    const again = await ask("key-1");
    t.equal(again.status, 409);
    t.equal(again.header("idempotency-status"), "not-replayable");
    t.equal((await ask("key-2")).status, 503);
    await redis.cli("CONFIG", "SET", "maxmemory", "0");
    await until("key-2", "replayed");
    t.equal(upstream.count(), 3, "each key once");
  },
);

t.test("a Redis that may evict records: not ready, and it says what to set", async (t) => {
  const { redis, gateway } = await world(t, ["--maxmemory-policy", "volatile-ttl"]);
  const ready = await call(`${gateway.admin}/readyz`);
  t.equal(ready.status, 503);
  t.match(ready.body.toString(), /volatile-ttl.*noeviction/u);
  await redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction");
  while ((await call(`${gateway.admin}/readyz`)).status !== 200) await delay(50);
});
