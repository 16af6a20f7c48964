/** The store in trouble: nothing is sent unclaimed, and what was executed is told and recorded as soon as can be. */
import t from "tap";
import { answered, LATE_CLAIM_MS, LEASE_MS, newLine } from "../support/flow.ts";
import { LATE_MS } from "../support/faulty-store.ts";
import type { Line } from "../support/flow.ts";

t.test("unreachable before the claim: 503, Retry-After 1, and nothing is sent", async (t) => {
  const line = newLine();
  line.fail("claim", "down", "down");
  const told = await line.ask();
  t.equal(told.status, 503);
  t.equal(told.header("Retry-After"), "1");
  t.equal(told.header("Idempotency-Status"), "store-unavailable");
  t.equal(told.header("x-should-retry"), "true");
  t.match(told.problem(), { code: "store-unavailable" });
  t.equal(line.asked("claim"), 2, "asked once again");
  t.equal(line.calls(), 0);
  await line.clock.advance(1000);
  t.equal((await line.ask()).status, 201);
  t.equal(line.calls(), 1);
  t.same(line.lost, [], "a claim that never arrived is no lost write");
});

t.test("a full store refuses a new key the same way", async (t) => {
  const line = newLine();
  line.fail("claim", "full", "full");
  t.equal((await line.ask()).status, 503);
  t.equal(line.calls(), 0);
});

t.test(
  "the claim's reply was lost: asked once again with the same token, then it executes once",
  async (t) => {
    const line = newLine();
    line.fail("claim", "lost");
    const told = await line.ask();
    t.same([told.status, told.report.fence], [201, 1]);
    t.equal(line.asked("claim"), 2);
    t.equal((await line.ask()).report.outcome, "replayed");
    t.equal(line.calls(), 1);
  },
);

t.test(
  "both replies were lost: 503, nothing is sent, and the claim is given back in the background",
  async (t) => {
    const line = newLine();
    line.fail("claim", "lost", "lost");
    line.fail("release", "down", "down");
    t.equal((await line.ask()).status, 503);
    t.match(await line.record(), { state: "in-flight" });
    t.equal((await line.ask()).status, 409, "until then it is somebody's");
    await line.clock.advance(50 + 100 + 200);
    t.equal(await line.record(), undefined);
    t.equal(line.asked("release"), 3);
    t.equal((await line.ask()).status, 201);
    t.equal(line.calls(), 1);
  },
);

t.test(
  "a claim asked for twice and released: the first call, executed only now, does not keep the key",
  async (t) => {
    const line = newLine();
    line.fail("claim", "late");
    line.respond(() => ({ kind: "not-sent", status: 502, cause: "ECONNREFUSED" }));
    t.equal((await line.ask()).status, 502);
    t.equal(await line.record(), undefined, "released");
    await line.clock.advance(LATE_MS);
    t.match(await line.record(), { state: "in-flight" }, "the store has executed the first call");
    await line.clock.advance(LATE_CLAIM_MS + 1000);
    t.equal(await line.record(), undefined, "given back again");
    line.respond(() => answered(201, "made"));
    t.equal((await line.ask()).status, 201);
    t.equal(line.calls(), 2, "of which the first was never sent");
    t.same(line.lost, []);
  },
);

t.test(
  "onStoreError bypass: sent without a fence, told as bypassed, recorded nowhere",
  async (t) => {
    const line = newLine({ policy: { onStoreError: "bypass" } });
    line.fail("claim", "down", "down");
    const told = await line.ask();
    t.same([told.status, told.text], [201, "execution 1"]);
    t.equal(told.header("Idempotency-Status"), "bypassed");
    t.equal(told.header("Idempotency-Expires"), undefined);
    t.equal(line.sent[0]?.header("Idempotency-Fence"), undefined);
    t.equal(line.sent[0]?.header("Idempotency-Key"), "key-1");
    t.equal(await line.record(), undefined);
    t.equal((await line.ask()).text, "execution 2", "which is what bypass accepts");
  },
);

t.test("bypass is for a store that is away, not for a record that cannot be trusted", async (t) => {
  const line = newLine({ policy: { onStoreError: "bypass" } });
  line.fail("claim", "corrupt");
  t.equal((await line.ask()).status, 502);
  t.equal(line.calls(), 0);
});

t.test(
  "a duplicate known to be in flight is not sent by bypass when the store goes away meanwhile",
  async (t) => {
    for (const broken of ["watch", "claim"] as const) {
      const line = newLine({ policy: { onStoreError: "bypass", onInFlight: "wait" } });
      const release = line.hold();
      const first = line.ask();
      await line.arrived(1);
      const second = line.ask();
      await line.clock.advance(0);
      line.fail(broken, "down", "down");
      const third = await (broken === "watch" ? line.ask() : wokenInto(line, second));
      t.equal(third.report.outcome, "in-flight", broken);
      t.equal(third.header("x-should-retry"), "true");
      release();
      await first;
      await second;
      t.equal(line.calls(), 1);
    }
  },
);

/** Wakes the waiter by the end of the lease, when it asks the store again. */
async function wokenInto<Told>(line: Line, waiter: Promise<Told>): Promise<Told> {
  await line.clock.advance(LEASE_MS);
  return waiter;
}

