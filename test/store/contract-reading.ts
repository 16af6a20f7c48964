/** The contract of the stores, second half: operators, probes, listing, fidelity, and waiting. Run by contract.ts. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import { RESOLVED_TOKEN } from "../../src/core/desk.ts";
import type { RecordedResponse } from "../../src/core/record.ts";
import type { MakeStore } from "./contract-values.ts";
import { answerOf, claimOf, DAY_MS, hex } from "./contract-values.ts";

export async function operators(t: Test, makeStore: MakeStore): Promise<void> {
  const { store } = await makeStore(t);

  t.test("resolved as not executed: the key is free", async (t) => {
    const claim = claimOf();
    await store.claim(claim);
    t.equal(await store.resolve(claim.id, "not-executed", DAY_MS), "not-unknown");
    await store.markUnknown(claim.id, claim.token, "reset", DAY_MS);
    t.equal(await store.resolve(claim.id, "not-executed", DAY_MS), "done");
    t.equal(await store.resolve(claim.id, "not-executed", DAY_MS), "absent");
    t.same(await store.complete(claim.id, claim.token, answerOf(), DAY_MS), { kind: "lost" });
  });

  t.test(
    "resolved as executed: completed without an answer, and the owner is too late",
    async (t) => {
      const claim = claimOf();
      await store.claim(claim);
      await store.markUnknown(claim.id, claim.token, "reset", DAY_MS);
      t.equal(await store.resolve(claim.id, "executed", DAY_MS), "done");
      const replay = await store.claim({ ...claim, token: hex(16) });
      assert(replay.kind === "replay");
      t.equal(replay.record.token, RESOLVED_TOKEN);
      t.equal(replay.record.response, undefined);
      t.same(await store.complete(claim.id, claim.token, answerOf(), DAY_MS), { kind: "lost" });
      t.equal(await store.resolve(claim.id, "executed", DAY_MS), "not-unknown");
    },
  );

  t.test("a decision about an attempt touches no other one under its id", async (t) => {
    const claim = claimOf();
    const anew = { ...claim, token: hex(16) };
    await store.claim(claim);
    await store.markUnknown(claim.id, claim.token, "reset", DAY_MS);
    t.equal(await store.resolve(claim.id, "not-executed", DAY_MS, claim.token), "done");
    t.equal(await store.resolve(claim.id, "executed", DAY_MS, claim.token), "absent");
    await store.claim(anew);
    t.equal(await store.resolve(claim.id, "executed", DAY_MS, claim.token), "not-unknown");
    t.equal(await store.forget(claim.id, claim.token), "in-flight");
    await store.markUnknown(claim.id, anew.token, "timeout", DAY_MS);
    const before = await store.inspect(claim.id);
    t.equal(await store.resolve(claim.id, "not-executed", DAY_MS, claim.token), "overtaken");
    t.equal(await store.resolve(claim.id, "executed", DAY_MS, claim.token), "overtaken");
    t.equal(await store.forget(claim.id, claim.token), "overtaken");
    t.same(await store.inspect(claim.id), before, "nothing was written");
    t.equal(await store.resolve(claim.id, "executed", DAY_MS, anew.token), "done");
    t.match(await store.inspect(claim.id), { state: "completed", answeredBy: "operator" });
    t.equal(await store.forget(claim.id, anew.token), "overtaken", "another token stands there");
    t.equal(await store.forget(claim.id, RESOLVED_TOKEN), "done");
  });

  t.test("a shadow's record says so in every state, and who answered is kept", async (t) => {
    const claim = claimOf({ shadow: true });
    await store.claim(claim);
    t.match(await store.inspect(claim.id), { state: "in-flight", shadow: true });
    await store.markUnknown(claim.id, claim.token, "reset", DAY_MS);
    t.match(await store.inspect(claim.id), { state: "unknown", shadow: true });
    await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
    t.match(await store.inspect(claim.id), { shadow: true, answeredBy: "upstream" });
    const plain = claimOf();
    await store.claim(plain);
    t.notOk(Object.hasOwn((await store.inspect(plain.id)) ?? {}, "shadow"));
    await store.markUnknown(plain.id, plain.token, "reset", DAY_MS);
    const finding = { kind: "executed", response: answerOf(), retentionMs: DAY_MS } as const;
    const said = { ...finding, by: "operator", token: hex(16) } as const;
    t.equal(await store.settleUnknown(plain.id, plain.token, said), "done");
    t.match(await store.inspect(plain.id), { answeredBy: "operator", response: answerOf() });
  });

  t.test("forget refuses what is in flight, and forgets the rest", async (t) => {
    const claim = claimOf();
    t.equal(await store.forget(claim.id), "absent");
    await store.claim(claim);
    t.equal(await store.forget(claim.id), "in-flight");
    await store.complete(claim.id, claim.token, answerOf(), DAY_MS);
    t.equal(await store.forget(claim.id), "done");
    t.equal(await store.inspect(claim.id), undefined);
  });
}

export async function probes(t: Test, makeStore: MakeStore): Promise<void> {
  const { store, pass } = await makeStore(t);
  const found = (over: Partial<RecordedResponse> = {}) =>
    ({
      kind: "executed",
      by: "probe",
      response: answerOf(over),
      retentionMs: DAY_MS,
      token: hex(16),
    }) as const;
  const unknown = async (over: Parameters<typeof claimOf>[0] = {}) => {
    const claim = claimOf(over);
    await store.claim(claim);
    t.equal(await store.markUnknown(claim.id, claim.token, "reset", DAY_MS), "done");
    return claim;
  };

  t.test("a look tells the record as it stands, and the time that it is judged by", async (t) => {
    const claim = claimOf({ leaseMs: 40, unknownRetentionMs: DAY_MS });
    t.equal(await store.look(claim.id), undefined);
    await store.claim(claim);
    const before = await store.look(claim.id);
    t.match(before?.record, { state: "in-flight", token: claim.token });
    await pass(60);
    const after = await store.look(claim.id);
    assert(after?.record.state === "unknown" && before?.record.state === "in-flight");
    t.equal(after.record.sinceMs, before.record.leaseUntilMs);
    t.ok(after.nowMs >= after.record.sinceMs);
    t.ok(before.nowMs < before.record.leaseUntilMs);
    t.same(after.record, await store.inspect(claim.id));
  });

  t.test("found executed: replayed as it was found, and the owner is too late", async (t) => {
    const claim = await unknown();
    const finding = found({ body: Buffer.from("\0found") });
    t.equal(await store.settleUnknown(claim.id, claim.token, finding), "done");
    const replay = await store.claim({ ...claim, token: hex(16) });
    assert(replay.kind === "replay");
    const { response, token, fence, createdAtMs, expiresAtMs, completedAtMs } = replay.record;
    t.equal(response?.status, 201);
    t.equal(Buffer.from(response?.body ?? []).toString(), "\0found");
    t.same(response?.headers, finding.response.headers);
    t.same({ token, fence }, { token: finding.token, fence: 1 });
    t.equal(expiresAtMs - completedAtMs, DAY_MS);
    t.ok(createdAtMs <= completedAtMs);
    t.same(await store.complete(claim.id, claim.token, answerOf(), DAY_MS), { kind: "lost" });
    t.equal(await store.settleUnknown(claim.id, claim.token, finding), "lost", "once");
    t.equal(await store.resolve(claim.id, "not-executed", DAY_MS), "not-unknown");
  });

  t.test("found executed, without a body, or with an empty one: told apart", async (t) => {
    for (const body of [undefined, Buffer.alloc(0)]) {
      const claim = await unknown();
      t.equal(await store.settleUnknown(claim.id, claim.token, found({ body })), "done");
      const record = await store.inspect(claim.id);
      assert(record?.state === "completed");
      t.equal(record.response?.body?.byteLength, body?.byteLength);
    }
  });

  t.test("found not executed: the key is free, also where a lease has ended it", async (t) => {
    const crashed = claimOf({ leaseMs: 40, unknownRetentionMs: DAY_MS });
    await store.claim(crashed);
    const none = { kind: "not-executed" } as const;
    t.equal(await store.settleUnknown(crashed.id, crashed.token, none), "lost", "in flight");
    await pass(60);
    for (const claim of [await unknown(), crashed]) {
      t.equal(await store.settleUnknown(claim.id, claim.token, none), "done");
      t.equal(await store.inspect(claim.id), undefined);
      t.equal(await store.settleUnknown(claim.id, claim.token, none), "lost");
      t.same(await store.claim(claimOf({ id: claim.id })), { kind: "granted", fence: 1 });
    }
  });

  t.test(
    "what was found out about one attempt is lost on every other state of the key",
    async (t) => {
      const findings = [found(), { kind: "not-executed" }] as const;
      const allLost = async (id: string, attempt: string, state: string): Promise<void> => {
        const before = await store.inspect(id);
        for (const finding of findings) {
          t.equal(await store.settleUnknown(id, attempt, finding), "lost", state);
        }
        t.same(await store.inspect(id), before, state);
      };
      const first = await unknown({ onUnknown: "resend" });
      await allLost(first.id, hex(16), "another token");
      const second = { ...first, token: hex(16) };
      t.same(await store.claim(second), { kind: "granted", fence: 2 });
      await allLost(first.id, first.token, "claimed again");
      await store.markUnknown(first.id, second.token, "timeout", DAY_MS);
      await allLost(first.id, first.token, "unknown again");
      await store.complete(first.id, second.token, answerOf({ status: 500 }), DAY_MS);
      await allLost(first.id, second.token, "completed by its owner");
      const resolved = await unknown();
      await store.resolve(resolved.id, "executed", DAY_MS);
      await allLost(resolved.id, resolved.token, "resolved");
      const forgotten = await unknown();
      await store.forget(forgotten.id);
      await allLost(forgotten.id, forgotten.token, "forgotten");
    },
  );
}

export async function listing(t: Test, makeStore: MakeStore): Promise<void> {
  const { store, pass } = await makeStore(t);

  t.test("list pages through every record once, and filters by the state as of now", async (t) => {
    const states = new Map<string, string>();
    const crashed = claimOf({ leaseMs: 20 });
    await store.claim(crashed);
    states.set(crashed.id, "unknown");
    for (let i = 0; i < 12; i++) {
      const claim = claimOf();
      await store.claim(claim);
      states.set(claim.id, "in-flight");
      if (i % 3 === 0) continue;
      await store.complete(claim.id, claim.token, answerOf({ body: Buffer.alloc(20_000) }), DAY_MS);
      states.set(claim.id, "completed");
    }
    await pass(40);
    const seen = await listAll(store);
    t.same(new Map([...seen].sort()), new Map([...states].sort()));
    for (const state of ["in-flight", "completed", "unknown"] as const) {
      const wanted = [...states].filter(([, is]) => is === state).sort();
      t.same([...(await listAll(store, state))].sort(), wanted, state);
    }
  });
}

async function listAll(
  store: Store,
  state?: "in-flight" | "completed" | "unknown",
): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const filter = state === undefined ? {} : { state };
  let page = await store.list({ ...filter, limit: 5 });
  for (;;) {
    for (const record of page.records) {
      found.set(record.id, record.state);
      if (record.state === "completed" && record.response?.body !== undefined) {
        throw new Error("a listing carries a body");
      }
    }
    if (page.cursor === undefined) return found;
    page = await store.list({ ...filter, limit: 5, cursor: page.cursor });
  }
}

export async function fidelity(t: Test, makeStore: MakeStore): Promise<void> {
  const { store } = await makeStore(t);
  const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const latin1 = Buffer.from([...every.subarray(32, 127), ...every.subarray(160)]).toString(
    "latin1",
  );
  const answers: Record<string, RecordedResponse> = {
    "an empty body": answerOf({ status: 200, body: Buffer.alloc(0) }),
    "no headers": answerOf({ status: 204, headers: [], body: Buffer.alloc(0) }),
    "a binary body with NULs": answerOf({ body: Buffer.concat([every, Buffer.alloc(64), every]) }),
    "1 MiB": answerOf({ body: randomBytes(1 << 20) }),
    "header values in latin1": answerOf({
      headers: [
        ["X-Name", latin1],
        ["x-empty", ""],
      ],
    }),
    "repeated headers in order": answerOf({
      headers: [
        ["Set-Cookie", "a=1"],
        ["Link", "</a>"],
        ["set-cookie", "b=2"],
        ["SET-COOKIE", "a=1"],
      ],
    }),
    "not replayable": answerOf({ body: undefined }),
  };
  for (const [name, response] of Object.entries(answers)) {
    t.test(`${name} comes back as it went in`, async (t) => {
      const claim = claimOf();
      await store.claim(claim);
      await store.complete(claim.id, claim.token, response, DAY_MS);
      const replay = await store.claim({ ...claim, token: hex(16) });
      assert(replay.kind === "replay");
      const kept = replay.record.response;
      t.equal(kept?.status, response.status);
      t.same(kept?.headers, response.headers);
      if (response.body === undefined) t.equal(kept?.body, undefined);
      else t.ok(kept?.body !== undefined && Buffer.from(response.body).equals(kept.body));
      const page = await store.list({ limit: 1000 });
      const listed = page.records.find(({ id }) => id === claim.id);
      t.match(listed, { state: "completed", replayable: response.body !== undefined });
    });
  }

  t.test("targets and route names beyond ASCII come back as they went in", async (t) => {
    const claim = claimOf({ target: `/ü/${"x".repeat(70_000)}`, route: "Überweisung" });
    await store.claim(claim);
    t.match(await store.inspect(claim.id), { target: claim.target, route: claim.route });
  });
}

export async function waiting(t: Test, makeStore: MakeStore): Promise<void> {
  const { store } = await makeStore(t);
  const never = new AbortController().signal;
  const settle = {
    complete: (id: string, token: string) => store.complete(id, token, answerOf(), DAY_MS),
    release: (id: string, token: string) => store.release(id, token),
    markUnknown: (id: string, token: string) => store.markUnknown(id, token, "reset", DAY_MS),
  };
  for (const [name, write] of Object.entries(settle)) {
    t.test(`${name} wakes a watch, also when it came before the wait`, async (t) => {
      const claim = claimOf();
      await store.claim(claim);
      const during = await store.watch(claim.id);
      const before = await store.watch(claim.id);
      const woken = during.wait(60_000, never);
      await write(claim.id, claim.token);
      await woken;
      await before.wait(60_000, never);
      during.close();
      before.close();
      t.not((await store.inspect(claim.id))?.state, "in-flight");
    });
  }

  t.test("a wait ends when the waiter is gone, and when its time is over", async (t) => {
    const claim = claimOf();
    await store.claim(claim);
    const watch = await store.watch(claim.id);
    const gone = new AbortController();
    const wait = watch.wait(60_000, gone.signal);
    gone.abort();
    await wait;
    await watch.wait(60_000, gone.signal);
    await watch.wait(5, never);
    watch.close();
    t.match(await store.inspect(claim.id), { state: "in-flight" });
  });
}
