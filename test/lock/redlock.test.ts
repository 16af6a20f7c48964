import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import t from "tap";
import type { Test } from "tap";
import type { Clock } from "../../src/core/ports.ts";
import type { HeldLock, LockAnswer, Locks } from "../../src/core/resource-ports.ts";
import { createRedlockLocks } from "../../src/lock/redlock.ts";
import { connectRedisNodes } from "../../src/store/redis-nodes.ts";
import type { RedisServer } from "../support/redis-server.ts";
import { startCluster, startRedis, until } from "../support/redis-server.ts";
import { CLOCK, lockWhenFree } from "./contending.ts";

const LAMP = "1a".repeat(32);
const DOOR = "2b".repeat(32);
const KEY = `t:l:{${LAMP}}`;
const TIMEOUT_MS = 1000;
/** What a call may take on a busy machine past its deadline. */
const SLACK_MS = 500;
const LEASE_MS = 20_000;

const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

async function openLocks(
  t: Test,
  urls: readonly string[],
  over: { timeoutMs?: number; clock?: Clock } = {},
): Promise<Locks> {
  const locks = createRedlockLocks({
    connectNodes: (timeoutMs) => connectRedisNodes(urls, timeoutMs),
    keyPrefix: "t:",
    timeoutMs: TIMEOUT_MS,
    clock: CLOCK,
    ...over,
  });
  t.teardown(() => locks.close());
  return locks;
}

async function three(t: Test): Promise<readonly [RedisServer, RedisServer, RedisServer]> {
  return Promise.all([startRedis(t), startRedis(t), startRedis(t)]);
}

/** Resolves when every server has had a lock by these locks, so that all their connections stand. */
async function connected(locks: Locks, servers: readonly RedisServer[]): Promise<void> {
  await until(async () => {
    const answer = await locks.tryLock(DOOR, 60_000);
    if (answer.kind !== "held") return false;
    const keys = await Promise.all(servers.map((server) => server.cli("DBSIZE")));
    answer.lock.release();
    return keys.every((count) => count === "1");
  });
  await gone(servers);
}

const urlsOf = (servers: readonly RedisServer[]): string[] => servers.map(({ url }) => url);

const gone = (servers: readonly RedisServer[]): Promise<void> =>
  until(async () => {
    const counts = await Promise.all(servers.map((server) => server.cli("DBSIZE")));
    return counts.every((count) => count === "0");
  });

function held(answer: LockAnswer): HeldLock {
  assert(answer.kind === "held", JSON.stringify(answer));
  return answer.lock;
}

async function timed(
  locks: Locks,
  leaseMs = LEASE_MS,
): Promise<{ answer: LockAnswer; tookMs: number }> {
  const startedMs = performance.now();
  const answer = await locks.tryLock(LAMP, leaseMs);
  return { answer, tookMs: performance.now() - startedMs };
}

t.test(
  "three servers: held by one, busy for the other, free at once when given back",
  async (t) => {
    const servers = await three(t);
    const first = await openLocks(t, urlsOf(servers));
    const second = await openLocks(t, urlsOf(servers));
    await connected(first, servers);
    await connected(second, servers);
    const askedMs = performance.now();
    const lock = held(await first.tryLock(LAMP, 60_000));
    t.ok(lock.endsMs > askedMs + 59_000 && lock.endsMs < askedMs + 60_000, "counts a little less");
    t.same(await second.tryLock(LAMP, 60_000), { kind: "busy" });
    t.same(await first.tryLock(LAMP, 60_000), { kind: "busy" });
    held(await second.tryLock(DOOR, 60_000)).release();
    await until(async () => {
      const left = await Promise.all(servers.map((server) => server.cli("PTTL", KEY)));
      return left.every((ms) => Number(ms) > 50_000);
    });
    lock.release();
    lock.release();
    await until(async () => (await second.tryLock(LAMP, 60_000)).kind === "held");
    t.equal((await first.tryLock(LAMP, 60_000)).kind, "busy", "a second release took nothing");
  },
);

t.test(
  "a lease that is over frees the lock, and a late release takes it from nobody",
  async (t) => {
    const servers = await three(t);
    const first = await openLocks(t, urlsOf(servers));
    const second = await openLocks(t, urlsOf(servers));
    await connected(first, servers);
    await connected(second, servers);
    const askedMs = performance.now();
    const late = held(await first.tryLock(LAMP, 300));
    await lockWhenFree(second, LAMP, 60_000);
    const tookMs = performance.now() - askedMs;
    t.ok(tookMs >= 300 && tookMs < 300 + SLACK_MS, `${tookMs} ms`);
    late.release();
    await first.close();
    t.same(await first.tryLock(LAMP, 1000), {
      kind: "unavailable",
      cause: "The locks are closed.",
    });
    const there = await Promise.all(servers.map((server) => server.cli("EXISTS", KEY)));
    t.ok(there.filter((count) => count === "1").length >= 2, "by a majority, as it was taken");
  },
);

