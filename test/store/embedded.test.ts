import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Test } from "tap";
import t from "tap";
import type { Store } from "../../src/core/ports.ts";
import { StoreUnavailable } from "../../src/core/ports.ts";
import type { EmbeddedStoreOptions } from "../../src/store/embedded.ts";
import { embeddedRoll } from "../../src/store/embedded-roll.ts";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { damageRecord, storedBytes, storeBytes } from "../support/damage.ts";
import { earlierFormat } from "./contract-earlier.ts";
import { storeContract } from "./contract.ts";
import { answerOf, claimOf, hex } from "./contract-values.ts";
import { RUNS_TYPESCRIPT } from "../support/bare-node.ts";

const CHILD = fileURLToPath(new URL("./embedded-child.ts", import.meta.url));

function tempDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), "embedded-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function openStore(t: Test, options: Partial<EmbeddedStoreOptions> = {}): Store {
  const dir = options.dir ?? tempDir(t);
  const store = createEmbeddedStore({ timeoutMs: 5000, ...options, dir });
  t.teardown(() => store.close());
  return store;
}

/** Starts another process on `dir`; `lines` yields what it says. */
function another(t: Test, ...args: string[]): { child: ChildProcess; line: () => Promise<string> } {
  const child = spawn(process.execPath, [RUNS_TYPESCRIPT, CHILD, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  return { child, line: async () => String((await lines.next()).value) };
}

storeContract(t, async (t) => {
  let nowMs = 1_700_000_000_000;
  const dir = tempDir(t);
  const now = (): number => nowMs;
  return {
    store: openStore(t, { dir, now }),
    pass: async (ms) => {
      nowMs += ms;
    },
    another: async () => openStore(t, { dir, now }),
  };
});

earlierFormat(t, async (t) => {
  const dir = tempDir(t);
  return {
    store: openStore(t, { dir }),
    plant: (id, value) => storeBytes(dir, id, value),
    formatOf: async (id) => (await storedBytes(dir, id))[0] ?? 0,
  };
});

t.test("two processes on one directory: each of 100 keys is granted once", async (t) => {
  const dir = tempDir(t);
  const store = openStore(t, { dir });
  const ids = Array.from({ length: 100 }, () => hex(32));
  const other = another(t, dir, "claim", ...ids);
  const mine = await Promise.all(ids.map((id) => store.claim(claimOf({ id }))));
  const theirs = JSON.parse(await other.line()) as string[];
  ids.forEach((id, i) => t.same([mine[i]?.kind, theirs[i]].sort(), ["busy", "granted"], id));
});

t.test("what a killed process had acknowledged is there after reopening", async (t) => {
  const dir = tempDir(t);
  const ids = Array.from({ length: 5 }, () => hex(32));
  const other = another(t, dir, "settle-and-hang", ...ids);
  t.equal(await other.line(), "acknowledged");
  other.child.kill("SIGKILL");
  await once(other.child, "exit");
  const store = openStore(t, { dir });
  for (const id of ids) t.equal((await store.claim(claimOf({ id }))).kind, "replay");
});

t.test("a claim in flight outlives close and reopen", async (t) => {
  const dir = tempDir(t);
  const claim = claimOf();
  const first = openStore(t, { dir });
  await first.claim(claim);
  await first.close();
  await first.close();
  const second = openStore(t, { dir });
  t.equal((await second.claim({ ...claim, token: hex(16) })).kind, "busy");
});

t.test(
  "a writer stopped with the lock held: refused within the time-out, not written later",
  async (t) => {
    const dir = tempDir(t);
    const store = openStore(t, { dir, timeoutMs: 150 });
    const before = claimOf();
    await store.claim(before);
    const other = another(t, dir, "hold");
    t.equal(await other.line(), "holding");
    other.child.kill("SIGSTOP");
    const claim = claimOf();
    const startedMs = performance.now();
    await t.rejects(store.claim(claim), { name: "StoreUnavailable", undone: true });
    await t.rejects(store.complete(before.id, before.token, answerOf(), 1000), StoreUnavailable);
    const tookMs = performance.now() - startedMs;
    t.ok(tookMs >= 290 && tookMs < 1000, `${tookMs} ms for two calls`);
    t.match(await store.inspect(before.id), { state: "in-flight" }, "reads go on");
    t.match(await store.problems(), [/did not answer/u]);
    other.child.kill("SIGKILL");
    await once(other.child, "exit");
    // The lock is free again; calls queue behind the abandoned ones, so the first success comes after them.
    while ((await store.problems()).length > 0);
    t.equal(await store.inspect(claim.id), undefined, "the abandoned claim was not written");
    t.same(await store.claim(claim), { kind: "granted", fence: 1 });
  },
);

t.test(
  "a full disk: the body is refused, the bare completion is kept, the process lives",
  async (t) => {
    const dir = tempDir(t);
    const ids = Array.from({ length: 6 }, () => hex(32));
    // The limit is on a file's size, in KiB.
    const limited = `ulimit -f 3072 && exec "$0" "$@"`;
    const args = ["-c", limited, process.execPath, RUNS_TYPESCRIPT, CHILD, dir, "fill", ...ids];
    const child = spawn("bash", args, { stdio: ["ignore", "pipe", "ignore"] });
    const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
    const stored = JSON.parse(line) as string[];
    t.equal(stored[0], "body");
    t.ok(stored.includes("StoreFull"), line);
    stored.forEach((kind, i) => kind === "StoreFull" && t.equal(stored[i + 1], "done", line));
    const store = openStore(t, { dir });
    for (const id of ids) t.match(await store.inspect(id), { state: "completed" });
  },
);

t.test("the sweeper deletes what has expired, and nothing else", async (t) => {
  let nowMs = 1_700_000_000_000;
  const dir = tempDir(t);
  const store = openStore(t, { dir, now: () => nowMs });
  const live = claimOf();
  await store.claim(live);
  const short = Array.from({ length: 1200 }, () =>
    claimOf({ leaseMs: 10, unknownRetentionMs: 10 }),
  );
  await Promise.all(short.map((claim) => store.claim(claim)));
  nowMs += 20;
  // A reader whose clock stands still sees what is really in the map.
  const raw = openStore(t, { dir, now: () => 1_700_000_000_000 });
  for (;;) {
    const { records } = await raw.list({ limit: 1000 });
    if (records.length === 1) break;
    const woken = await raw.watch(live.id);
    await woken.wait(20, new AbortController().signal);
    woken.close();
  }
  t.match(await raw.inspect(live.id), { state: "in-flight" });
});

t.test("a bus carries settlements to another store on the same directory", async (t) => {
  const dir = tempDir(t);
  const listeners = new Set<(id: string) => void>();
  const bus = {
    publish: (id: string): void => listeners.forEach((listener) => listener(id)),
    subscribe: (listener: (id: string) => void): (() => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const first = openStore(t, { dir, bus });
  const second = openStore(t, { dir, bus });
  const claim = claimOf();
  await first.claim(claim);
  const watch = await second.watch(claim.id);
  const woken = watch.wait(60_000, new AbortController().signal);
  await first.complete(claim.id, claim.token, answerOf(), 60_000);
  await woken;
  watch.close();
  t.match(await second.inspect(claim.id), { state: "completed" });
  await Promise.all([first.close(), second.close()]);
  t.equal(listeners.size, 0);
});

t.test("without a bus, a waiter looks again by itself", async (t) => {
  const store = openStore(t);
  const watch = await store.watch(hex(32));
  const startedMs = performance.now();
  await watch.wait(60_000, new AbortController().signal);
  watch.close();
  t.ok(performance.now() - startedMs < 5000);
});

t.test("a directory that cannot be opened is named, with what to do", async (t) => {
  const dir = join(tempDir(t), "file");
  writeFileSync(dir, "");
  const unopened = (): Store => createEmbeddedStore({ dir, timeoutMs: 100 });
  t.throws(unopened, StoreUnavailable);
  t.throws(unopened, {
    message: `The store's directory ${dir} cannot be opened (EEXIST): it must be a directory on a local disk that this user may read and write.`,
  });
});

t.test("a directory with a dot in its name is a directory", async (t) => {
  const dir = join(tempDir(t), "store.v2");
  const store = openStore(t, { dir });
  t.same(await store.claim(claimOf()), { kind: "granted", fence: 1 });
  t.ok(existsSync(join(dir, "data.mdb")));
});

t.test("a damaged record is listed as such, and hides no other", async (t) => {
  const dir = tempDir(t);
  const store = openStore(t, { dir });
  const [sound, hurt] = [claimOf(), claimOf()];
  await store.claim(sound);
  await store.claim(hurt);
  await damageRecord(dir, hurt.id);
  t.match(await store.list({ limit: 10 }), { records: [{ id: sound.id }], damaged: [hurt.id] });
  t.same(await store.list({ limit: 10, state: "completed" }), { records: [], damaged: [hurt.id] });
});

t.test(
  "of a full roll every entry is looked at, and none of those before is walked over",
  async (t) => {
    const values = new Map<string, Buffer>();
    const keys = new Map<string, readonly [string, number, string]>();
    let skipped = 0;
    const tables = {
      values: {
        getBinary: (id: string) => values.get(id),
        putSync: (id: string, value: Buffer) => values.set(id, value),
        removeSync: (id: string) => values.delete(id),
      },
      expiry: { putSync: () => true, removeSync: () => true, getKeys: () => [] },
      order: {
        putSync: (key: [string, number, string]) => keys.set(key.join(), key),
        removeSync: (key: [string, number, string]) => keys.delete(key.join()),
        getKeys({
          start,
          offset,
          limit,
        }: {
          start: readonly unknown[];
          offset: number;
          limit: number;
        }) {
          // prettier-ignore
          skipped += offset;
          const [, ms = 0, id = ""] = start as [string, number?, string?];
          const all = [...keys.values()].toSorted((a, b) => a[1] - b[1] || (a[2] < b[2] ? -1 : 1));
          const rest = all.filter((key) => key[1] > ms || (key[1] === ms && key[2] >= id));
          return rest
            .slice(offset, offset + limit)
            .map((key): [string, number, string] => [...key]);
        },
      },
    };
    const looked = new Set<string>();
    const roll = embeddedRoll(
      tables,
      async (body) => body(),
      (id) => {
        looked.add(id);
        return 9_000_000;
      },
      () => 1_000_000,
    );
    const [scope, most] = ["5".repeat(64), 400];
    const enter = (n: number) => {
      const id = n.toString(16).padStart(64, "0");
      return roll.enterRoll({ scope, id, most, keepMs: 1000 + n, claimMs: 1, how: "look" });
    };
    for (let n = 0; n < most; n += 1) t.match(await enter(n), { kind: "entered" });
    for (let n = 0; n < 60; n += 1) t.match(await enter(most + n), { kind: "full" });
    t.equal(looked.size, most);
    t.ok(skipped < 4 * 60, `${skipped} walked over`);
  },
);
