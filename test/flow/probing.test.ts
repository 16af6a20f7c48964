/**
 * `onUnknown: probe`, in the line and in its parts: what the upstream is asked, what its answer means, when it is asked
 * again, and that what was found out about one attempt settles no other.
 */
import assert from "node:assert/strict";
import t from "tap";
import type { Policy } from "../../src/core/policy.ts";
import type { ForwardOutcome, Upstream } from "../../src/core/ports.ts";
import { pauseAfter, probeTarget, verdictOnProbe } from "../../src/core/probe.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import { routeFinder } from "../../src/core/route.ts";
import { createProber } from "../../src/flow/prober.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { claimOf } from "../store/contract-values.ts";
import {
  answered,
  EPOCH_MS,
  LEASE_MS,
  newLine,
  type Line,
  type LineOptions,
} from "../support/flow.ts";
import { newPolicy } from "../support/policy.ts";
import { quiet, VirtualClock } from "../support/virtual-clock.ts";

const RELEASE_AFTER_MS = 60_000;
const LOST: ForwardOutcome = { kind: "unknown", reason: "reset", cause: "UND_ERR_SOCKET" };
const ANN: HeaderPair[] = [["Authorization", "Bearer ann"]];

const probing = (
  over: Partial<Policy["probe"] & object> = {},
  policy: Partial<Policy> = {},
): Partial<Policy> => ({
  onUnknown: "probe",
  probe: {
    path: "/by-key/{key}",
    as: "gateway",
    timeoutMs: 2000,
    releaseAfterMs: RELEASE_AFTER_MS,
    headers: [],
    ...over,
  },
  ...policy,
});

/** A line whose POSTs are lost and whose GETs get what `status` says; and a first request whose outcome is unknown. */
async function unknown(
  status: () => ForwardOutcome | Promise<ForwardOutcome>,
  policy = probing(),
  options: LineOptions = {},
): Promise<Line> {
  const line = newLine({ policy, ...options });
  line.respond(({ request }) => (request.method === "POST" ? LOST : status()));
  const first = await line.ask({ headers: ANN });
  assert.equal(first.header("idempotency-status"), "outcome-unknown");
  return line;
}

const posts = ({ sent }: Line): number =>
  sent.filter(({ request }) => request.method === "POST").length;
const gets = ({ sent }: Line) => sent.filter(({ request }) => request.method === "GET");
const results = ({ probes }: Line): string[] => probes.map(({ result }) => result);

t.test("200: the retry gets that answer, and so does every other; sent once", async (t) => {
  const line = await unknown(() => answered(200, "paid", [["Content-Type", "text/plain"]]));
  for (const _ of [1, 2]) {
    const retry = await line.ask({ headers: ANN });
    t.equal(retry.status, 200);
    t.equal(retry.text, "paid");
    t.equal(retry.header("idempotency-status"), "replayed");
    t.equal(retry.header("content-type"), "text/plain");
  }
  t.equal(posts(line), 1);
  t.equal(gets(line).length, 1);
  t.match(line.probes, [{ result: "executed", route: "charges", probe: 1 }]);
  t.match(await line.record(), { state: "completed", fence: 1 });
});

t.test("404 counts only when the time for it has come; then the retry is sent", async (t) => {
  const line = await unknown(() => answered(404));
  const early = await line.ask({ headers: ANN });
  t.equal(early.status, 409);
  t.equal(early.header("idempotency-status"), "outcome-unknown");
  t.equal(early.header("retry-after"), "1");
  t.equal(early.header("x-should-retry"), "true");
  t.equal(posts(line), 1);
  t.match(line.probes, [{ result: "kept", cause: "not-found-yet" }]);
  line.clock.jump(RELEASE_AFTER_MS);
  line.respond(({ request }) => (request.method === "POST" ? answered(201, "new") : answered(404)));
  const late = await line.ask({ headers: ANN });
  t.equal(late.status, 201);
  t.equal(late.header("idempotency-status"), "executed");
  t.equal(posts(line), 2);
  t.same(results(line), ["kept", "not-executed"]);
});

