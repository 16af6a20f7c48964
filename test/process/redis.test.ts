/** The whole process on each kind of Redis, with Redis in trouble, and through a failover. */
import t, { type Test } from "tap";
import { call, type Answer } from "../support/client.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { startCluster, startRedis, startSentinel, until } from "../support/redis-server.ts";
import { startRawUpstream, startUpstream, writeAnswer } from "../support/upstream.ts";
import { ask, ready } from "./store-places.ts";

function post({ url }: GatewayProcess, key: string): Promise<Answer> {
  return call(`${url}/charges`, { method: "POST", headers: { "Idempotency-Key": key }, body: key });
}

/** An upstream that answers each execution differently, and a gateway that may still be connecting. */
async function setUp(q: Test, url: string, more: Readonly<Record<string, unknown>> = {}) {
  const upstream = await startUpstream(q);
  upstream.respond((_call, _req, res) =>
    writeAnswer(res, { status: 201, body: `execution ${upstream.count()}` }),
  );
  const config = configured(q, {
    upstream: { url: upstream.url },
    store: { url, timeout: "1s" },
    ...more,
  });
  const start = (): Promise<GatewayProcess> => startGatewayProcess(q, config);
  return { upstream, start, gateway: await start() };
}

async function readiness(gateway: GatewayProcess): Promise<{ status: number; body: string }> {
  const { status, body } = await call(`${gateway.admin}/readyz`);
  return { status, body: String(body) };
}

/** What a scrape says of the same, as a line. */
async function scrapedReadiness(gateway: GatewayProcess): Promise<string | undefined> {
  const { body } = await call(`${gateway.admin}/metrics`);
  return /^idempotency_gateway_ready .*$/m.exec(String(body))?.[0];
}

async function executesOnceAndReplays(q: Test, url: string): Promise<GatewayProcess> {
  const { upstream, start, gateway } = await setUp(q, url);
  await ready(gateway);
  const first = await post(gateway, "one");
  q.same([first.status, first.header("idempotency-status")], [201, "executed"]);
  for (const other of [gateway, await ready(await start())]) {
    const replay = await post(other, "one");
    q.same([replay.status, replay.header("idempotency-status")], [201, "replayed"]);
    q.ok(replay.body.equals(first.body), "byte for byte");
  }
  q.equal(upstream.count(), 1, "upstream calls");
  return gateway;
}

t.test("rediss with a private authority: executed once, replayed by both gateways", async (q) => {
  const { url } = await startRedis(q, { tls: true });
  await executesOnceAndReplays(q, url);
});

t.test("a user and password with the fewest rights: executed once, replayed", async (q) => {
  const { port } = await startRedis(q, {
    acl: [
      "user default off",
      "user gateway on >p%40ss ~idem:* &idem:* -@all +@connection +info +eval +evalsha " +
        "+time +getrange +get +set +setrange +strlen +del +pexpireat +pexpire +publish " +
        "+subscribe +unsubscribe +scan +exists +pttl",
    ],
  });
  const gateway = await executesOnceAndReplays(q, `redis://gateway:p%2540ss@127.0.0.1:${port}/0`);
  q.notOk(
    gateway.output.some((line) => line.includes("p%40ss") || line.includes("p%2540ss")),
    "the password is in no line",
  );
});

t.test("a unix socket: executed once, replayed", async (q) => {
  const { socket } = await startRedis(q);
  await executesOnceAndReplays(q, `redis+unix://${socket}`);
});

t.test("Cluster: executed once, replayed, whichever node has the key", async (q) => {
  const nodes = await startCluster(q);
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const { upstream, gateway } = await setUp(q, `redis+cluster://${hosts}`);
  await ready(gateway);
  for (let n = 1; n <= 30; n += 1) {
    const first = await post(gateway, `key-${n}`);
    const replay = await post(gateway, `key-${n}`);
    q.same([String(first.body), String(replay.body)], [`execution ${n}`, `execution ${n}`]);
  }
  const sizes = await Promise.all(nodes.map(async (node) => Number(await node.cli("DBSIZE"))));
  q.ok(Math.min(...sizes) > 0, `records per node: ${sizes.join(", ")}`);
  q.equal(upstream.count(), 30, "upstream calls");
});

t.test("Sentinel: a completed key that was replicated is replayed after a failover", async (q) => {
  const sentinel = await startSentinel(q);
  const url = `redis+sentinel://127.0.0.1:${sentinel.port}/records/0`;
  const { upstream, start, gateway } = await setUp(q, url);
  await ready(gateway);
  const first = await post(gateway, "kept");
  q.equal(first.header("idempotency-status"), "executed");
  const offset = async (): Promise<string | undefined> =>
    /master_repl_offset:(\d+)/u.exec(await sentinel.primary.cli("INFO", "replication"))?.[1];
  const written = Number(await offset());
  await until(async () => {
    const info = await sentinel.replica.cli("INFO", "replication");
    return Number(/slave_repl_offset:(\d+)/u.exec(info)?.[1]) >= written;
  });
  await sentinel.failover();

  for (const other of [gateway, await ready(await start())]) {
    const replay = await ask(
      () => post(other, "kept"),
      ({ status }) => status !== 503,
    );
    q.same([replay.status, replay.header("idempotency-status")], [201, "replayed"]);
    q.ok(replay.body.equals(first.body));
  }
  const fresh = await post(gateway, "fresh");
  q.same([fresh.status, fresh.header("idempotency-status")], [201, "executed"]);
  q.equal(upstream.count(), 2, "upstream calls");
});