t.test("one server down: locks go on, and it counts again when it is back", async (t) => {
  const servers = await three(t);
  const [down, ...up] = servers;
  const first = await openLocks(t, urlsOf(servers));
  const second = await openLocks(t, urlsOf(servers));
  await connected(first, servers);
  await connected(second, servers);
  await down.kill();
  const lock = held(await first.tryLock(LAMP, 60_000));
  t.equal((await second.tryLock(LAMP, 60_000)).kind, "busy");
  lock.release();
  await gone(up);
  held(await second.tryLock(LAMP, 60_000)).release();
  await gone(up);
  await down.restart();
  await connected(first, servers);
});

t.test(
  "two servers down: refused in time with the reason, nothing is left, and it heals",
  async (t) => {
    const servers = await three(t);
    const [down, alsoDown, up] = servers;
    const locks = await openLocks(t, urlsOf(servers));
    await connected(locks, servers);
    await Promise.all([down.kill(), alsoDown.kill()]);
    for (let n = 0; n < 5; n++) {
      const { answer, tookMs } = await timed(locks);
      assert(answer.kind === "unavailable");
      t.match(answer.cause, /^1 of 3 lock servers answered: Redis .* \([A-Za-z]+\)\.$/u);
      t.notMatch(answer.cause, /1a1a/u);
      t.ok(tookMs < TIMEOUT_MS + SLACK_MS, `${tookMs} ms`);
    }
    await gone([up]);
    await down.restart();
    await until(async () => (await locks.tryLock(LAMP, 60_000)).kind === "held");
  },
);

t.test("one server paused: locks are had, told busy and given back in time", async (t) => {
  const servers = await three(t);
  const [paused, ...awake] = servers;
  const first = await openLocks(t, urlsOf(servers));
  const second = await openLocks(t, urlsOf(servers));
  await connected(first, servers);
  await connected(second, servers);
  await paused.kill("SIGSTOP");
  const had = await timed(first);
  const lock = held(had.answer);
  t.ok(had.tookMs < TIMEOUT_MS / 2, `a majority is enough: ${had.tookMs} ms`);
  const busy = await timed(second);
  t.equal(busy.answer.kind, "busy");
  t.ok(busy.tookMs < TIMEOUT_MS + SLACK_MS, `${busy.tookMs} ms`);
  lock.release();
  await gone(awake);
  held(await second.tryLock(LAMP, 60_000)).release();
  await paused.kill("SIGCONT");
  await gone(servers);
});

t.test(
  "two servers paused: refused in time; what they grant when they wake is given back",
  async (t) => {
    const servers = await three(t);
    const [paused, alsoPaused, awake] = servers;
    const locks = await openLocks(t, urlsOf(servers));
    await connected(locks, servers);
    await Promise.all([paused.kill("SIGSTOP"), alsoPaused.kill("SIGSTOP")]);
    const { answer, tookMs } = await timed(locks);
    t.equal(answer.kind, "unavailable");
    t.ok(tookMs < TIMEOUT_MS + SLACK_MS, `${tookMs} ms`);
    await gone([awake]);
    await Promise.all([paused.kill("SIGCONT"), alsoPaused.kill("SIGCONT")]);
    await until(async () => (await locks.tryLock(LAMP, 60_000)).kind === "held");
  },
);

t.test("close is not held up by servers that do not answer", async (t) => {
  const servers = await three(t);
  const locks = await openLocks(t, urlsOf(servers));
  await connected(locks, servers);
  const lock = held(await locks.tryLock(LAMP, 60_000));
  await Promise.all(servers.map((server) => server.kill("SIGSTOP")));
  const asked = locks.tryLock(DOOR, 60_000);
  lock.release();
  const startedMs = performance.now();
  await locks.close();
  t.ok(performance.now() - startedMs < 2 * TIMEOUT_MS + SLACK_MS);
  t.equal((await asked).kind, "unavailable");
});

t.test(
  "one server grants, one is held, one is down: busy, and the grant is taken back",
  async (t) => {
    const servers = await three(t);
    const [free, taken, down] = servers;
    const locks = await openLocks(t, urlsOf(servers));
    await connected(locks, servers);
    await taken.cli("SET", KEY, "somebody", "PX", "60000");
    await down.kill();
    const { answer, tookMs } = await timed(locks);
    t.same(answer, { kind: "busy" });
    t.ok(tookMs < TIMEOUT_MS, `${tookMs} ms`);
    await gone([free]);
    t.equal(await taken.cli("GET", KEY), "somebody");
  },
);

t.test("an even number of servers, or none, is refused, and nothing stays open", async (t) => {
  let open = 0;
  const node = { runScript: async () => 1, close: () => void open-- };
  for (const count of [0, 2, 4]) {
    open = count;
    const connectNodes = (): (typeof node)[] => Array.from({ length: count }, () => node);
    const make = (): Locks =>
      createRedlockLocks({ connectNodes, keyPrefix: "t:", timeoutMs: 100, clock: CLOCK });
    t.throws(make, { message: `Locks need an odd number of Redis servers, not ${count}.` });
    t.equal(open, 0);
  }
});

