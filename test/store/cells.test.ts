/** The memory of resources beyond the contract: its bytes, what does not add up, and stores that are full. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { open } from "lmdb";
import t from "tap";
import type { Test } from "tap";
import type { Store } from "../../src/core/ports.ts";
import { RecordCorrupt, StoreFull } from "../../src/core/ports.ts";
import { decodeCell, encodeCell } from "../../src/store/cell.ts";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { sealOf } from "../../src/store/seal.ts";
import type { RedisServer } from "../support/redis-server.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { DAY_MS, hex } from "./contract-values.ts";

const LAMP = "1a".repeat(32);
const VALUE = Uint8Array.from(Buffer.from("canary\0\xff", "latin1"));

async function onRedis(t: Test, args: readonly string[] = []): Promise<[Store, RedisServer]> {
  const redis = await startRedis(t, { args });
  const store = createRedisStore({ url: redis.url, timeoutMs: 2000, keyPrefix: "t:" });
  t.teardown(() => store.close());
  await until(async () => (await store.problems()).length === 0);
  return [store, redis];
}

function tempDir(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), "cells-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** What must not be read as a cell of the lamp. */
function rubbish(): Record<string, Buffer> {
  const sound = { value: VALUE, revision: 3, expiresAtMs: 9_000_000_000_000 };
  const bytes = encodeCell(LAMP, sound);
  const changed = (at: number, to: readonly number[]): Buffer => {
    const copy = Buffer.from(bytes);
    copy.set(to, at);
    return copy;
  };
  const resealed = (at: number, to: readonly number[]): Buffer => {
    const copy = changed(at, to);
    sealOf(copy.subarray(0, 65)).copy(copy, 65);
    return copy;
  };
  return {
    nothing: Buffer.alloc(0),
    text: Buffer.from("canary".repeat(20)),
    "cut in its head": bytes.subarray(0, 80),
    "another version": changed(0, [1]),
    "another resource": encodeCell(hex(32), sound),
    "a turned bit": changed(48, [1]),
    "revision 0": resealed(33, [0, 0, 0, 0, 0, 0, 0, 0]),
    "a revision beyond whole numbers": resealed(33, [255, 255, 255, 255, 255, 255, 255, 255]),
    "a time beyond whole numbers": resealed(41, [0, 32, 0, 0, 0, 0, 0, 1]),
  };
}

t.test("any value, revision and time come back from their bytes", async (t) => {
  const whole = fc.nat({ max: Number.MAX_SAFE_INTEGER });
  let tried = 0;
  fc.assert(
    fc.property(fc.uint8Array(), whole, whole, (value, revision, expiresAtMs) => {
      const cell = { value, revision: Math.max(revision, 1), expiresAtMs };
      const read = decodeCell(LAMP, encodeCell(LAMP, cell));
      tried += 1;
      return (
        Buffer.from(value).equals(read.value) &&
        read.revision === cell.revision &&
        read.expiresAtMs === expiresAtMs
      );
    }),
  );
  t.ok(tried >= 100);
});

t.test("what is no cell of this resource is corrupt, and quotes nothing", async (t) => {
  for (const [name, bytes] of Object.entries(rubbish())) {
    t.throws(() => decodeCell(LAMP, bytes), RecordCorrupt, name);
    t.throws(() => decodeCell(LAMP, bytes), { message: /^[^:]*: (?!.*canary)[^:]*\.$/u }, name);
  }
});

t.test("every bit of a cell that is turned is noticed", async (t) => {
  const bytes = encodeCell(LAMP, { value: VALUE, revision: 3, expiresAtMs: 9_000_000_000_000 });
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const turned = Buffer.from(bytes);
    turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    t.throws(() => decodeCell(LAMP, turned), RecordCorrupt, `bit ${bit}`);
  }
});

t.test("rubbish on Redis is corrupt to read and write, and stays as it is", async (t) => {
  const [store, redis] = await onRedis(t);
  const key = `t:r:{${LAMP}}`;
  const set = `return redis.call('SET', KEYS[1], (ARGV[1]:gsub('..', function(h) return string.char(tonumber(h, 16)) end)))`;
  const writes = Object.entries(rubbish()).map(
    ([name, bytes]) => [name, ["EVAL", set, "1", key, bytes.toString("hex")]] as const,
  );
  for (const [name, write] of [
    ...writes,
    ["another type", ["HSET", key, "canary", "1"]] as const,
  ]) {
    await redis.cli("DEL", key);
    await redis.cli(...write);
    const dumped = await redis.cli("DUMP", key);
    await t.rejects(store.readCell(LAMP), RecordCorrupt, `${name}, read`);
    await t.rejects(store.writeCell(LAMP, VALUE, 3, 1000), RecordCorrupt, `${name}, written`);
    await t.rejects(store.writeCell(LAMP, undefined, 0, 1000), RecordCorrupt, `${name}, removed`);
    t.equal(await redis.cli("DUMP", key), dumped, `${name} stays`);
  }
});

