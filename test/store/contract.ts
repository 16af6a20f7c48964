/**
 * What every store answers in every state, as one suite. It knows no store: `makeStore` brings one, and `pass` lets its
 * clock run (a fake clock is moved; a real one is waited for by asking it).
 */
import assert from "node:assert/strict";
import type { Test } from "tap";
import { cells } from "./contract-cells.ts";
import { rolls } from "./contract-roll.ts";
import { fidelity, listing, operators, probes, waiting } from "./contract-reading.ts";
import type { MakeStore } from "./contract-values.ts";
import { answerOf, claimOf, DAY_MS, hex, OTHER } from "./contract-values.ts";

export function storeContract(t: Test, makeStore: MakeStore): void {
  t.test("claims", (t) => claims(t, makeStore));
  t.test("writes by the owner", (t) => ownerWrites(t, makeStore));
  t.test("leases and retention", (t) => time(t, makeStore));
  t.test("operators", (t) => operators(t, makeStore));
  t.test("probes", (t) => probes(t, makeStore));
  t.test("listing", (t) => listing(t, makeStore));
  t.test("fidelity", (t) => fidelity(t, makeStore));
  t.test("waiting", (t) => waiting(t, makeStore));
  t.test("cells", (t) => cells(t, makeStore));
  t.test("rolls", (t) => rolls(t, makeStore));
}

async function claims(t: Test, makeStore: MakeStore): Promise<void> {
  const { store } = await makeStore(t);

  t.test(
    "an absent key is granted with fence 1, and the same token is granted again",
    async (t) => {
      const claim = claimOf();
      t.same(await store.claim(claim), { kind: "granted", fence: 1 });
      t.same(await store.claim(claim), { kind: "granted", fence: 1 });
    },
  );

  t.test("another token is busy, with the record that is in flight", async (t) => {
    const claim = claimOf();
    await store.claim(claim);
    const answer = await store.claim({ ...claim, token: hex(16) });
    assert(answer.kind === "busy");
    const { id, token, fingerprint, method, target, route, claimedBy } = claim;
    t.match(answer.record, {
      state: "in-flight",
      fence: 1,
      id,
      token,
      fingerprint,
      method,
      target,
      route,
      claimedBy,
    });
    t.equal(answer.record.leaseUntilMs, answer.record.createdAtMs + claim.leaseMs);
    t.equal(answer.record.expiresAtMs, answer.record.leaseUntilMs + claim.unknownRetentionMs);
    t.ok(answer.nowMs >= answer.record.createdAtMs);
  });

  t.test("a hundred tokens at once: one is granted, the others are busy", async (t) => {
    const id = hex(32);
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => store.claim(claimOf({ id }))),
    );
    t.equal(answers.filter(({ kind }) => kind === "granted").length, 1);
    t.equal(answers.filter(({ kind }) => kind === "busy").length, 99);
  });

  t.test("mismatch comes before busy, replay and unknown, and carries no body", async (t) => {
    for (const state of ["in-flight", "completed", "unknown"] as const) {
      const claim = claimOf({ onUnknown: "resend" });
      await store.claim(claim);
      if (state === "completed") await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
      if (state === "unknown") await store.markUnknown(claim.id, claim.token, "reset", DAY_MS);
      const answer = await store.claim({ ...claim, token: hex(16), fingerprint: OTHER });
      assert(answer.kind === "mismatch");
      t.match(answer.record, { state, fingerprint: claim.fingerprint });
      if (answer.record.state !== "completed") continue;
      t.same(answer.record.response, { ...answerOf(), body: undefined });
      t.equal(answer.record.replayable, true);
    }
  });

  t.test("the owner's own token with another fingerprint is a mismatch too", async (t) => {
    const claim = claimOf();
    await store.claim(claim);
    t.equal((await store.claim({ ...claim, fingerprint: OTHER })).kind, "mismatch");
  });

  t.test(
    "unknown blocks, or is taken over with the next fence and its first creation time",
    async (t) => {
      const claim = claimOf();
      await store.claim(claim);
      await store.markUnknown(claim.id, claim.token, "timeout", DAY_MS);
      const blocked = await store.claim({ ...claim, token: hex(16) });
      assert(blocked.kind === "unknown");
      t.match(blocked.record, { reason: "timeout", token: claim.token, fence: 1 });
      const again = { ...claim, token: hex(16), onUnknown: "resend" as const };
      t.same(await store.claim(again), { kind: "granted", fence: 2 });
      t.match(await store.inspect(claim.id), {
        state: "in-flight",
        fence: 2,
        token: again.token,
        createdAtMs: blocked.record.createdAtMs,
      });
      t.equal(await store.release(claim.id, claim.token), "lost", "the first owner is out");
    },
  );
}