t.test("anything else keeps the outcome unknown, and nothing is sent again", async (t) => {
  const answers: readonly (readonly [ForwardOutcome, string, string])[] = [
    [answered(500), "kept", "status-500"],
    [answered(202, "soon"), "kept", "status-202"],
    [answered(206, "a part"), "kept", "status-206"],
    [answered(301), "kept", "status-301"],
    [answered(401), "kept", "status-401"],
    [answered(410), "kept", "status-410"],
    [LOST, "failed", "UND_ERR_SOCKET"],
    [{ kind: "not-sent", status: 502, cause: "ECONNREFUSED" }, "failed", "ECONNREFUSED"],
    [{ kind: "unknown", reason: "timeout", cause: "deadline-over" }, "failed", "deadline-over"],
  ];
  for (const [answer, result, cause] of answers) {
    const line = await unknown(() => answer);
    line.clock.jump(RELEASE_AFTER_MS);
    const retry = await line.ask({ headers: ANN });
    t.equal(retry.status, 409, cause);
    t.match(line.probes, [{ result, cause }]);
    t.match(await line.record(), { state: "unknown" });
    t.equal(posts(line), 1);
  }
});

t.test("what is over the limit is let go, and the outcome stays unknown", async (t) => {
  let cancelled = 0;
  const stream = {
    cancel: () => void (cancelled += 1),
    [Symbol.asyncIterator]: (): AsyncIterator<Uint8Array> => assert.fail("nobody reads it"),
  };
  const line = await unknown(() => ({ kind: "streaming", status: 200, headers: [], stream }));
  t.equal((await line.ask({ headers: ANN })).status, 409);
  t.equal(cancelled, 1);
  t.match(line.probes, [{ result: "kept", cause: "answer-too-large" }]);
  t.equal(posts(line), 1);
});

t.test("the status lists of the route hold for what a probe is told, too", async (t) => {
  const respond = { release: [], unknown: [203], keepsAnswer: true };
  const kept = await unknown(() => answered(203, "maybe"), probing({}, { respond }));
  t.equal((await kept.ask({ headers: ANN })).status, 409);
  for (const lists of [{ unknown: [404] }, { release: [404] }]) {
    const all = { ...respond, unknown: [], ...lists };
    const listed = await unknown(() => answered(404), probing({}, { respond: all }));
    listed.clock.jump(RELEASE_AFTER_MS);
    t.equal((await listed.ask({ headers: ANN })).status, 409, "a 404 that may mean something else");
    t.match(listed.probes, [{ result: "kept", cause: "status-404" }]);
    t.equal(posts(listed), 1);
  }
  const never = probing({}, { respond: { release: [], unknown: [], keepsAnswer: false } });
  const bare = await unknown(() => answered(200, "secret"), never);
  const retry = await bare.ask({ headers: ANN });
  t.equal(retry.header("idempotency-status"), "not-replayable");
  t.notMatch(retry.text, /secret/u);
  t.equal(posts(bare), 1);
});

t.test("another body under the key is told so, and nobody is asked", async (t) => {
  const line = await unknown(() => answered(200, "paid"));
  const reused = await line.ask({ headers: ANN, body: "other" });
  t.equal(reused.header("idempotency-status"), "key-reused");
  t.equal(gets(line).length, 0);
  t.equal(posts(line), 1);
});

t.test("retries at the same time share one question", async (t) => {
  let answer: (outcome: ForwardOutcome) => void = () => assert.fail("nobody has asked yet");
  const line = await unknown(() => new Promise((resolve) => (answer = resolve)));
  const retries = [1, 2, 3].map(() => line.ask({ headers: ANN }));
  await quiet();
  t.equal(gets(line).length, 1);
  answer(answered(200, "paid"));
  for (const { text } of await Promise.all(retries)) t.equal(text, "paid");
  t.equal(gets(line).length, 1);
  t.equal(posts(line), 1);
});

t.test("a client that hammers is answered from what is known, with the time to wait", async (t) => {
  const line = await unknown(() => answered(500));
  const told: (string | undefined)[] = [];
  for (let n = 0; n < 20; n += 1) {
    told.push((await line.ask({ headers: ANN })).header("retry-after"));
    line.clock.jump(100);
  }
  t.equal(gets(line).length, 2, "at once, and after a second");
  t.same(told.slice(0, 3), ["1", "1", "1"]);
  t.equal(told.at(-1), "2");
  t.equal(posts(line), 1);
});