t.test("Lua and TypeScript write the same bytes, and Redis forgets them by itself", async (t) => {
  const [store, redis] = await onRedis(t);
  const key = `t:r:{${LAMP}}`;
  const hexOf = `return (redis.call('GET', KEYS[1]):gsub('.', function(c) return string.format('%02x', c:byte()) end))`;
  for (let revision = 1; revision <= 2; revision++) {
    t.equal(await store.writeCell(LAMP, VALUE, revision - 1, DAY_MS), "done");
    const expiresAtMs = Number(await redis.cli("PEXPIRETIME", key));
    const expected = encodeCell(LAMP, { value: VALUE, revision, expiresAtMs });
    t.equal(await redis.cli("EVAL", hexOf, "1", key), expected.toString("hex"));
    t.ok(Math.abs(expiresAtMs - Date.now() - DAY_MS) < 60_000);
  }
});

t.test("a full Redis refuses a value, lets one be removed, and keeps what it had", async (t) => {
  const [store, redis] = await onRedis(t);
  const big = new Uint8Array(1 << 18);
  await store.writeCell(LAMP, big, 0, DAY_MS);
  await redis.cli("CONFIG", "SET", "maxmemory", "1");
  await t.rejects(store.writeCell(LAMP, big, 1, DAY_MS), StoreFull);
  await t.rejects(store.writeCell(hex(32), VALUE, 0, DAY_MS), StoreFull);
  t.equal((await store.readCell(LAMP)).cell?.revision, 1);
  t.equal(await store.writeCell(LAMP, undefined, 1, DAY_MS), "done");
});

t.test("rubbish in the directory is corrupt to read and write", async (t) => {
  for (const [name, bytes] of Object.entries(rubbish())) {
    const dir = tempDir(t);
    const env = open({ path: dir, encoding: "binary", maxDbs: 8, overlappingSync: false });
    env.openDB<Buffer, string>("cells", { encoding: "binary" }).putSync(LAMP, bytes);
    await env.close();
    const store = createEmbeddedStore({ dir, timeoutMs: 5000 });
    await t.rejects(store.readCell(LAMP), RecordCorrupt, `${name}, read`);
    await t.rejects(store.writeCell(LAMP, VALUE, 3, 1000), RecordCorrupt, `${name}, written`);
    await store.close();
  }
});

t.test("cells outlive close and reopen, and the sweeper deletes the expired ones", async (t) => {
  let nowMs = 1_700_000_000_000;
  const dir = tempDir(t);
  const now = (): number => nowMs;
  const first = createEmbeddedStore({ dir, timeoutMs: 5000, now });
  await first.writeCell(LAMP, VALUE, 0, DAY_MS);
  const short = Array.from({ length: 700 }, () => hex(32));
  await Promise.all(short.map((id) => first.writeCell(id, VALUE, 0, 10)));
  await first.close();
  const second = createEmbeddedStore({ dir, timeoutMs: 5000, now });
  t.teardown(() => second.close());
  nowMs += 20;
  // A reader whose clock stands still sees what is really there.
  const raw = createEmbeddedStore({ dir, timeoutMs: 5000, now: () => 1_700_000_000_000 });
  t.teardown(() => raw.close());
  const there = async (): Promise<number> => {
    const cells = await Promise.all(short.map((id) => raw.readCell(id)));
    return cells.filter(({ cell }) => cell !== undefined).length;
  };
  t.equal(await there(), 700);
  await until(async () => (await there()) === 0);
  const { cell } = await second.readCell(LAMP);
  t.same(Buffer.from(cell?.value ?? []), Buffer.from(VALUE));
});

t.test("a full memory store refuses a new cell, and makes room by expiry", async (t) => {
  let nowMs = 1_700_000_000_000;
  const store = createMemoryStore({ now: () => nowMs, maxRecords: 2 });
  const [kept, short, next] = [hex(32), hex(32), hex(32)];
  await store.writeCell(kept, VALUE, 0, DAY_MS);
  await store.writeCell(short, VALUE, 0, 100);
  await t.rejects(store.writeCell(next, VALUE, 0, DAY_MS), {
    name: "StoreFull",
    message: "The memory store holds 2 live resources and no more.",
  });
  t.equal(await store.writeCell(kept, VALUE, 1, DAY_MS), "done", "what is there needs no room");
  nowMs += 100;
  t.equal(await store.writeCell(next, VALUE, 0, DAY_MS), "done");
  t.equal((await store.readCell(kept)).cell?.revision, 2);
  await store.close();
});