t.test(
  "store unreachable at complete: the true answer now, the record as soon as the store is back",
  async (t) => {
    const line = newLine();
    line.fail("complete", "down", "down", "down");
    const first = await line.ask();
    t.same([first.status, first.text], [201, "execution 1"]);
    t.equal(first.header("Idempotency-Status"), "not-recorded");
    t.equal(first.header("Idempotency-Expires"), undefined);
    t.equal((await line.ask()).report.outcome, "in-flight");
    await line.clock.advance(50 + 100 + 200);
    t.equal(line.asked("complete"), 4);
    const retry = await line.ask();
    t.same([retry.text, retry.report.outcome], ["execution 1", "replayed"]);
    t.equal(line.clock.sleeping(), 0, "nobody goes on trying");
    t.equal(line.calls(), 1);
  },
);

t.test("complete's reply was lost: it is asked again, and the first answer stays", async (t) => {
  const line = newLine();
  line.fail("complete", "lost");
  t.equal((await line.ask()).header("Idempotency-Status"), "not-recorded");
  t.equal((await line.ask()).text, "execution 1", "it was recorded all the same");
  await line.clock.advance(50);
  t.same(line.lost, []);
  t.equal((await line.ask()).text, "execution 1");
  t.equal(line.calls(), 1);
});

t.test(
  "a store that stays away until the lease is over leaves an unknown outcome, never a second call",
  async (t) => {
    const line = newLine();
    line.fail("complete", ...Array.from({ length: 100 }, () => "down" as const));
    await line.ask();
    await line.clock.advance(LEASE_MS);
    t.equal(line.clock.sleeping(), 0);
    t.same(line.lost, ["complete"]);
    const retry = await line.ask();
    t.match(retry.problem(), { code: "outcome-unknown" });
    t.equal(line.calls(), 1);
  },
);

t.test(
  "store full at complete: the caller gets the answer, retries learn that it was not kept",
  async (t) => {
    const line = newLine();
    line.fail("complete", "full");
    const first = await line.ask();
    t.same([first.text, first.report.outcome], ["execution 1", "executed"]);
    const retry = await line.ask();
    t.match(retry.problem(), { status: 409, code: "not-replayable", original: { status: 201 } });
    t.equal(line.calls(), 1);
  },
);

t.test("full and then away: what is left to record is recorded in the background", async (t) => {
  const line = newLine();
  line.fail("complete", "full", "down", "full");
  t.equal((await line.ask()).report.outcome, "not-recorded");
  await line.clock.advance(50);
  t.match((await line.ask()).problem(), { code: "not-replayable" });
  t.equal(line.calls(), 1);
});

t.test(
  "unreachable when the outcome is unknown or released: told at once, written in the background",
  async (t) => {
    const unknown = newLine();
    unknown.respond(() => ({ kind: "unknown", reason: "timeout", cause: "deadline-over" }));
    unknown.fail("markUnknown", "down", "lost");
    t.equal((await unknown.ask()).status, 504);
    t.match(await unknown.record(), { state: "in-flight" });
    await unknown.clock.advance(150);
    t.match(await unknown.record(), { state: "unknown", reason: "timeout" });
    t.equal(unknown.calls(), 1);

    const released = newLine();
    released.respond((_, n) => answered(n === 1 ? 503 : 201));
    released.fail("release", "down");
    t.equal((await released.ask()).header("Idempotency-Status"), "released");
    await released.clock.advance(50);
    t.equal((await released.ask()).status, 201);
    t.equal(released.calls(), 2);
  },
);

t.test(
  "a corrupt record is an alarm: 502, nothing is sent, nothing is replayed, and it stays so",
  async (t) => {
    const line = newLine();
    await line.ask();
    line.fail("claim", "corrupt", "corrupt");
    for (const _ of [1, 2]) {
      const told = await line.ask();
      t.equal(told.status, 502);
      t.equal(told.header("Idempotency-Status"), "record-corrupt");
      t.notMatch(told.text, /execution/);
      t.match(told.problem(), { instance: /^urn:idempotency-gateway:record:[0-9a-f]{64}$/ });
    }
    t.equal(line.calls(), 1);
  },
);

t.test(
  "corrupt when it comes to write: the caller has its answer, and the write counts as lost",
  async (t) => {
    const line = newLine();
    line.fail("complete", "corrupt");
    t.equal((await line.ask()).report.outcome, "not-recorded");
    const unknown = newLine();
    unknown.respond(() => ({ kind: "unknown", reason: "reset", cause: "ECONNRESET" }));
    unknown.fail("markUnknown", "corrupt");
    t.equal((await unknown.ask()).status, 502);
    t.same(unknown.lost, ["mark-unknown"]);
    t.same([line.calls(), unknown.calls()], [1, 1]);
  },
);

t.test("complete lost its record: the caller is told what the record says now", async (t) => {
  const overtaken = async (
    line: Line,
  ): Promise<{ first: () => Promise<string>; release: () => void }> => {
    const release = line.hold();
    const first = line.ask({ method: "PUT" });
    await line.arrived(1);
    await line.clock.advance(LEASE_MS);
    return {
      release,
      first: async () => {
        const told = await first;
        t.same(line.lost, ["complete"]);
        return `${told.report.outcome} ${told.status} ${told.text.slice(0, 11)}`;
      },
    };
  };

  const completed = newLine();
  const one = await overtaken(completed);
  completed.respond(() => answered(200, "second"));
  const second = completed.ask({ method: "PUT" });
  await completed.arrived(2);
  one.release();
  t.match(await second, { text: "second" });
  t.equal(await one.first(), "replayed 200 second");
  t.equal(completed.calls(), 2);
});