t.test(
  "without a retry: asked again and again, less and less often, until it is known",
  async (t) => {
    let status = answered(404);
    const line = await unknown(() => status);
    const asked: number[] = [];
    for (let second = 1; second <= 30; second += 1) {
      await line.clock.advance(1000);
      if (gets(line).length > asked.length) asked.push(second);
    }
    t.same(asked, [1, 2, 4, 8, 16]);
    status = answered(200, "paid");
    await line.clock.advance(2000);
    t.match(await line.record(), { state: "completed" });
    t.equal(line.clock.sleeping(), 0, "and nothing is left over");
    t.equal((await line.ask({ headers: ANN })).text, "paid");
    t.same(results(line), ["kept", "kept", "kept", "kept", "kept", "executed"]);
    t.equal(posts(line), 1);
  },
);

t.test(
  "without a retry: a 404 is asked for again when it counts, and the key is free",
  async (t) => {
    const line = await unknown(() => answered(404));
    await line.clock.advance(RELEASE_AFTER_MS + 2000);
    t.equal(await line.record(), undefined);
    t.same(results(line).at(-1), "not-executed");
    t.equal(posts(line), 1);
  },
);

t.test("when its retention is over, nobody is asked any more", async (t) => {
  const retention = { completedMs: 60_000, unknownMs: 20_000 };
  const line = await unknown(() => answered(500), probing({}, { retention }));
  await line.clock.advance(60_000);
  const before = gets(line).length;
  await line.clock.advance(3_600_000);
  t.equal(gets(line).length, before);
  t.equal(line.clock.sleeping(), 0);
});

t.test("a lease that is over counts as a crash: the retry that meets it asks", async (t) => {
  const line = newLine({ policy: probing() });
  const hang = line.hold();
  const first = line.ask({ headers: ANN });
  await line.arrived(1);
  line.clock.jump(LEASE_MS + 1);
  line.respond(({ request }) =>
    request.method === "POST" ? answered(201, "late") : answered(200, "found"),
  );
  const retry = line.ask({ headers: ANN });
  await line.arrived(2);
  hang();
  t.equal((await retry).text, "found");
  t.equal((await first).text, "found", "the owner was too late, and tells what stands there");
  t.equal(posts(line), 1);
});

t.test(
  "overtaken: by an operator, by the owner, by another attempt; nothing is overwritten",
  async (t) => {
    const settle: readonly ((line: Line, id: string, token: string) => Promise<unknown>)[] = [
      ({ store }, id) => store.resolve(id, "executed", 60_000),
      ({ store }, id) => store.resolve(id, "not-executed", 60_000),
      ({ store }, id, token) =>
        store.complete(id, token, { status: 201, headers: [], body: Buffer.from("own") }, 60_000),
      async ({ store }, id) => {
        const before = await store.inspect(id);
        assert(before !== undefined);
        const { fingerprint, method, target, route, claimedBy } = before;
        const times = { leaseMs: 1000, unknownRetentionMs: 100_000 };
        const token = "f".repeat(32);
        const asked = { id, token, fingerprint, method, target, route, claimedBy, ...times };
        await store.claim({ ...asked, onUnknown: "resend" });
        await store.markUnknown(id, token, "timeout", 100_000);
      },
    ];
    for (const [n, act] of settle.entries()) {
      for (const said of [answered(200, "probe"), answered(404)]) {
        let between = async (): Promise<void> => undefined;
        const line = await unknown(async () => {
          await between();
          return said;
        });
        line.clock.jump(RELEASE_AFTER_MS);
        const record = await line.record();
        assert(record !== undefined);
        let after: unknown;
        between = async () => {
          await act(line, record.id, record.token);
          after = await line.store.inspect(record.id);
          between = async () => undefined;
        };
        line.respond(async ({ request }) => {
          if (request.method === "POST") return answered(201, "executed anew");
          await between();
          return said;
        });
        await line.ask({ headers: ANN });
        t.same(results(line), ["overtaken"], `${n}`);
        // Where the operator has freed the key, the retry is the next to have it.
        if (after !== undefined) t.same(await line.store.inspect(record.id), after, `${n}`);
        t.equal(posts(line), after === undefined ? 2 : 1, `${n}`);
      }
    }
  },
);

