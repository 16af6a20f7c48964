/** The upstream in trouble: what is sent again, what never is, and what each caller is told. */
import t from "tap";
import type { ForwardOutcome } from "../../src/core/ports.ts";
import type { UnknownReason } from "../../src/core/record.ts";
import { answered, LEASE_MS, newLine } from "../support/flow.ts";
import { quiet } from "../support/virtual-clock.ts";
import { bodyStream } from "../support/stream.ts";

const notSent = (status: 502 | 504): ForwardOutcome => ({
  kind: "not-sent",
  status,
  cause: "ECONNREFUSED",
});
const unknown = (reason: UnknownReason): ForwardOutcome => ({
  kind: "unknown",
  reason,
  cause: "ECONNRESET",
});

t.test("nothing was sent: the key is released and the retry executes", async (t) => {
  for (const status of [502, 504] as const) {
    const line = newLine();
    line.respond((_, n) => (n === 1 ? notSent(status) : answered(201, "made")));
    const first = await line.ask();
    t.equal(first.status, status);
    t.equal(first.header("Idempotency-Status"), "upstream-unreachable");
    t.equal(first.header("Retry-After"), "1");
    t.equal(first.header("x-should-retry"), "true");
    t.match(first.problem(), { code: "upstream-unreachable", status });
    t.equal(first.report.cause, "ECONNREFUSED");
    t.equal(await line.record(), undefined);
    const retry = await line.ask();
    t.same([retry.status, retry.report.outcome, retry.report.fence], [201, "executed", 1]);
    t.equal((await line.ask()).report.outcome, "replayed");
    t.equal(line.calls(), 2);
  }
});

t.test("a route's own status for an unreachable upstream is told", async (t) => {
  const line = newLine({ policy: { status: { "upstream-unreachable": 503 } } });
  line.respond(() => notSent(504));
  const told = await line.ask();
  t.equal(told.status, 503);
  t.match(told.problem(), { status: 503 });
});

t.test(
  "POST with an unknown outcome: 502 or 504 once, then 409, and it is never sent again",
  async (t) => {
    const rows = [
      ["reset", 502],
      ["truncated", 502],
      ["timeout", 504],
    ] as const;
    for (const [reason, status] of rows) {
      for (const method of ["POST", "PATCH"]) {
        const line = newLine();
        line.respond(() => unknown(reason));
        const first = await line.ask({ method });
        t.equal(first.status, status, reason);
        t.equal(first.header("Idempotency-Status"), "outcome-unknown");
        t.equal(first.header("x-should-retry"), "false");
        t.match(await line.record(), { state: "unknown", reason, fence: 1 });
        t.same(line.unknowns, [`charges ${reason}`]);
        const retry = await line.ask({ method });
        t.equal(retry.status, 409);
        t.match(retry.problem(), { code: "outcome-unknown" });
        t.equal(retry.header("x-should-retry"), "false");
        t.equal(retry.header("Retry-After"), undefined);
        t.equal((await line.ask({ method, body: "{}" })).report.outcome, "key-reused");
        t.equal(line.calls(), 1);
      }
    }
  },
);

t.test("PUT and DELETE with an unknown outcome are sent again with the next fence", async (t) => {
  for (const method of ["PUT", "DELETE"]) {
    const line = newLine();
    line.respond((_, n) => (n < 3 ? unknown("reset") : answered(200, "made")));
    t.equal((await line.ask({ method })).status, 502);
    t.equal((await line.ask({ method })).status, 502);
    const third = await line.ask({ method });
    t.same([third.status, third.report.fence], [200, 3]);
    t.same(line.sent.map((sent) => sent.header("Idempotency-Fence")), ["1", "2", "3"]); // prettier-ignore
    t.equal((await line.ask({ method })).report.outcome, "replayed");
    t.equal((await line.ask({ method, body: "{}" })).report.outcome, "key-reused");
    t.equal(line.calls(), 3);
  }
});

t.test("onUnknown of the route is stronger than the method", async (t) => {
  const resend = newLine({ policy: { onUnknown: "resend" } });
  resend.respond((_, n) => (n === 1 ? unknown("timeout") : answered(200)));
  await resend.ask();
  t.equal((await resend.ask()).status, 200);
  t.equal(resend.calls(), 2);
  const block = newLine({ policy: { onUnknown: "block" } });
  block.respond(() => unknown("timeout"));
  await block.ask({ method: "PUT" });
  t.equal((await block.ask({ method: "PUT" })).status, 409);
  t.equal(block.calls(), 1);
});

t.test("a resend that could not be sent keeps the key and its fence", async (t) => {
  const line = newLine();
  const outcomes = [unknown("reset"), notSent(502), answered(503), answered(200, "made")];
  line.respond((_, n) => outcomes[n - 1] ?? answered(500));
  for (const status of [502, 502, 503]) {
    t.equal((await line.ask({ method: "PUT" })).status, status);
    t.equal((await line.ask({ method: "PUT", body: "{}" })).report.outcome, "key-reused");
  }
  t.equal((await line.ask({ method: "PUT" })).text, "made");
  t.same(line.sent.map((sent) => sent.header("Idempotency-Fence")), ["1", "2", "3", "4"]); // prettier-ignore
});

t.test("statuses that say not processed go to the caller and release the key", async (t) => {
  for (const status of [401, 407, 408, 421, 425, 429, 503]) {
    const line = newLine();
    line.respond((_, n) => (n === 1 ? answered(status, "later") : answered(201, "made")));
    const first = await line.ask();
    t.same([first.status, first.text], [status, "later"]);
    t.equal(first.header("Idempotency-Status"), "released");
    t.equal(first.header("Idempotency-Expires"), undefined);
    t.equal((await line.ask()).text, "made");
    t.equal(line.calls(), 2);
  }
});

