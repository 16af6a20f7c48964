import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t from "tap";
import type { Test } from "tap";
import { RecordCorrupt, StoreUnavailable, type Clock } from "../../src/core/ports.ts";
import type { Cells, HeldLock, LockAnswer, Locks } from "../../src/core/resource-ports.ts";
import { createEmbeddedLocks } from "../../src/lock/embedded.ts";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { endWith } from "../support/child.ts";
import { quiet } from "../support/virtual-clock.ts";
import {
  CLOCK,
  clockOf,
  contend,
  lockWhenFree,
  newToken,
  readCount,
  RESOURCES,
} from "./contending.ts";
import { RUNS_TYPESCRIPT } from "../support/bare-node.ts";

const CHILD = fileURLToPath(new URL("./embedded-child.ts", import.meta.url));
const LAMP = "1a".repeat(32);
const DOOR = "2b".repeat(32);

/** One store and one clock that a test moves, and as many holders of locks as it wants. */
function onFakeTime(over: Partial<Cells> = {}) {
  const time = { ms: 1_700_000_000_000 };
  const memory = createMemoryStore({ now: () => time.ms });
  const cells: Cells = { ...memory, ...over };
  const gateway = (): Locks =>
    createEmbeddedLocks({ cells, newToken, clock: clockOf(() => monotonic(time)) });
  return { time, memory, gateway };
}

const monotonic = (time: { ms: number }): number => time.ms - 1_600_000_000_000;

function held(answer: LockAnswer): HeldLock {
  assert(answer.kind === "held", JSON.stringify(answer));
  return answer.lock;
}

t.test("held by one, busy for everybody else, and free when it is given back", async (t) => {
  const { gateway } = onFakeTime();
  const [first, second] = [gateway(), gateway()];
  const lock = held(await first.tryLock(LAMP, 1000));
  t.same(await second.tryLock(LAMP, 1000), { kind: "busy" });
  t.same(await first.tryLock(LAMP, 1000), { kind: "busy" }, "for its own gateway as well");
  held(await second.tryLock(DOOR, 1000));
  lock.release();
  lock.release();
  await first.close();
  held(await second.tryLock(LAMP, 1000));
});

t.test("a lease that is over frees the lock, at the millisecond and not before", async (t) => {
  const { time, gateway } = onFakeTime();
  const [first, second] = [gateway(), gateway()];
  const askedMs = monotonic(time);
  const { endsMs } = held(await first.tryLock(LAMP, 1000));
  t.ok(endsMs > askedMs + 900 && endsMs < askedMs + 1000, "the holder counts a little less");
  time.ms += 999;
  t.equal((await second.tryLock(LAMP, 1000)).kind, "busy");
  time.ms += 1;
  held(await second.tryLock(LAMP, 1000));
});

t.test("a late release does not take the lock from the next holder", async (t) => {
  const { time, gateway } = onFakeTime();
  const [first, second] = [gateway(), gateway()];
  const late = held(await first.tryLock(LAMP, 1000));
  time.ms += 1000;
  held(await second.tryLock(LAMP, 1000));
  late.release();
  await first.close();
  t.equal((await gateway().tryLock(LAMP, 1000)).kind, "busy");
});

t.test("a release that read the cell before the lease was over loses to the next", async (t) => {
  let afterRead: (() => Promise<unknown>) | undefined;
  const { time, memory, gateway } = onFakeTime({
    readCell: async (id) => {
      const read = await memory.readCell(id);
      const then = afterRead;
      afterRead = undefined;
      await then?.();
      return read;
    },
  });
  const [first, second] = [gateway(), gateway()];
  const late = held(await first.tryLock(LAMP, 1000));
  afterRead = async () => {
    // Between the read and the write of the release: the next one takes it, gives it back, and takes it again.
    time.ms += 1000;
    held(await second.tryLock(LAMP, 1000)).release();
    await lockWhenFree(second, LAMP, 5000);
  };
  late.release();
  await first.close();
  t.equal((await gateway().tryLock(LAMP, 1000)).kind, "busy");
});

t.test("a lease that is over before the answer came is not held", async (t) => {
  const { time, memory, gateway } = onFakeTime({
    writeCell: async (...args) => {
      const answer = await memory.writeCell(...args);
      time.ms += 995;
      return answer;
    },
  });
  const locks = gateway();
  const answer = await locks.tryLock(LAMP, 1000);
  t.match(answer, { kind: "unavailable", cause: /after the lease was over/u });
  await locks.close();
});

t.test(
  "store trouble is unavailable and never a rejection, and what was written is given back",
  async (t) => {
    let fail: Error | undefined;
    const { memory, gateway } = onFakeTime({
      writeCell: async (...args) => {
        const answer = await memory.writeCell(...args);
        const error = fail;
        fail = undefined;
        if (error !== undefined) throw error;
        return answer;
      },
    });
    const locks = gateway();
    const errors = [new StoreUnavailable("down"), new RecordCorrupt("odd"), new Error("canary")];
    for (const [n, error] of errors.entries()) {
      const id = String(n).repeat(64);
      fail = error;
      const answer = await locks.tryLock(id, 1000);
      assert(answer.kind === "unavailable");
      t.equal(answer.cause, error.message === "canary" ? "Error" : error.message);
      t.ok(
        await lockWhenFree(locks, id, 1000),
        "on a clock that stands still, so it was given back",
      );
    }
    await locks.close();
    t.same(await locks.tryLock(LAMP, 1000), {
      kind: "unavailable",
      cause: "The locks are closed.",
    });
  },
);

