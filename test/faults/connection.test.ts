/** What a connection to Redis can do to a store, call by call: each of these went wrong once. */
import { setTimeout as delay } from "node:timers/promises";
import t from "tap";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import { StoreUnavailable } from "../../src/core/ports.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { connectRedisNodes } from "../../src/store/redis-nodes.ts";
import { answerOf, claimOf, hex } from "../store/contract-values.ts";
import { sharedRedis } from "../support/gateway.ts";
import { startChaosProxy, type ChaosProxy, type Fault } from "./chaos-proxy.ts";

const root = t;
root.setTimeout(120_000);
const TIMEOUT_MS = 300;

const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

async function through(t: Test): Promise<{ store: Store; proxy: ChaosProxy; direct: Store }> {
  const redis = await sharedRedis(root);
  const proxy = await startChaosProxy(t, redis.port);
  const keyPrefix = `${hex(4)}:`;
  const open = (port: number): Store => {
    const url = `redis://127.0.0.1:${port}/3`;
    const store = createRedisStore({ url, timeoutMs: TIMEOUT_MS, keyPrefix });
    t.teardown(() => store.close());
    return store;
  };
  return { store: open(proxy.port), proxy, direct: open(redis.port) };
}

const healthy = (store: Store): Promise<void> =>
  soon(async () => (await store.problems()).length === 0);

async function soon(question: () => Promise<boolean>): Promise<void> {
  while (!(await question())) await delay(10);
}

/** A store that knows its server's clock, which the first claim of all tells it. */
async function warm(t: Test) {
  const opened = await through(t);
  await healthy(opened.store);
  await healthy(opened.direct);
  await soon(async () => {
    const claim = claimOf();
    return opened.store.claim(claim).then(
      ({ kind }) => kind === "granted",
      () => false,
    );
  });
  return opened;
}

t.test("a claim that was given back before it came to Redis is not taken", async (t) => {
  const { store, proxy, direct } = await warm(t);
  const claim = claimOf();
  proxy.arm({ call: 1, fault: "late", lateMs: 4 * TIMEOUT_MS });
  await t.rejects(store.claim(claim), { code: "STORE_UNAVAILABLE" });
  t.equal(await direct.release(claim.id, claim.token), "lost", "over another connection");
  await proxy.struck;
  t.equal(await direct.inspect(claim.id), undefined);
  await healthy(store);
  t.match(await store.claim(claimOf({ id: claim.id })), { kind: "granted", fence: 1 });
});

t.test("a lost reply shifts no other call's answer, and the store heals by itself", async (t) => {
  for (const fault of ["reply-lost", "swallowed", "reply-twice"] as const) {
    const { store, proxy, direct } = await warm(t);
    const claims = Array.from({ length: 20 }, () => claimOf());
    // Every second one is somebody else's already: a shifted answer would be the wrong one.
    for (const [at, claim] of claims.entries()) {
      if (at % 2 === 1) await direct.claim({ ...claim, token: hex(16) });
    }
    proxy.arm({ call: 3, fault });
    const answers = await Promise.allSettled(claims.map((claim) => store.claim(claim)));
    let failed = 0;
    for (const [at, answer] of answers.entries()) {
      const expected = at % 2 === 1 ? "busy" : "granted";
      if (answer.status === "rejected") failed += 1;
      else t.equal(answer.value.kind, expected, `${fault}, call ${at}`);
      if (answer.status === "rejected") t.ok(answer.reason instanceof StoreUnavailable);
    }
    t.ok(failed > 0, `${fault}: ${failed} calls failed`);
    await soon(async () => {
      const answer = await store.claim(claims[0] ?? claimOf()).catch(() => undefined);
      return answer?.kind === "granted";
    });
  }
});

t.test("locks: a lost reply gives nobody another's lock", async (t) => {
  const redis = await sharedRedis(root);
  const proxy = await startChaosProxy(t, redis.port);
  const [node] = connectRedisNodes([`redis://127.0.0.1:${proxy.port}/3`], TIMEOUT_MS);
  if (node === undefined) throw new Error("there is no node");
  t.teardown(() => node.close());
  const echo = (n: number): Promise<unknown> => node.runScript("return ARGV[1]", "k", [n]);
  t.equal(await echo(0), "0");
  for (const fault of ["reply-lost", "reply-twice"] as const) {
    const before = proxy.calls.length;
    proxy.arm({ call: before + 2, fault });
    const answers = await Promise.allSettled([1, 2, 3, 4, 5].map(echo));
    for (const [at, answer] of answers.entries()) {
      if (answer.status === "fulfilled") t.equal(answer.value, String(at + 1), fault);
    }
    t.ok(answers.some(({ status }) => status === "rejected"));
    await soon(async () => (await echo(6).catch(() => undefined)) === "6");
  }
});

t.test("a SELECT that is refused, or lost, never leaves records in another database", async (t) => {
  for (const fault of ["loading", "error", "swallowed", "reply-lost"] satisfies Fault[]) {
    const redis = await sharedRedis(root);
    await redis.cli("FLUSHALL");
    const { store, proxy } = await through(t);
    proxy.arm({ call: 1, fault });
    await healthy(store);
    t.equal(proxy.calls[0], "select", fault);
    await store.claim(claimOf());
    t.equal(await redis.cli("-n", "0", "DBSIZE"), "0", `${fault}: nothing in database 0`);
    t.equal(await redis.cli("-n", "3", "DBSIZE"), "1", `${fault}: it is in its own`);
  }
});

t.test("a subscription that is refused or cut wakes its waiter later, not never", async (t) => {
  for (const fault of ["error", "reply-lost", "reset-before", "reset-after"] satisfies Fault[]) {
    const { store, proxy, direct } = await warm(t);
    const claim = claimOf();
    await store.claim(claim);
    // SELECT and INFO of the new connection come first.
    proxy.arm({ call: 3, fault });
    const watch = await store.watch(claim.id);
    const waiting = watch.wait(5000, new AbortController().signal);
    await direct.complete(claim.id, claim.token, answerOf(), 60_000);
    await waiting;
    watch.close();
    t.ok(proxy.calls.includes("subscribe"), fault);
  }
  t.same(unhandled, [], "and no rejection was left to itself");
});
