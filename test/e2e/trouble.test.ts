/** The upstream and the store in trouble: what each caller is told, what the record says, and that nothing runs twice. */
import net from "node:net";
import type { Socket } from "node:net";
import t from "tap";
import type { Test } from "tap";
import { STORES } from "../support/gateway.ts";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { answerByNumber, DAY_MS, newKey, startScene, TARGET, type Scene } from "../support/scene.ts"; // prettier-ignore
import { startRedis, until } from "../support/redis-server.ts";
import { startBreakableScene } from "../support/trouble.ts";
import { startRawUpstream, writeAnswer, type Responder } from "../support/upstream.ts";

const root = t;
const POST = { method: "POST", target: TARGET };

interface Loss {
  readonly name: string;
  readonly reason: string;
  readonly respond: Responder;
}

/** Ends of an answer that is not whole. The status line of the last ones has been read by then. */
const LOSSES: readonly Loss[] = [
  { name: "a reset", reason: "reset", respond: (_call, req) => void req.socket.resetAndDestroy() },
  { name: "a close", reason: "reset", respond: (_call, req) => void req.socket.destroy() },
  {
    name: "an answer shorter than its length",
    reason: "truncated",
    respond: (_call, _req, res) => {
      res.writeHead(201, { "Content-Length": 100 });
      res.write("half", () => res.destroy());
    },
  },
  {
    name: "a chunked answer without its end",
    reason: "truncated",
    respond: (_call, _req, res) => {
      res.writeHead(201, { "Transfer-Encoding": "chunked" });
      res.write("half", () => res.destroy());
    },
  },
];

/** Bytes that are no HTTP answer, or not a whole one. */
const GARBAGE: readonly string[] = [
  "HTTP/1.1 2000 OK\r\n\r\n",
  "no http\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx",
  "HTTP/1.1 200 OK\r\nX-Broken",
  "HTTP/1.1 100 Continue\r\n\r\n",
];

/** The first caller of a request whose answer was lost, and two retries that are refused. */
async function lost(
  t: Test,
  scene: Scene,
  status: number,
): Promise<{ key: string; record: string }> {
  const key = newKey();
  const record = checkRefusal(t, await scene.ask({ key }), { code: "outcome-unknown", status, key, record: true }); // prettier-ignore
  for (let tries = 0; tries < 2; tries += 1) {
    checkRefusal(t, await scene.ask({ key }), { code: "outcome-unknown", status: 409, key, record, expiresInMs: 3 * DAY_MS }); // prettier-ignore
  }
  checkRefusal(t, await scene.ask({ key, body: "{}" }), { code: "key-reused", status: 409, key, record, original: POST, expiresInMs: 3 * DAY_MS }); // prettier-ignore
  return { key, record };
}