t.test(
  "an upstream's own 502 and 504 are told as they are, and leave the outcome unknown",
  async (t) => {
    for (const [status, reason] of [
      [502, "reset"],
      [504, "timeout"],
    ] as const) {
      // prettier-ignore
      const line = newLine();
      line.respond(() =>
        answered(status, "bad gateway", [
          ["X-Via", "inner"],
          ["X-Should-Retry", "true"],
        ]),
      );
      const first = await line.ask();
      t.same([first.status, first.text, first.header("X-Via")], [status, "bad gateway", "inner"]);
      t.equal(first.header("Idempotency-Status"), "outcome-unknown");
      const advice = first.headers.filter(([name]) => name.toLowerCase() === "x-should-retry");
      t.same(advice, [["x-should-retry", "false"]], "the gateway's own, not the upstream's");
      t.match(await line.record(), { state: "unknown", reason });
      t.equal((await line.ask()).status, 409);
      t.equal(line.calls(), 1);
    }
  },
);

t.test("errors of the upstream itself are answers like any other", async (t) => {
  for (const status of [400, 404, 409, 422, 500]) {
    const line = newLine();
    line.respond(() => answered(status, "no"));
    await line.ask();
    const retry = await line.ask();
    t.same([retry.status, retry.text, retry.report.outcome], [status, "no", "replayed"]);
    t.equal(line.calls(), 1);
  }
});

function streaming(log: string[], status = 200): ForwardOutcome {
  async function* body() {
    log.push("first chunk");
    yield Buffer.from("one,");
    yield Buffer.from("two");
  }
  const stream = bodyStream(body(), () => void log.push("cancelled"));
  return { kind: "streaming", status, headers: [["Location", "/7"]], stream };
}

t.test(
  "a streamed answer is recorded as executed before its first byte is told; retries get no second one",
  async (t) => {
    const line = newLine();
    const log: string[] = [];
    line.respond(() => {
      log.push(`recorded: ${line.asked("complete")}`);
      return streaming(line.events as string[]);
    });
    const first = await line.ask();
    t.same([first.status, first.text], [200, "one,two"]);
    t.equal(first.header("Idempotency-Status"), "executed");
    t.ok(line.events.indexOf("store.complete") < line.events.indexOf("first chunk"));
    const retry = await line.ask();
    t.equal(retry.status, 409);
    t.match(retry.problem(), { code: "not-replayable", original: { status: 200, location: "/7" } });
    t.equal(retry.header("x-should-retry"), "false");
    t.ok(retry.header("Idempotency-Expires"));
    t.equal(line.calls(), 1);
  },
);

t.test("a streamed answer that says not processed releases the key all the same", async (t) => {
  const line = newLine();
  line.respond((_, n) => (n === 1 ? streaming([], 503) : answered(201)));
  const first = await line.ask();
  t.same([first.status, first.text], [503, "one,two"]);
  t.equal((await line.ask()).status, 201);
});

t.test(
  "a streamed answer that lost its record is let go, and the record's answer is told",
  async (t) => {
    const line = newLine();
    const log: string[] = [];
    const release = line.hold();
    line.respond((_, n) => (n === 1 ? streaming(log) : answered(200, "second")));
    const first = line.ask({ method: "PUT" });
    await line.arrived(1);
    await line.clock.advance(LEASE_MS);
    release();
    const firstTold = await overtaken(line, first);
    t.same([firstTold.text, firstTold.report.outcome], ["second", "replayed"]);
    t.equal(firstTold.report.recorded, false, "what was told is another attempt's");
    t.same(log, ["cancelled"]);
  },
);

/** Another PUT takes the record over while the first one's answer waits for the store. */
async function overtaken<Told>(line: ReturnType<typeof newLine>, first: Promise<Told>) {
  const second = await line.ask({ method: "PUT" });
  if (second.text !== "second") throw new Error(`the second got ${second.text}`);
  return first;
}

t.test(
  "a lease that is over before sending: nothing is sent and the key is given back",
  async (t) => {
    const line = newLine();
    const asking = line.ask();
    while (line.asked("claim") === 0) await new Promise(setImmediate);
    line.clock.jump(LEASE_MS - 400);
    const told = await asking;
    t.equal(told.status, 504);
    t.match(told.report, { outcome: "upstream-unreachable", cause: "lease-over" });
    t.equal(line.calls(), 0);
    t.equal(await line.record(), undefined);
    t.equal((await line.ask()).status, 201);
    t.equal(line.calls(), 1);
  },
);

t.test("the call is bounded by what is left of the lease", async (t) => {
  const line = newLine();
  await line.ask();
  t.equal(line.sent[0]?.deadlineMs, 30_000);
  const asking = line.ask({ key: "key-2" });
  while (line.asked("claim") < 2) await new Promise(setImmediate);
  line.clock.jump(15_000);
  await asking;
  t.equal(line.sent[1]?.deadlineMs, LEASE_MS - 15_000 - 500);
});

t.test("an owner that was paused past its lease may still tell what happened", async (t) => {
  const line = newLine();
  const release = line.hold();
  line.respond(() => answered(201, "made"));
  const first = line.ask();
  await line.arrived(1);
  await line.clock.advance(LEASE_MS);
  t.equal((await line.ask()).report.outcome, "outcome-unknown");
  release();
  t.equal((await first).report.outcome, "executed");
  t.equal((await line.ask()).text, "made");
  t.equal(line.calls(), 1);
  await quiet();
});