t.test(
  "a store that fails in between leaves the outcome unknown, and it is asked again",
  async (t) => {
    const line = await unknown(() => answered(200, "paid"));
    line.fail("settleUnknown", "down");
    t.equal((await line.ask({ headers: ANN })).status, 409);
    t.match(line.probes, [{ result: "failed", cause: "STORE_UNAVAILABLE" }]);
    line.fail("settleUnknown", "lost");
    line.clock.jump(1000);
    const unheard = await line.ask({ headers: ANN });
    t.equal(unheard.status, 409, "written, and not heard of");
    line.clock.jump(2000);
    t.equal((await line.ask({ headers: ANN })).text, "paid");
    t.equal(posts(line), 1);
  },
);

t.test("a client's question carries what names the client and nothing else of it", async (t) => {
  const headers = [
    { name: "X-Api-Version", value: "7", from: { value: "7" } },
    { name: "X-Api-Key", value: "of-the-gateway", from: { env: "KEY" } },
  ];
  const line = await unknown(() => answered(500), probing({ as: "caller", headers }));
  await line.clock.advance(600_000);
  t.equal(gets(line).length, 0, "not without a retry");
  t.equal(line.clock.sleeping(), 0);
  await line.ask({ headers: [...ANN, ["Cookie", "session=1"], ["If-None-Match", '"a"']] });
  await line.clock.advance(600_000);
  t.equal(gets(line).length, 1);
  const [asked] = gets(line);
  t.equal(asked?.request.target, "/by-key/key-1");
  t.equal(asked?.request.body.byteLength, 0);
  t.equal(asked?.deadlineMs, 2000);
  t.same(asked?.request.headers, [
    ["Authorization", "Bearer ann"],
    ["X-Api-Version", "7"],
    ["X-Api-Key", "of-the-gateway"],
    ["Accept-Encoding", "identity"],
  ]);
});

t.test(
  "the gateway's question carries nothing of a client; nor does one without scopes",
  async (t) => {
    for (const policy of [probing(), probing({ as: "caller" }, { scopeHeaders: [] })]) {
      const line = await unknown(() => answered(500), policy);
      await line.ask({ headers: ANN });
      await line.clock.advance(10_000);
      t.ok(gets(line).length > 1);
      for (const { request } of gets(line)) {
        t.same(request.headers, [["Accept-Encoding", "identity"]]);
      }
    }
  },
);

t.test("there is a bound to what is known; the oldest is let go, and counted", async (t) => {
  const line = await unknown(() => answered(500), probing(), { mostProbed: 2 });
  await line.ask({ key: "key-2", headers: ANN });
  t.same(line.dropped, []);
  await line.ask({ key: "key-3", headers: ANN });
  t.same(line.dropped, ["charges"]);
  await line.clock.advance(30_000);
  const asked = new Set(gets(line).map(({ request }) => request.target));
  t.same([...asked], ["/by-key/key-2", "/by-key/key-3"]);
});

t.test("what was asked about for retries alone is let go, and no loss to count", async (t) => {
  const line = await unknown(() => answered(500), probing({ as: "caller" }), { mostProbed: 2 });
  for (const key of ["key-2", "key-3", "key-4", "key-5"]) {
    await line.ask({ key, headers: ANN });
    await line.ask({ key, headers: ANN });
  }
  t.equal(gets(line).length, 4);
  t.same(line.dropped, []);
  t.equal(posts(line), 5);
});

t.test("after an outage no more than a few are asked about at once", async (t) => {
  const line = newLine({ policy: probing() });
  const release: (() => void)[] = [];
  line.respond(({ request }) =>
    request.method === "POST"
      ? LOST
      : new Promise((resolve) => release.push(() => resolve(answered(200, "paid")))),
  );
  for (let n = 0; n < 20; n += 1) await line.ask({ key: `key-${n}` });
  await line.clock.advance(2000);
  t.equal(gets(line).length, 8);
  while (release.length > 0) {
    release.shift()?.();
    await quiet();
  }
  t.equal(gets(line).length, 20);
  t.same(new Set(results(line)), new Set(["executed"]));
});