for (const store of STORES) {
  t.test(
    `${store}: an answer that is lost on its way is unknown, and a POST is not sent again`,
    async (t) => {
      const scene = await startScene(t, root, store);
      for (const [at, { name, reason, respond }] of LOSSES.entries()) {
        t.comment(name);
        scene.upstream.respond(respond);
        const { record } = await lost(t, scene, 502);
        t.match(await scene.record(record), { state: "unknown", reason, fence: 1, path: TARGET });
        t.equal(scene.upstream.count(), at + 1);
      }
      const lines = await scene.gateway.exchanges(1);
      t.match(lines[0], { outcome: "outcome-unknown", status: 502, level: "warn", fence: 1 });
      const metrics = await scene.gateway.metrics();
      t.match(metrics, /unknown_outcomes_total\{route="default",reason="reset"\} 2\n/);
      t.match(metrics, /unknown_outcomes_total\{route="default",reason="truncated"\} 2\n/);
    },
  );

  t.test(`${store}: an answer that is no HTTP is unknown`, async (t) => {
    let bytes = "";
    const upstream = await startRawUpstream(t, (socket: Socket) => void socket.end(bytes));
    const scene = await startScene(t, root, store, { upstream: { url: upstream.url } });
    for (const [at, garbage] of GARBAGE.entries()) {
      t.comment(JSON.stringify(garbage));
      bytes = garbage;
      await lost(t, scene, 502);
      t.equal(upstream.count(), at + 1);
    }
  });

  t.test(
    `${store}: no answer in time: 504, the call is cut off, and the retry is refused`,
    async (t) => {
      const upstream = { timeout: "1s", connectTimeout: "1s" };
      const scene = await startScene(t, root, store, { upstream });
      scene.upstream.respond(() => undefined);
      const { record } = await lost(t, scene, 504);
      t.match(await scene.record(record), { state: "unknown", reason: "timeout" });
      await (
        await scene.upstream.arriving(1)
      ).closed;
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(
    `${store}: the deadline covers the body too: an answer that stalls is unknown`,
    async (t) => {
      const upstream = { timeout: "1s", connectTimeout: "1s" };
      const scene = await startScene(t, root, store, { upstream });
      scene.upstream.respond((_call, _req, res) => {
        res.writeHead(201, { "Content-Length": 10 });
        res.write("half");
      });
      await lost(t, scene, 504);
      t.equal(scene.upstream.count(), 1);
    },
  );

  for (const method of ["PUT", "DELETE"]) {
    t.test(
      `${store}: ${method} is sent again with the next fence, and then replayed`,
      async (t) => {
        const scene = await startScene(t, root, store);
        const key = newKey();
        const ask = { key, method };
        scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
        const unknown = { code: "outcome-unknown", status: 502, key, record: true } as const;
        const record = checkRefusal(t, await scene.ask(ask), unknown);
        checkRefusal(t, await scene.ask(ask), { ...unknown, record });
        const reused = await scene.ask({ ...ask, body: "{}" });
        checkRefusal(t, reused, { code: "key-reused", status: 409, key, record, original: { ...POST, method }, expiresInMs: 3 * DAY_MS }); // prettier-ignore
        answerByNumber(scene.upstream);
        const third = await scene.ask(ask);
        checkOwn(t, third, { status: 201, word: "executed", key, record, expiresInMs: DAY_MS });
        const again = await scene.ask(ask);
        checkOwn(t, again, { status: 201, word: "replayed", key, record, expiresInMs: DAY_MS });
        const fences = scene.upstream.calls.map((sent) => sent.all("Idempotency-Fence").join());
        t.same(fences, ["1", "2", "3"]);
        t.equal(scene.upstream.count(), 3);
        t.match(await scene.record(record), { state: "completed", fence: 3 });
      },
    );
  }

  t.test(
    `${store}: a resend that could not be sent leaves the outcome unknown and the fence rising`,
    async (t) => {
      const scene = await startScene(t, root, store);
      const ask = { key: newKey(), method: "PUT" };
      scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
      const record = (await scene.ask(ask)).header("Idempotency-Record") ?? "";
      scene.upstream.respond((_call, _req, res) => writeAnswer(res, { status: 503 }));
      t.equal((await scene.ask(ask)).status, 503);
      t.match(await scene.record(record), { state: "unknown", fence: 2 });
      t.equal((await scene.ask({ ...ask, body: "{}" })).header("Idempotency-Status"), "key-reused");
      answerByNumber(scene.upstream);
      t.equal((await scene.ask(ask)).header("Idempotency-Status"), "executed");
      const fences = scene.upstream.calls.map((sent) => sent.all("Idempotency-Fence").join());
      t.same(fences, ["1", "2", "3"]);
      t.equal(scene.upstream.count(), 3);
    },
  );

  t.test(`${store}: onUnknown is the route's word: block a PUT, resend a POST`, async (t) => {
    const routes = [
      { name: "blocked", match: { path: "/blocked" }, onUnknown: "block" },
      { name: "resent", match: { path: "/resent" }, onUnknown: "resend" },
    ];
    const scene = await startScene(t, root, store, { routes });
    scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
    const put = { key: newKey(), method: "PUT", target: "/blocked" };
    const post = { key: newKey(), target: "/resent" };
    t.same([(await scene.ask(put)).status, (await scene.ask(post)).status], [502, 502]);
    t.notMatch((await scene.ask(post)).json()["detail"], /will not be sent again/);
    answerByNumber(scene.upstream);
    t.same([(await scene.ask(put)).status, (await scene.ask(post)).status], [409, 201]);
    t.equal(scene.upstream.count(), 4);
    t.same(scene.upstream.calls.at(-1)?.all("Idempotency-Fence"), ["3"]);
  });

  t.test(
    `${store}: a client that hangs up: the call finishes and its answer is replayed`,
    async (t) => {
      const scene = await startScene(t, root, store);
      const key = newKey();
      const gate = scene.upstream.hold();
      const leaving = new AbortController();
      const first = t.rejects(scene.ask({ key, signal: leaving.signal }));
      await scene.upstream.arrived(1);
      leaving.abort();
      await first;
      gate.release();
      const [line] = await scene.gateway.exchanges(1);
      t.match(line, { outcome: "executed", status: 201 });
      const retry = await scene.ask({ key });
      checkOwn(t, retry, { status: 201, word: "replayed", key, record: true, expiresInMs: DAY_MS });
      t.equal(retry.body.toString(), "execution 1");
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(
    `${store}: a client that hangs up during its upload: nothing is claimed and nothing sent`,
    async (t) => {
      const scene = await startScene(t, root, store);
      const key = newKey();
      const socket = net.connect(scene.gateway.port, "127.0.0.1");
      t.teardown(() => socket.destroy());
      socket.write(`POST ${TARGET} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nIdempotency-Key: ${key}\r\nContent-Length: 100\r\n\r\n{"amo`); // prettier-ignore
      const answer = await scene.ask({ key });
      checkOwn(t, answer, {
        status: 201,
        word: "executed",
        key,
        record: true,
        expiresInMs: DAY_MS,
      });
      socket.resetAndDestroy();
      t.same((await scene.gateway.exchanges(2)).map(({ outcome }) => outcome).sort(), ["client-gone", "executed"]); // prettier-ignore
      t.equal(scene.upstream.count(), 1);
    },
  );

  t.test(
    `${store}: onStoreError bypass sends without a claim while the store is away`,
    async (t) => {
      const defaults = { onStoreError: "bypass" };
      const scene = await startBreakableScene(t, root, store, { defaults });
      const key = newKey();
      await scene.breakStore();
      const bypassed = await scene.ask({ key, headers: { "Idempotency-Fence": "7" } });
      const record = checkOwn(t, bypassed, { status: 201, word: "bypassed", key, record: true });
      const [sent] = scene.upstream.calls;
      t.same([sent?.all("Idempotency-Key"), sent?.all("Idempotency-Fence")], [[key], []]);
      t.equal((await scene.ask({ key })).body.toString(), "execution 2", "what bypass means");
      await scene.healStore();
      const guarded = await scene.ask({ key });
      checkOwn(t, guarded, { status: 201, word: "executed", key, record, expiresInMs: DAY_MS });
      const replay = await scene.ask({ key });
      checkOwn(t, replay, { status: 201, word: "replayed", key, record, expiresInMs: DAY_MS });
      t.equal(replay.body.toString(), "execution 3");
      t.equal(scene.upstream.count(), 3);
    },
  );

  t.test(
    `${store}: five requests during an outage are refused, five after it are one call`,
    async (t) => {
      const scene = await startBreakableScene(t, root, store);
      const key = newKey();
      await scene.breakStore();
      const refused = await Promise.all(Array.from({ length: 5 }, () => scene.ask({ key })));
      t.same(
        refused.map(({ status }) => status),
        [503, 503, 503, 503, 503],
      );
      t.equal(scene.upstream.count(), 0);
      await scene.healStore();
      const answers = await Promise.all(Array.from({ length: 5 }, () => scene.ask({ key })));
      t.ok(answers.some(({ status }) => status === 201));
      t.equal((await scene.ask({ key })).body.toString(), "execution 1");
      t.equal(scene.upstream.count(), 1);
    },
  );

  if (store === "memory") continue;
  // The memory store cannot get lost under a running call: it is full or not when the claim is made.
  t.test(
    `${store}: the store is away when the answer comes: it is told, and recorded once the store is back`,
    async (t) => {
      const scene = await startBreakableScene(t, root, store);
      const key = newKey();
      const gate = scene.upstream.hold();
      const first = scene.ask({ key });
      await scene.upstream.arrived(1);
      await scene.breakStore();
      gate.release();
      const answer = await first;
      const record = checkOwn(t, answer, { status: 201, word: "not-recorded", key, record: true });
      t.equal(answer.body.toString(), "execution 1");
      checkRefusal(t, await scene.ask({ key }), { code: "store-unavailable", status: 503, key, record, retryAfterS: [1, 1] }); // prettier-ignore
      await scene.healStore();
      await scene.inState(record, "completed");
      const replay = await scene.ask({ key });
      checkOwn(t, replay, { status: 201, word: "replayed", key, record, expiresInMs: DAY_MS });
      t.equal(replay.body.toString(), "execution 1");
      t.equal(scene.upstream.count(), 1);
    },
  );
}

t.test(
  "redis: full when the answer comes: it is told, and remembered without its body",
  async (t) => {
    const redis = await startRedis(t);
    const scene = await startScene(t, root, "redis", { store: { url: redis.url } });
    const [kept, key] = [newKey(), newKey()];
    await scene.ask({ key: kept });
    const gate = scene.upstream.hold();
    const first = scene.ask({ key });
    await scene.upstream.arrived(2);
    await redis.cli("CONFIG", "SET", "maxmemory", "1");
    gate.release();
    const answer = await first;
    const record = checkOwn(t, answer, { status: 201, word: "executed", key, record: true, expiresInMs: DAY_MS }); // prettier-ignore
    t.equal(answer.body.toString(), "execution 2");
    checkRefusal(t, await scene.ask({ key }), { code: "not-replayable", status: 409, key, record, expiresInMs: DAY_MS, original: { ...POST, status: 201, location: "/v1/charges/2" } }); // prettier-ignore
    t.equal((await scene.ask({ key: kept })).body.toString(), "execution 1", "replays go on");
    const refused = await scene.ask({ key: newKey() });
    t.same([refused.status, refused.header("Idempotency-Status")], [503, "store-unavailable"]);
    t.equal(scene.upstream.count(), 2);
  },
);

t.test("an event stream whose client has left does not hold up a stop", async (t) => {
  const scene = await startScene(t, root, "memory");
  const key = newKey();
  scene.upstream.respond((_call, _req, res) => {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.write("data: 1\n\n");
  });
  const leaving = new AbortController();
  const left = t.rejects(scene.ask({ key, signal: leaving.signal }));
  const { closed } = await scene.upstream.arriving(1);
  await until(async () => (await scene.admin("/v1/records?state=completed")).body.includes("id"));
  leaving.abort();
  await left;
  t.equal((await scene.ask({ key })).header("Idempotency-Status"), "not-replayable");
  const beganMs = performance.now();
  await scene.gateway.stop();
  t.ok(performance.now() - beganMs < 15_000, `stopped after ${performance.now() - beganMs} ms`);
  await closed;
  t.equal(scene.upstream.count(), 1);
});