async function ownerWrites(t: Test, makeStore: MakeStore): Promise<void> {
  const { store } = await makeStore(t);

  t.test(
    "complete twice with one token: done both times, and the first answer stays",
    async (t) => {
      const claim = claimOf();
      await store.claim(claim);
      const first = await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
      assert(first.kind === "done");
      const second = await store.complete(claim.id, claim.token, answerOf({ status: 500 }), 1000);
      t.same(second, first);
      const replay = await store.claim({ ...claim, token: hex(16) });
      assert(replay.kind === "replay");
      t.match(replay.record, { state: "completed", token: claim.token, fence: 1 });
      t.equal(replay.record.response?.status, 201);
      t.equal(replay.record.expiresAtMs, first.expiresAtMs);
      t.equal(replay.record.completedAtMs, first.expiresAtMs - DAY_MS);
    },
  );

  t.test("a foreign token is lost in every write, in every state", async (t) => {
    const foreign = hex(16);
    const claim = claimOf();
    const allLost = async (state: string): Promise<void> => {
      t.same(await store.complete(claim.id, foreign, answerOf(), DAY_MS), { kind: "lost" }, state);
      t.equal(await store.release(claim.id, foreign), "lost", state);
      t.equal(await store.markUnknown(claim.id, foreign, "reset", DAY_MS), "lost", state);
    };
    await allLost("absent");
    await store.claim(claim);
    await allLost("in flight");
    t.match(await store.inspect(claim.id), { state: "in-flight", token: claim.token });
    await store.markUnknown(claim.id, claim.token, "reset", DAY_MS);
    await allLost("unknown");
    await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
    await allLost("completed");
  });

  t.test("release forgets the claim, once, and the key is free again", async (t) => {
    const claim = claimOf();
    await store.claim(claim);
    t.equal(await store.release(claim.id, claim.token), "done");
    t.equal(await store.release(claim.id, claim.token), "lost");
    t.equal(await store.inspect(claim.id), undefined);
    t.same(await store.claim(claimOf({ id: claim.id })), { kind: "granted", fence: 1 });
  });

  t.test(
    "a resend that is given back leaves the outcome unknown, and fences never fall",
    async (t) => {
      const claim = claimOf({ onUnknown: "resend" });
      await store.claim(claim);
      await store.markUnknown(claim.id, claim.token, "timeout", DAY_MS);
      const second = { ...claim, token: hex(16) };
      await store.claim(second);
      const before = await store.inspect(claim.id);
      t.equal(await store.release(claim.id, second.token), "done");
      const { id, token } = second;
      const expiresAtMs = before?.expiresAtMs;
      const unknown = { state: "unknown", reason: "crash", fence: 2, id, token, expiresAtMs };
      t.match(await store.inspect(claim.id), unknown);
      t.equal(await store.release(claim.id, second.token), "lost");
      t.same(await store.claim({ ...claim, token: hex(16) }), { kind: "granted", fence: 3 });
    },
  );

  t.test("release refuses what is unknown or completed", async (t) => {
    const claim = claimOf();
    await store.claim(claim);
    await store.markUnknown(claim.id, claim.token, "truncated", DAY_MS);
    t.equal(await store.release(claim.id, claim.token), "lost");
    await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
    t.equal(await store.release(claim.id, claim.token), "lost");
  });

  t.test(
    "markUnknown is done twice, keeps the first reason, and never undoes a completion",
    async (t) => {
      const claim = claimOf();
      await store.claim(claim);
      t.equal(await store.markUnknown(claim.id, claim.token, "reset", DAY_MS), "done");
      t.equal(await store.markUnknown(claim.id, claim.token, "timeout", DAY_MS), "done");
      const record = await store.inspect(claim.id);
      assert(record?.state === "unknown");
      t.equal(record.reason, "reset");
      t.equal(record.expiresAtMs, record.sinceMs + DAY_MS);
      const completed = await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
      t.equal(completed.kind, "done", "the owner of an unknown record may still tell");
      t.equal(await store.markUnknown(claim.id, claim.token, "reset", DAY_MS), "lost");
      t.equal((await store.inspect(claim.id))?.state, "completed");
    },
  );
}