t.test(
  "what is asked later is asked by what holds then, and by nobody once that is nothing",
  async (t) => {
    const clock = new VirtualClock();
    const store = createMemoryStore({ now: () => EPOCH_MS + clock.monotonicMs() });
    const claim = claimOf();
    await store.claim(claim);
    await store.markUnknown(claim.id, claim.token, "reset", RELEASE_AFTER_MS);
    const asked: string[] = [];
    const upstreamOf = (name: string): Upstream => ({
      send: async ({ target }) => {
        asked.push(`${name} ${target}`);
        return answered(500);
      },
    });
    const termsOf = (name: string, policy: Partial<Policy>) => ({
      findRoute: routeFinder([], newPolicy(policy)),
      upstream: upstreamOf(name),
    });
    let terms = termsOf("old", probing());
    const prober = createProber({
      terms: () => terms,
      store,
      clock,
      observer: { probed: () => undefined, probeDropped: () => undefined },
      newToken: () => assert.fail("nothing is settled"),
      chance: () => 1,
      failed: (error) => assert.ifError(error),
    });
    const question = { id: claim.id, key: "k", method: "POST", path: "/v1/charges" };
    prober.watch(question, claim.token);
    await clock.advance(1000);
    terms = termsOf("new", probing({ path: "/new?key={key}" }));
    await clock.advance(1000);
    t.same(asked, ["old /by-key/k", "new /new?key=k"]);
    terms = termsOf("callers", probing({ as: "caller" }));
    await clock.advance(20_000);
    terms = termsOf("blocked", { onUnknown: "block" });
    t.same(await prober.ask(question, claim.token, []), { kind: "settled" });
    t.equal(asked.length, 2, "a caller's question needs a caller, and a blocked outcome none");
    terms = termsOf("again", probing());
    prober.watch(question, claim.token);
    prober.close();
    await clock.advance(20_000);
    t.equal(asked.length, 2, "nor does anybody ask behind a stop");
    t.equal(clock.sleeping(), 0);
  },
);

t.test("pauses grow to five minutes, half of each by chance", (t) => {
  t.same(
    [0, 1, 2, 8, 9, 1000].map((n) => pauseAfter(n, 1)),
    [1000, 2000, 4000, 256_000, 300_000, 300_000],
  );
  t.same([pauseAfter(0, 0), pauseAfter(1000, 0)], [500, 150_000]);
  t.end();
});

t.test("the key stands in the target as one segment, or as one value; or not at all", (t) => {
  const target = (template: string, key: string) => probeTarget(template, key);
  t.equal(target("/by-key/{key}", 'a?b#c%d"e$&'), "/by-key/a%3Fb%23c%25d%22e%24%26");
  t.equal(
    target("/op?key={key}&again={key}", "a/../&b=1"),
    "/op?key=a%2F..%2F%26b%3D1&again=a%2F..%2F%26b%3D1",
  );
  for (const key of ["..", ".", "a/b", "../admin", "a\\b"])
    t.equal(target("/by-key/{key}", key), undefined, key);
  t.equal(target("/a/.{key}", "."), undefined);
  t.equal(target("/a/%2e{key}", "."), undefined);
  t.equal(target("/a/{key}.json", ".."), "/a/...json");
  t.equal(target("/op?key={key}", ".."), "/op?key=..");
  t.end();
});

t.test("the age that a 404 is held against ends where the question began", (t) => {
  const policy = newPolicy();
  const at = (nowMs: number) =>
    verdictOnProbe(answered(404), { sinceMs: 1000 }, nowMs, RELEASE_AFTER_MS, policy);
  t.match(at(1000 + RELEASE_AFTER_MS - 1), { kind: "kept", countsInMs: 1 });
  t.same(at(1000 + RELEASE_AFTER_MS), { kind: "not-executed" });
  // A clock that was set back: an outcome of the future.
  t.match(at(0), { kind: "kept", countsInMs: 1000 + RELEASE_AFTER_MS });
  t.end();
});