t.test(
  "a lease that is over when the majority has answered is not held, and given back",
  async (t) => {
    const servers = await three(t);
    let jumpMs = 0;
    let askedMs = 0;
    const locks = await openLocks(t, urlsOf(servers), {
      // The first look is before the call; the second one is after it.
      clock: { ...CLOCK, monotonicMs: () => (askedMs += jumpMs) },
    });
    await connected(locks, servers);
    jumpMs = 60_000;
    const answer = await locks.tryLock(LAMP, 60_000);
    t.match(answer, { kind: "unavailable", cause: /after the lease was over/u });
    await gone(servers);
  },
);

t.test("a late grant after the deadline is given back", async (t) => {
  const sent: string[] = [];
  let grant: ((granted: number) => void) | undefined;
  const node = {
    runScript: async (lua: string): Promise<unknown> => {
      const release = /"del"/u.test(lua);
      sent.push(release ? "release" : "acquire");
      return release ? 1 : new Promise<number>((resolve) => (grant = resolve));
    },
    close: () => undefined,
  };
  const locks = createRedlockLocks({
    connectNodes: () => [node],
    keyPrefix: "t:",
    timeoutMs: 30,
    clock: CLOCK,
  });
  t.match(await locks.tryLock(LAMP, 60_000), {
    kind: "unavailable",
    cause: "No majority answered within 30 ms.",
  });
  t.same(sent, ["acquire"]);
  grant?.(1);
  await locks.close();
  t.same(sent, ["acquire", "release"]);
});

t.test("a release that failed is tried again until it is done", async (t) => {
  let releases = 0;
  const node = {
    runScript: async (lua: string): Promise<unknown> => {
      if (!/"del"/u.test(lua)) return 1;
      releases += 1;
      if (releases < 3) throw new Error("LOADING");
      return 1;
    },
    close: () => undefined,
  };
  let slept = 0;
  const clock: Clock = {
    monotonicMs: () => performance.now(),
    sleep: async () => void (slept += 1),
  };
  const locks = createRedlockLocks({ connectNodes: () => [node], keyPrefix: "t:", timeoutMs: 1000, clock }); // prettier-ignore
  held(await locks.tryLock(LAMP, 60_000)).release();
  await until(async () => releases === 3);
  await locks.close();
  t.same([releases, slept], [3, 2]);
});

t.test("one Redis, and a Cluster, hold locks as well", async (t) => {
  const redis = await startRedis(t);
  const alone = await openLocks(t, [redis.url]);
  await connected(alone, [redis]);
  held(await alone.tryLock(LAMP, 60_000));
  t.equal((await alone.tryLock(LAMP, 60_000)).kind, "busy");
  const nodes = await startCluster(t);
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join(",");
  const cluster = await openLocks(t, [`redis+cluster://${hosts}`], { timeoutMs: 2000 });
  for (const id of [LAMP, DOOR, "3c".repeat(32), "4d".repeat(32)]) {
    await until(async () => (await cluster.tryLock(id, 60_000)).kind === "held");
    t.equal((await cluster.tryLock(id, 60_000)).kind, "busy", "by the same key's slot");
  }
});

t.test(
  "a server that refuses the password: unavailable, and no secret in the reason",
  async (t) => {
    const redis = await startRedis(t, {
      acl: ["user app on >right ~* &* +@all", "user default off"],
    });
    const url = redis.url.replace("//", "//app:canary@");
    const locks = await openLocks(t, [url]);
    await until(async () => {
      const answer = await locks.tryLock(LAMP, 60_000);
      assert(answer.kind === "unavailable");
      t.notMatch(answer.cause, /canary|1a1a|acquire/u);
      return /WRONGPASS|NOAUTH/u.test(answer.cause);
    });
  },
);

t.test("two gateways, eight contenders, three servers: never two inside", async (t) => {
  const servers = await three(t);
  const gateways = [
    await openLocks(t, urlsOf(servers), { timeoutMs: 5000 }),
    await openLocks(t, urlsOf(servers), { timeoutMs: 5000 }),
  ];
  for (const locks of gateways) await connected(locks, servers);
  let inside = 0;
  let most = 0;
  let count = 0;
  const contender = async (locks: Locks): Promise<void> => {
    for (let round = 0; round < 25; round++) {
      const lock = await lockWhenFree(locks, LAMP, 60_000);
      inside += 1;
      most = Math.max(most, inside);
      const before = count;
      for (let turn = 0; turn < 5; turn++) await nextTurn();
      count = before + 1;
      inside -= 1;
      lock.release();
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, n) => contender(gateways[n % 2]!)));
  t.same({ most, count }, { most: 1, count: 200 });
});

t.test("nothing of all this was an unhandled rejection, or left a connection open", async (t) => {
  await until(async () => !process.getActiveResourcesInfo().includes("TCPSocketWrap"));
  t.same(unhandled, []);
});
