/** The quota on live records in the line: what it asks of the store and when, and a store that fails just then. */
import t from "tap";
import { answered, newLine, RESOLVED_MS } from "../support/flow.ts";
import type { Told } from "../support/flow.ts";

const word = (told: Told): string | undefined => told.header("Idempotency-Status");

t.test("nobody counts where no quota is configured", async (t) => {
  const line = newLine();
  t.equal(word(await line.ask()), "executed");
  t.equal(word(await line.ask()), "replayed");
  t.equal(line.asked("enterRoll") + line.asked("strikeRoll"), 0);
  t.equal(line.calls(), 1);
});

t.test("one call for a new key and one for a retry, before the claim", async (t) => {
  const line = newLine({ liveRecords: 5 });
  t.equal(word(await line.ask()), "executed");
  t.same(
    line.events.filter((event) => event.startsWith("store.")),
    ["store.enterRoll", "store.claim", "store.complete"],
  );
  t.equal(word(await line.ask()), "replayed");
  t.same([line.asked("enterRoll"), line.asked("strikeRoll")], [2, 0]);
  t.equal(line.calls(), 1);
});

t.test("a store that does not count answers like one that does not claim", async (t) => {
  for (const [fault, status, outcome] of [
    ["down", 503, "store-unavailable"],
    ["full", 503, "store-unavailable"],
    ["lost", 503, "store-unavailable"],
    ["corrupt", 502, "record-corrupt"],
  ] as const) {
    const line = newLine({ liveRecords: 5 });
    line.fail("enterRoll", fault);
    const told = await line.ask();
    t.same([told.status, told.report.outcome], [status, outcome], fault);
    t.same([line.asked("claim"), line.calls()], [0, 0], "neither claimed nor sent");
    t.equal(word(await line.ask()), "executed");
  }
});

t.test("a store without room refuses what is new and tells what it has", async (t) => {
  const line = newLine({ liveRecords: 1 });
  await line.ask({ key: "a" });
  line.fail("enterRoll", "full", "full");
  t.equal(word(await line.ask({ key: "a" })), "replayed");
  t.equal(word(await line.ask({ key: "b" })), "store-unavailable");
  t.same([line.asked("claim"), line.calls()], [2, 1]);
});

t.test("bypass sends as it does without a store, and nothing is claimed", async (t) => {
  const line = newLine({ liveRecords: 1, policy: { onStoreError: "bypass" } });
  line.fail("enterRoll", "down");
  t.equal(word(await line.ask()), "bypassed");
  t.same([line.asked("claim"), line.calls()], [0, 1]);
});

t.test("over the quota: refused before the claim, and not known is looked up once", async (t) => {
  const line = newLine({ liveRecords: 1 });
  await line.ask({ key: "a" });
  const told = await line.ask({ key: "b" });
  t.same([told.status, word(told)], [429, "quota-exceeded"]);
  t.equal(told.report.cause, "live-records");
  t.same([line.asked("claim"), line.asked("inspect"), line.calls()], [1, 1, 1]);
  line.fail("inspect", "down");
  t.equal(word(await line.ask({ key: "b" })), "store-unavailable");
  t.equal(line.calls(), 1);
});

t.test("a key that is free again gives its place back at once, and takes it again", async (t) => {
  const line = newLine({ liveRecords: 1 });
  line.respond(() => answered(503));
  t.equal(word(await line.ask({ key: "a" })), "released");
  line.respond(() => answered(201));
  t.equal(word(await line.ask({ key: "b" })), "executed", "a has no record");
  t.equal(word(await line.ask({ key: "a" })), "quota-exceeded");
  t.equal(line.calls(), 2);
});