t.test("a cell whose time runs out under the taker's hands is taken all the same", async (t) => {
  const { time, memory, gateway } = onFakeTime({
    async readCell(id) {
      const read = await memory.readCell(id);
      // As long as a cell is kept past its lease, and past it by the write.
      if (read.cell !== undefined) time.ms += 60_001;
      return read;
    },
  });
  const locks = gateway();
  held(await locks.tryLock(LAMP, 1000));
  time.ms += 1000;
  const again = held(await locks.tryLock(LAMP, 1000));
  t.ok(again.endsMs > monotonic(time));
});

t.test(
  "a lock whose return the store did not take is given back later, or ends with its lease",
  async (t) => {
    let failing = 0;
    let wake = (): void => undefined;
    const { memory } = onFakeTime();
    const cells: Cells = {
      readCell: (id) => memory.readCell(id),
      writeCell: async (...args) => {
        if (failing === 0) return memory.writeCell(...args);
        failing -= 1;
        throw new StoreUnavailable("away");
      },
    };
    const clock: Clock = {
      monotonicMs: () => 0,
      sleep: () => new Promise((resolve) => (wake = resolve)),
    };
    const locks = createEmbeddedLocks({ cells, newToken, clock });
    const lock = held(await locks.tryLock(LAMP, 60_000));
    failing = 1;
    lock.release();
    await quiet();
    t.equal((await locks.tryLock(LAMP, 60_000)).kind, "busy");
    wake();
    await quiet();
    held(await locks.tryLock(LAMP, 60_000));
  },
);

t.test("a cell that is no lock is unavailable", async (t) => {
  const { memory, gateway } = onFakeTime();
  const ids: string[] = [];
  const spy: Cells = {
    readCell: (id) => {
      ids.push(id);
      return memory.readCell(id);
    },
    writeCell: (...args) => memory.writeCell(...args),
  };
  const watched = createEmbeddedLocks({ cells: spy, newToken, clock: clockOf(() => 1) });
  held(await watched.tryLock(LAMP, 1000)).release();
  await watched.close();
  t.not(ids[0], LAMP, "the lock is not the cell of the resource's memory");
  const { cell } = await memory.readCell(ids[0] ?? "");
  await memory.writeCell(ids[0] ?? "", Buffer.from("canary"), cell?.revision ?? 0, 1000);
  const answer = await gateway().tryLock(LAMP, 1000);
  t.match(answer, { kind: "unavailable", cause: "A lock cannot be read: it is not one." });
});

// ------------------------------------------------------------------------------------- processes on one directory

function tempDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), "locks-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function openLocks(t: Test, dir: string): Locks {
  const store = createEmbeddedStore({ dir, timeoutMs: 5000 });
  const locks = createEmbeddedLocks({ cells: store, newToken, clock: CLOCK });
  t.teardown(async () => {
    await locks.close();
    await store.close();
  });
  return locks;
}

function another(t: Test, ...args: string[]): { child: ChildProcess; line: Promise<unknown> } {
  const child = spawn(process.execPath, [RUNS_TYPESCRIPT, CHILD, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  void endWith(t, child);
  const line = once(createInterface({ input: child.stdout }), "line");
  return { child, line: line.then(([text]) => JSON.parse(String(text)) as unknown) };
}

t.test("killed while holding: the next has it when the lease is over, no later", async (t) => {
  const dir = tempDir(t);
  const locks = openLocks(t, dir);
  const { child, line } = another(t, "hold", dir, LAMP, "700");
  const holder = (await line) as { kind: string; beforeMs: number; afterMs: number };
  t.equal(holder.kind, "held");
  child.kill("SIGKILL");
  await once(child, "exit");
  t.equal((await locks.tryLock(LAMP, 1000)).kind, "busy", "the lease outlives its holder");
  await lockWhenFree(locks, LAMP, 1000);
  const atMs = Date.now();
  t.ok(atMs >= holder.beforeMs + 700, `${atMs - holder.beforeMs} ms after it was asked for`);
  const lateMs = atMs - (holder.afterMs + 700);
  t.ok(lateMs < 250, `${lateMs} ms after the lease`);
});

t.test("two processes, eight contenders, 200 rounds: never two inside", async (t) => {
  const dir = tempDir(t);
  const place = tempDir(t);
  const locks = openLocks(t, dir);
  const { line } = another(t, "contend", dir, place, "200", "4");
  const [mine, theirs] = await Promise.all([contend(locks, place, 200, 4), line]);
  t.same([mine, theirs], [{ intrusions: 0 }, { intrusions: 0 }]);
  const counts = RESOURCES.map((id) => readCount(place, id));
  t.equal(
    counts.reduce((sum, count) => sum + count),
    1600,
    "no count was lost",
  );
});
