/**
 * Locks on three servers of their own: what a gateway does while some of them are away, and that a store which loses a
 * claim during the lock's life does not lead to a second send.
 */
import root, { type Test } from "tap";
import { call, type Answer } from "../support/client.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startRedis, until, type RedisServer } from "../support/redis-server.ts";
import { exampleSettings } from "../support/setups.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

/** Of the store; a lock may take four times as long. */
const STORE_TIMEOUT_MS = 500;
/** What a call may take on a busy machine past its bound. */
const SLACK_MS = 2000;

interface Place {
  readonly upstream: TestUpstream;
  readonly store: RedisServer;
  readonly nodes: readonly RedisServer[];
  readonly gateways: readonly TestGateway[];
  readonly url: (n: number) => string;
}

const ROUTES = [
  { name: "charges", match: { methods: ["POST"], path: "/charges" }, key: { required: true } },
  {
    name: "things",
    match: { methods: ["PUT"], path: "/things/:id" },
    resource: { id: "path", serialize: "wait" },
  },
  ...(exampleSettings("reservations")["routes"] as readonly object[]),
];

async function place(t: Test): Promise<Place> {
  const [store, ...nodes] = await Promise.all([0, 1, 2, 3].map(() => startRedis(t)));
  const upstream = await startUpstream(t);
  const settings = {
    upstream: { url: upstream.url, timeout: "20s" },
    store: { url: store!.url, timeout: `${STORE_TIMEOUT_MS}ms` },
    locks: { nodes: nodes.map(({ url }) => url) },
    defaults: { waitTimeout: "10s" },
    routes: ROUTES,
  };
  const gateways = await Promise.all([startGateway(t, settings), startGateway(t, settings)]);
  for (const { store: opened } of gateways) {
    await until(async () => (await opened.problems()).length === 0);
  }
  const url = (n: number): string => gateways[n % 2]?.url ?? "";
  // Until the connections to the nodes stand.
  for (const n of [0, 1]) await until(async () => (await put(url(n), "warm")).status === 200);
  return { upstream, store: store!, nodes, gateways, url };
}

const put = (url: string, thing: string): Promise<Answer> =>
  call(`${url}/things/${thing}`, { method: "PUT", body: "x" });

const charge = (url: string, key: string): Promise<Answer> =>
  call(`${url}/charges`, { method: "POST", headers: { "Idempotency-Key": key }, body: "100" });

async function timed(work: Promise<Answer>): Promise<readonly [Answer, number]> {
  const startedMs = performance.now();
  return [await work, performance.now() - startedMs];
}

root.test("one server down: writes go on, one at a time", async (t) => {
  const { upstream, nodes, url } = await place(t);
  await nodes[0]?.kill();
  const before = upstream.count();
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) => put(url(n), "lamp")).concat(charge(url(0), "k1")),
  );
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]));
  t.equal(upstream.count() - before, 11);
  t.equal((await charge(url(1), "k1")).header("Idempotency-Status"), "replayed");
  t.equal(upstream.count() - before, 11);
});

for (const [how, signal] of [
  ["down", "SIGKILL"],
  ["silent", "SIGSTOP"],
] as const) {
  root.test(`two servers ${how}: refused in time, nothing is sent, and it heals`, async (t) => {
    const { upstream, nodes, url, gateways } = await place(t);
    const [one, two] = nodes;
    await Promise.all([one?.kill(signal), two?.kill(signal)]);
    const before = upstream.count();
    const asked = Array.from({ length: 4 }, (_, n) => [
      timed(put(url(n), `thing${n}`)),
      timed(charge(url(n), `k${n}`)),
    ]);
    for (const [answer, tookMs] of await Promise.all(asked.flat())) {
      t.match([answer.status, answer.json()["code"]], [503, "store-unavailable"]);
      t.equal(answer.header("Retry-After"), "1");
      t.ok(tookMs < 4 * STORE_TIMEOUT_MS + SLACK_MS, `${tookMs} ms`);
    }
    t.equal(upstream.count(), before);
    t.match(
      await gateways[0]?.metrics(),
      /route="things",method="PUT",outcome="store-unavailable"/,
    );
    if (signal === "SIGSTOP") await one?.kill("SIGCONT");
    else await one?.restart();
    await until(async () => (await charge(url(0), "k1")).status === 200);
    t.equal(upstream.count(), before + 1, "the key was free");
    if (signal === "SIGSTOP") await two?.kill("SIGCONT");
  });
}