t.test(
  "Redis is down: not ready, 503, nothing is sent; back: ready, and it executes",
  async (q) => {
    const redis = await startRedis(q);
    await redis.kill();
    const { upstream, gateway } = await setUp(q, redis.url);
    for (const when of ["at-start", "later"]) {
      const unready = await readiness(gateway);
      q.equal(unready.status, 503, when);
      q.match(unready.body, /Redis does not answer/);
      q.equal(await scrapedReadiness(gateway), "idempotency_gateway_ready 0");
      const refused = await post(gateway, when);
      q.same([refused.status, refused.json()["code"]], [503, "store-unavailable"]);
      q.equal(refused.header("retry-after"), "1");
      q.equal(upstream.count(), when === "later" ? 1 : 0, "upstream calls while Redis is down");

      await redis.restart();
      await ready(gateway);
      q.equal(await scrapedReadiness(gateway), "idempotency_gateway_ready 1");
      const executed = await post(gateway, when);
      q.same([executed.status, executed.header("idempotency-status")], [201, "executed"]);
      if (when === "later") break;
      await redis.kill();
      await ask(
        () => readiness(gateway),
        ({ status }) => status === 503,
      );
    }
    q.equal(upstream.count(), 2, "upstream calls");
  },
);

t.test("Redis is silent: 503 within the store's time-out, nothing is sent", async (q) => {
  const redis = await startRedis(q);
  const { upstream, gateway } = await setUp(q, redis.url);
  await ready(gateway);
  await redis.kill("SIGSTOP");
  const refused = await post(gateway, "silent");
  q.same([refused.status, refused.json()["code"]], [503, "store-unavailable"]);
  q.equal((await readiness(gateway)).status, 503);
  q.equal(upstream.count(), 0, "upstream calls while Redis is silent");
  await redis.kill("SIGCONT");
  // The claims that were refused may still have been granted; they were given back.
  const retry = await ask(
    () => post(gateway, "silent"),
    ({ status }) => status === 201,
  );
  q.equal(retry.header("idempotency-status"), "executed");
  q.equal(upstream.count(), 1, "upstream calls");
});

t.test("killed with Redis silent at the end of the call: never sent again", async (q) => {
  const redis = await startRedis(q);
  const { upstream, start, gateway } = await setUp(q, redis.url);
  await ready(gateway);
  const gate = upstream.hold();
  const first = post(gateway, "unsettled");
  await upstream.arrived(1);
  // Writes wait, and are forgotten with the connection that asked for them.
  await redis.cli("CLIENT", "PAUSE", "600000", "WRITE");
  gate.release();
  const answer = await first;
  q.same([answer.status, answer.header("idempotency-status")], [201, "not-recorded"]);
  await gateway.end("SIGKILL");
  await redis.cli("CLIENT", "UNPAUSE");
  const retry = await post(await ready(await start()), "unsettled");
  q.same([retry.status, retry.json()["code"]], [409, "in-flight"]);
  q.equal(upstream.count(), 1, "upstream calls");
});

t.test("a Redis that may evict records is not used: not ready, and it says why", async (q) => {
  const redis = await startRedis(q, { args: ["--maxmemory-policy", "allkeys-lru"] });
  const { upstream, gateway } = await setUp(q, redis.url);
  const unready = await ask(
    () => readiness(gateway),
    ({ body }) => body.includes("maxmemory-policy"),
  );
  q.equal(unready.status, 503);
  q.match(unready.body, /maxmemory-policy is allkeys-lru.*noeviction/);
  await redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction");
  await ready(gateway);
  q.equal((await post(gateway, "one")).status, 201);
  q.equal(upstream.count(), 1, "upstream calls");
});

t.test(
  "an upstream of HTTP/1.0 that ends its answers by closing, as small servers do",
  async (q) => {
    const redis = await startRedis(q);
    const raw = await startRawUpstream(q, (socket) =>
      socket.end("HTTP/1.0 200 OK\r\nServer: Simple/0.6\r\nContent-Type: text/plain\r\n\r\nplain"),
    );
    const config = configured(q, { upstream: { url: raw.url }, store: { url: redis.url } });
    const gateway = await ready(await startGatewayProcess(q, config));
    q.equal(String((await call(`${gateway.url}/file`)).body), "plain", "passed through");
    const answer = await post(gateway, "plain");
    q.same([answer.status, answer.header("idempotency-status")], [200, "executed"]);
    q.equal(String(answer.body), "plain");
    const retry = await post(gateway, "plain");
    q.same([retry.status, retry.json()["code"]], [409, "not-replayable"], "it may have been cut");
    q.equal(raw.count(), 2, "upstream calls, one passed through");
  },
);