t.test("the entry of a released key was not taken off: its retry takes it over", async (t) => {
  const line = newLine({ liveRecords: 1 });
  line.fail("strikeRoll", "down");
  line.respond(() => answered(503));
  t.equal(word(await line.ask({ key: "a" })), "released");
  line.respond(() => answered(201));
  t.equal(word(await line.ask({ key: "a" })), "executed");
  t.equal(line.asked("enterRoll"), 3, "before the claim and, listed already, behind it");
  t.equal(word(await line.ask({ key: "b" })), "quota-exceeded");
  t.equal(line.calls(), 2);
});

t.test("behind the claim the store does not count: given back, and nothing is sent", async (t) => {
  const line = newLine({ liveRecords: 1 });
  line.fail("strikeRoll", "down");
  line.respond(() => answered(503));
  await line.ask({ key: "a" });
  line.fail("enterRoll", "works", "down");
  const told = await line.ask({ key: "a" });
  t.same([told.status, word(told)], [503, "store-unavailable"]);
  t.equal(await line.record(), undefined, "the claim is given back");
  t.equal(line.calls(), 1);
});

t.test("behind the claim the roll is full: given back, refused, and nothing is sent", async (t) => {
  const line = newLine({ liveRecords: 1 });
  line.fail("strikeRoll", "down");
  line.respond(() => answered(503));
  t.equal(word(await line.ask({ key: "a" })), "released");
  line.respond(() => answered(201));
  await line.clock.advance(1001);
  // The one finds its entry, the other finds that it has no record, and both claim.
  const told = await Promise.all([line.ask({ key: "a" }), line.ask({ key: "b" })]);
  t.same(told.map(word), ["quota-exceeded", "executed"]);
  t.equal(line.asked("claim"), 3);
  t.equal(line.calls(), 2);
  const [record] = (await line.store.list({ limit: 10 })).records;
  t.equal(record?.id, told[1]?.report.recordId, "the other's claim is given back");
});

t.test("an unknown record that is taken over needs no place of its own", async (t) => {
  const line = newLine({ liveRecords: 1, policy: { onUnknown: "resend" } });
  line.respond(() => ({ kind: "unknown", reason: "reset", cause: "ECONNRESET" }));
  t.equal(word(await line.ask({ key: "a" })), "outcome-unknown");
  t.equal(word(await line.ask({ key: "b" })), "quota-exceeded", "unknown counts");
  line.respond(() => answered(201));
  t.equal(word(await line.ask({ key: "a" })), "executed");
  t.equal(word(await line.ask({ key: "a" })), "replayed");
  t.equal(word(await line.ask({ key: "b" })), "quota-exceeded");
  t.equal(line.calls(), 2);
});

t.test("a place is free again when its record is over, and only then", async (t) => {
  const line = newLine({
    liveRecords: 1,
    policy: { retention: { completedMs: 60_000, unknownMs: 90_000 } },
  });
  await line.ask({ key: "a" });
  await line.clock.advance(30_500);
  const told = await line.ask({ key: "b" });
  t.same([word(told), told.header("Retry-After")], ["quota-exceeded", "30"]);
  await line.clock.advance(29_400);
  t.equal(word(await line.ask({ key: "b" })), "quota-exceeded");
  await line.clock.advance(100);
  t.equal(word(await line.ask({ key: "b" })), "executed");
  t.equal(word(await line.ask({ key: "a" })), "quota-exceeded", "its record is over");
  t.equal(line.calls(), 2);
});

t.test("what an operator says was executed counts for as long as its record is kept", async (t) => {
  const line = newLine({ liveRecords: 1 });
  line.respond(() => ({ kind: "unknown", reason: "reset", cause: "UND_ERR_SOCKET" }));
  const id = (await line.ask({ key: "a" })).header("Idempotency-Record") ?? "";
  t.equal(await line.store.resolve(id, "executed", RESOLVED_MS), "done");
  line.clock.jump(RESOLVED_MS - 1);
  t.equal(word(await line.ask({ key: "b" })), "quota-exceeded");
  line.clock.jump(1);
  t.equal(word(await line.ask({ key: "b" })), "outcome-unknown");
  t.equal(line.calls(), 2);
});