root.test("an even number of servers is refused before anything starts", async (t) => {
  const nodes = ["redis://127.0.0.1:1", "redis://127.0.0.1:2"];
  const settings = { upstream: { url: "http://127.0.0.1:3000" }, locks: { nodes } };
  await t.rejects(startGateway(t, settings), { message: /locks\.nodes: must be an odd number/ });
});

root.test(
  "a store that loses a claim while its request runs leads to no second send",
  async (t) => {
    const { upstream, store, url } = await place(t);
    const gate = upstream.hold();
    const before = upstream.count();
    const first = charge(url(0), "k1");
    await upstream.arrived(before + 1);
    await store.cli("FLUSHALL");
    const during = await Promise.all(Array.from({ length: 10 }, (_, n) => charge(url(n), "k1")));
    for (const answer of during) {
      t.match([answer.status, answer.json()["code"]], [409, "in-flight"]);
      t.equal(answer.header("Retry-After"), "1");
    }
    // More of them while the first one settles: their claims stand in its way for a moment.
    const racing = Array.from({ length: 10 }, (_, n) => charge(url(n), "k1"));
    gate.release();
    const told = await first;
    t.equal(told.status, 200);
    for (const answer of await Promise.all(racing)) {
      t.ok(answer.status === 409 || answer.header("Idempotency-Status") === "replayed");
    }
    await until(async () => (await charge(url(1), "k1")).status === 200);
    const replayed = await charge(url(0), "k1");
    t.match([replayed.status, replayed.header("Idempotency-Status")], [200, "replayed"]);
    t.equal(upstream.count(), before + 1);
  },
);

root.test("a claim that stands in the way of the answer is waited for", async (t) => {
  const { upstream, store, nodes, url } = await place(t);
  const gate = upstream.hold();
  const before = upstream.count();
  const first = charge(url(0), "k1");
  await upstream.arrived(before + 1);
  await store.cli("FLUSHALL");
  // The retry has its claim and waits for the key's lock when the answer comes.
  await Promise.all(nodes.map((node) => node.kill("SIGSTOP")));
  const retry = charge(url(1), "k1");
  await until(async () => (await store.cli("DBSIZE")) !== "0");
  gate.release();
  t.equal((await first).status, 200, "the true answer");
  t.equal((await retry).status, 503);
  await Promise.all(nodes.map((node) => node.kill("SIGCONT")));
  await until(async () => (await charge(url(1), "k1")).status === 200);
  t.equal((await charge(url(0), "k1")).header("Idempotency-Status"), "replayed");
  t.equal(upstream.count(), before + 1);
});

root.test("a store that is away and comes back empty: the answer is put there", async (t) => {
  const { upstream, store, url, gateways } = await place(t);
  const gate = upstream.hold();
  const before = upstream.count();
  const first = charge(url(0), "k1");
  await upstream.arrived(before + 1);
  await store.kill();
  gate.release();
  const told = await first;
  t.match([told.status, told.header("Idempotency-Status")], [200, "not-recorded"]);
  await store.restart();
  await until(async () => (await charge(url(1), "k1")).status === 200);
  t.equal((await charge(url(0), "k1")).header("Idempotency-Status"), "replayed");
  t.equal(upstream.count(), before + 1);
  // Before the store, which the test's end stops first: they may still be giving claims back.
  await Promise.all(gateways.map((gateway) => gateway.stop()));
});

root.test("a store that loses who has a slot while it is booked: it is booked once", async (t) => {
  const { upstream, store, url } = await place(t);
  const book = (n: number, key: string): Promise<Answer> =>
    call(`${url(n)}/reservations`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: '{"date":"2026-03-01","time":"19:00"}',
    });
  const gate = upstream.hold();
  const before = upstream.count();
  const first = book(0, "a1");
  await upstream.arrived(before + 1);
  await store.cli("FLUSHALL");
  const second = book(1, "b1");
  gate.release();
  t.equal((await first).status, 200);
  const refused = await second;
  t.match([refused.status, refused.json()["code"]], [409, "conflict"]);
  t.equal((await book(0, "b1")).json()["code"], "conflict");
  t.equal(upstream.count(), before + 1);
});