async function time(t: Test, makeStore: MakeStore): Promise<void> {
  const { store, pass } = await makeStore(t);
  const short = { leaseMs: 60, unknownRetentionMs: DAY_MS };

  t.test("a lease that is over reads as unknown by crash, since the lease's end", async (t) => {
    const claim = claimOf(short);
    await store.claim(claim);
    const before = await store.inspect(claim.id);
    assert(before?.state === "in-flight");
    await pass(80);
    const blocked = await store.claim({ ...claim, token: hex(16) });
    assert(blocked.kind === "unknown");
    t.match(blocked.record, { reason: "crash", sinceMs: before.leaseUntilMs, token: claim.token });
    t.same(await store.inspect(claim.id), blocked.record);
    t.equal((await store.claim(claim)).kind, "unknown", "the owner's claim is over as well");
    const done = await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
    t.equal(done.kind, "done", "a paused owner may still complete");
  });

  t.test(
    "an owner that was paused past its lease and sent nothing may still release",
    async (t) => {
      const claim = claimOf(short);
      await store.claim(claim);
      await pass(80);
      t.equal(await store.release(claim.id, claim.token), "done");
      t.equal(await store.inspect(claim.id), undefined);
    },
  );

  t.test("markUnknown after the lease counts from now", async (t) => {
    const claim = claimOf(short);
    await store.claim(claim);
    const before = await store.inspect(claim.id);
    await pass(80);
    t.equal(await store.markUnknown(claim.id, claim.token, "timeout", DAY_MS), "done");
    const record = await store.inspect(claim.id);
    assert(record?.state === "unknown" && before !== undefined && before.state !== "completed");
    t.equal(record.reason, "timeout");
    // On a machine that stands still for a moment the lease is over at the first look.
    t.ok(record.sinceMs > (before.state === "in-flight" ? before.leaseUntilMs : before.sinceMs));
  });

  t.test("a taken-over claim is lost to the one that was paused", async (t) => {
    const claim = claimOf({ ...short, onUnknown: "resend" });
    await store.claim(claim);
    await pass(80);
    const next = { ...claim, token: hex(16), leaseMs: 60_000 };
    t.same(await store.claim(next), { kind: "granted", fence: 2 });
    t.same(await store.complete(claim.id, claim.token, answerOf(), DAY_MS), { kind: "lost" });
    t.equal((await store.complete(claim.id, next.token, answerOf(), DAY_MS)).kind, "done");
  });

  t.test("when its retention ends a record is absent to everybody", async (t) => {
    const completed = claimOf();
    const unknown = claimOf();
    const crashed = claimOf({ leaseMs: 30, unknownRetentionMs: 30 });
    for (const claim of [completed, unknown, crashed]) await store.claim(claim);
    await store.complete(completed.id, completed.token, answerOf(), 60);
    await store.markUnknown(unknown.id, unknown.token, "reset", 60);
    await pass(90);
    for (const { id, token } of [completed, unknown, crashed]) {
      t.equal(await store.inspect(id), undefined);
      t.same(await store.complete(id, token, answerOf(), DAY_MS), { kind: "lost" });
      t.equal(await store.release(id, token), "lost");
      t.equal(await store.markUnknown(id, token, "reset", DAY_MS), "lost");
      t.equal(await store.forget(id), "absent");
      t.equal(await store.resolve(id, "executed", DAY_MS), "absent");
      t.same(await store.claim(claimOf({ id })), { kind: "granted", fence: 1 });
    }
  });
}
