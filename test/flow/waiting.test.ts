/** Duplicates that wait for the first request: one call, one answer for all, and nobody executes for a client that left. */
import t from "tap";
import { answered, LEASE_MS, newLine } from "../support/flow.ts";
import type { Ask, Line, Told } from "../support/flow.ts";
import { quiet } from "../support/virtual-clock.ts";

const WAIT = { onInFlight: "wait" } as const;

/** A first request at the upstream, and `count` duplicates that wait for it. */
async function crowd(line: Line, count: number, ask: Ask = {}) {
  const release = line.hold();
  const first = line.ask(ask);
  await line.arrived(line.calls() + 1);
  const waiters = Array.from({ length: count }, () => line.ask(ask));
  await quiet();
  return { release, first, waiters };
}

const outcomes = (told: readonly Told[]): string[] =>
  told.map(({ report }) => report.outcome).toSorted();

t.test("20 waiters get the first one's answer by one call, woken and not by polling", async (t) => {
  const line = newLine({ policy: WAIT });
  const { release, first, waiters } = await crowd(line, 20);
  t.equal(line.clock.sleeping(), 20, "all of them wait");
  const asked = line.asked("claim");
  t.equal(asked, 1 + 2 * 20, "each asked before and after it watched");
  release();
  const told = await Promise.all([first, ...waiters]);
  t.equal(line.clock.monotonicMs(), 0, "no time has passed");
  t.equal(line.asked("claim"), asked + 20, "each asked once more when it was woken");
  t.same(
    new Set(told.map(({ status, text }) => `${status} ${text}`)),
    new Set(["201 execution 1"]),
  );
  t.same(outcomes(told), ["executed", ...Array.from({ length: 20 }, () => "replayed")]);
  t.equal(line.clock.sleeping(), 0);
  t.equal(line.calls(), 1);
});

t.test("a reuse with another body does not wait", async (t) => {
  const line = newLine({ policy: WAIT });
  const { release, first } = await crowd(line, 0);
  t.equal((await line.ask({ body: "{}" })).report.outcome, "key-reused");
  release();
  await first;
  t.equal(line.calls(), 1);
});

t.test(
  "the first was not processed: exactly one waiter executes, the others get its answer",
  async (t) => {
    const line = newLine({ policy: WAIT });
    line.respond((_, n) => (n === 1 ? answered(503, "busy") : answered(201, `made ${n}`)));
    const { release, first, waiters } = await crowd(line, 5);
    release();
    t.equal((await first).status, 503);
    const told = await Promise.all(waiters);
    t.same(new Set(told.map(({ text }) => text)), new Set(["made 2"]));
    t.same(outcomes(told), ["executed", "replayed", "replayed", "replayed", "replayed"]);
    t.equal(line.calls(), 2);
  },
);

t.test(
  "the first one's outcome is unknown: waiting POSTs are told, one waiting PUT is sent again",
  async (t) => {
    const post = newLine({ policy: WAIT });
    post.respond(() => ({ kind: "unknown", reason: "reset", cause: "ECONNRESET" }));
    const posts = await crowd(post, 3);
    posts.release();
    t.equal((await posts.first).status, 502);
    for (const told of await Promise.all(posts.waiters)) t.equal(told.status, 409);
    t.equal(post.calls(), 1);

    const put = newLine({ policy: WAIT });
    put.respond((_, n) =>
      n === 1 ? { kind: "unknown", reason: "reset", cause: "ECONNRESET" } : answered(200, "made"),
    );
    const puts = await crowd(put, 3, { method: "PUT" });
    puts.release();
    await puts.first;
    t.same(outcomes(await Promise.all(puts.waiters)), ["executed", "replayed", "replayed"]);
    t.same(put.sent.map((sent) => sent.header("Idempotency-Fence")), ["1", "2"]); // prettier-ignore
  },
);

t.test("after waitTimeout a waiter is told in-flight, with Retry-After", async (t) => {
  const line = newLine({ policy: { ...WAIT, waitTimeoutMs: 10_000 } });
  const { release, first, waiters } = await crowd(line, 2);
  await line.clock.advance(9999);
  t.equal(line.clock.sleeping(), 2);
  await line.clock.advance(1);
  for (const told of await Promise.all(waiters)) {
    t.equal(told.status, 409);
    t.equal(told.header("Idempotency-Status"), "in-flight");
    t.ok(Number(told.header("Retry-After")) >= 1);
  }
  release();
  t.equal((await first).status, 201);
  t.equal(line.calls(), 1);
});

t.test(
  "the owner died: a waiter learns it at the end of the lease, not at its own timeout",
  async (t) => {
    const line = newLine({ policy: { ...WAIT, waitTimeoutMs: 10 * LEASE_MS } });
    line.hold();
    void line.ask();
    await line.arrived(1);
    const waiter = line.ask();
    await line.clock.advance(LEASE_MS);
    t.match((await waiter).problem(), { code: "outcome-unknown" });
    t.equal(line.clock.monotonicMs(), LEASE_MS);
    t.equal(line.calls(), 1);
  },
);

t.test("a waiter whose client left stops waiting and never executes", async (t) => {
  const line = newLine({ policy: WAIT });
  line.respond((_, n) => (n === 1 ? answered(503) : answered(201)));
  const { release, first } = await crowd(line, 0);
  const leaving = new AbortController();
  const waiter = line.ask({ gone: leaving.signal });
  await quiet();
  t.equal(line.clock.sleeping(), 1);
  leaving.abort();
  t.equal((await waiter).report.outcome, "in-flight");
  t.equal(line.clock.sleeping(), 0);
  release();
  await first;
  await quiet();
  t.equal(line.calls(), 1, "the key is free, and nobody took it for a client that is gone");
});

t.test("a client that leaves while the upstream works changes nothing", async (t) => {
  const line = newLine();
  const leaving = new AbortController();
  const release = line.hold();
  const first = line.ask({ gone: leaving.signal });
  await line.arrived(1);
  leaving.abort();
  release();
  t.equal((await first).report.outcome, "executed");
  t.equal((await line.ask()).text, "execution 1");
  t.equal(line.calls(), 1);
});

t.test("a key's lock that is just being given back is waited for, another's is not", async (t) => {
  let busyMs = 40;
  const line = newLine({
    keyLocks: {
      tryLock: () => {
        const endsMs = line.clock.monotonicMs() + LEASE_MS;
        const lock = { endsMs, release: () => undefined };
        const held = line.clock.monotonicMs() >= busyMs;
        return Promise.resolve(held ? { kind: "held", lock } : { kind: "busy" });
      },
    },
  });
  const soon = line.ask();
  await line.clock.advance(busyMs + 100);
  t.equal((await soon).report.outcome, "executed");
  busyMs = Infinity;
  const never = line.ask({ key: "key-2" });
  await line.clock.advance(200);
  t.equal((await never).report.outcome, "in-flight");
  t.equal(line.calls(), 1);
});
