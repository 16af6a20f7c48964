/**
 * Encryption at rest: what is stored opens with the right key in the right place and nowhere else, also where whoever
 * writes to the store seals as a store would; and the bytes of earlier releases are read.
 */
import { createSecretKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import t, { type Test } from "tap";
import { RecordCorrupt, type Store } from "../../src/core/ports.ts";
import type { CompletedRecord } from "../../src/core/record.ts";
import type { Cells } from "../../src/core/resource-ports.ts";
import { decodeRecord, decodeSummary, encodeRecord } from "../../src/store/codec.ts";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { encryptedCells } from "../../src/store/encrypted-cells.ts";
import type { EncryptionKey, Keyring } from "../../src/store/encryption.ts";
import { memoryCells } from "../../src/store/memory-cells.ts";
import { ExpiringMap } from "../../src/store/expiring-map.ts";
import { createRedisStore } from "../../src/store/redis.ts";
import { sealOf } from "../../src/store/seal.ts";
import { tempDir } from "../support/gateway.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { storeContract } from "./contract.ts";
import { answerOf, claimOf, DAY_MS } from "./contract-values.ts";

const redis = await startRedis(t);
let prefixes = 0;

const keyOf = (id: string, hex = randomBytes(32).toString("hex")): EncryptionKey => ({
  id,
  secret: createSecretKey(hex, "hex"),
});
const ringOf = (plain: Keyring["plain"], ...keys: EncryptionKey[]): Keyring => ({ plain, keys });

const frozenKey = keyOf("2026-11", "00112233445566778899aabbccddeeff".repeat(2));
const keyring = ringOf("refuse", frozenKey);
const record: CompletedRecord = {
  id: "0123456789abcdef".repeat(4),
  fingerprint: "fe".repeat(32),
  fence: 3,
  createdAtMs: 1_763_756_471_123,
  method: "POST",
  target: "/v1/charges",
  route: "charges",
  claimedBy: "gateway/1",
  token: "0a".repeat(16),
  expiresAtMs: 1_763_842_871_123,
  state: "completed",
  completedAtMs: 1_763_756_471_128,
  response: {
    status: 201,
    headers: [
      ["Location", "/v1/charges/ch_1"],
      ["X-A", "b"],
    ],
    body: Buffer.from('{"id":"ch_1"}\0'),
  },
};
/** `record` in format 2, plain and encrypted; it knew no `claimedBy`. */
const FROZEN_PLAIN =
  "AgAAAEEAAAA3ASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze/+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/goKCgoKCgoKCgoKCgoKCgqZqWNvbXBsZXRlZAPTAAABmqgT81PTAAABmq06T1PTAAABmqgT81ikUE9TVKsvdjEvY2hhcmdlc6djaGFyZ2VzoJDO7f5jg1BePrO5WwyGymWTzMmSkqhMb2NhdGlvbrAvdjEvY2hhcmdlcy9jaF8xkqNYLUGhYg4531jCjDLkxL0dGNjme2hieyJpZCI6ImNoXzEifQA=";
const FROZEN_ENCRYPTED =
  "AgAAAEEAAABeASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze/+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/goKCgoKCgoKCgoKCgoKCgqZqWNvbXBsZXRlZAPTAAABmqgT81PTAAABmq06T1PTAAABmqgT81ikUE9TVKsvdjEvY2hhcmdlc6djaGFyZ2VzoB49c50gwl8naHgOeGPbt7KSpzIwMjYtMTHEQ+Bnh6MBeyebu6CTmbNR0otqFxLvRxFHF9AIghEGE7KtatQ3IeexeouOWbInlYdQV9yZarD8rMOujl8oElQsUfTL95inXoRShsSfRJO7xdH0JWsKZ3+aC9Wkqhn3HhjM8u8iKEEnzvYZk0/o5vaMaibCkNamYDD5F+xNjRlc";

/** Why it is refused; undefined where it is read. Anything else that goes wrong is thrown. */
function refusal(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof RecordCorrupt) return error.reason;
    throw error;
  }
}

const FIELDS_AT = 89;

/** Sealed anew after it was changed, as whoever may write to the store can. */
function resealed(bytes: Buffer): Buffer {
  const bodyAt = FIELDS_AT + bytes.readUInt32BE(1) + bytes.readUInt32BE(5) + 16;
  const answerAt = FIELDS_AT + bytes.readUInt32BE(1);
  const copy = Buffer.from(bytes);
  sealOf(copy.subarray(bodyAt)).copy(copy, answerAt);
  sealOf(copy.subarray(0, bodyAt - 16)).copy(copy, bodyAt - 16);
  return copy;
}

t.test("the format before is read, plain and encrypted", async (t) => {
  const earlier = { ...record, claimedBy: "" };
  const plain = Buffer.from(FROZEN_PLAIN, "base64");
  const encrypted = Buffer.from(FROZEN_ENCRYPTED, "base64");
  t.same(decodeRecord(record.id, plain), earlier);
  t.same(decodeRecord(record.id, encrypted, keyring), earlier);
  t.same(decodeRecord(record.id, plain, ringOf("accept", frozenKey)), earlier);
  t.equal(
    refusal(() => decodeRecord(record.id, plain, keyring)),
    "not-encrypted",
  );
  t.equal(
    refusal(() => decodeSummary(record.id, plain, keyring)),
    "not-encrypted",
  );
  t.equal(
    refusal(() => decodeRecord(record.id, encrypted)),
    "key-unknown",
    "no key, no answer",
  );
});

t.test(
  "any key of the ring opens, the first one writes, a key that is gone opens nothing",
  async (t) => {
    const [old, young] = [keyOf("old"), keyOf("young")];
    const written = encodeRecord(record, ringOf("refuse", old));
    t.same(decodeRecord(record.id, written, ringOf("refuse", young, old)), record);
    const rotated = encodeRecord(record, ringOf("refuse", young, old));
    t.same(decodeRecord(record.id, rotated, ringOf("refuse", young)), record);
    t.equal(
      refusal(() => decodeRecord(record.id, written, ringOf("refuse", young))),
      "key-unknown",
    );
    const impostor = ringOf("refuse", keyOf("old"));
    t.equal(
      refusal(() => decodeRecord(record.id, written, impostor)),
      "not-authentic",
    );
  },
);

t.test("no bit of an answer can be turned, also where it is sealed anew", async (t) => {
  const good = encodeRecord(record, keyring);
  const answerAt = FIELDS_AT + good.readUInt32BE(1);
  const sealAt = answerAt + good.readUInt32BE(5);
  const reasons = new Map<string | undefined, number>();
  for (let bit = (answerAt + 16) * 8; bit < good.length * 8; bit += 1) {
    const at = bit >> 3;
    if (at >= sealAt && at < sealAt + 16) continue;
    const turned = Buffer.from(good);
    turned[at] = (turned[at] ?? 0) ^ (1 << (bit & 7));
    const reason = refusal(() => decodeRecord(record.id, resealed(turned), keyring));
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  t.notOk(reasons.has(undefined), "each one is noticed");
  t.ok((reasons.get("not-authentic") ?? 0) > 8 * 80, JSON.stringify([...reasons]));
});

t.test(
  "an answer opens for its record and its claim alone, a body behind its own headers",
  async (t) => {
    const good = encodeRecord(record, keyring);
    for (const [name, at] of [
      ["another record", 9],
      ["another claim", 73],
    ] as const) {
      const moved = Buffer.from(good);
      moved[at] = (moved[at] ?? 0) ^ 1;
      const id = moved.toString("hex", 9, 41);
      t.equal(
        refusal(() => decodeRecord(id, resealed(moved), keyring)),
        "not-authentic",
        name,
      );
      t.equal(
        refusal(() => decodeSummary(id, resealed(moved), keyring)),
        "not-authentic",
        name,
      );
    }
    const again = encodeRecord(record, keyring);
    t.notSame(again, good, "the same answer is never the same bytes twice");
    const bodyAt = FIELDS_AT + good.readUInt32BE(1) + good.readUInt32BE(5) + 16;
    const mixed = resealed(Buffer.concat([good.subarray(0, bodyAt), again.subarray(bodyAt)]));
    t.equal(
      refusal(() => decodeRecord(record.id, mixed, keyring)),
      "not-authentic",
    );
  },
);

t.test("what is remembered of a resource opens as that revision of that cell alone", async (t) => {
  const inner = memoryCells(Date.now, new ExpiringMap(10, "resources"));
  const cells = encryptedCells(inner, keyring);
  const [id, other] = ["aa".repeat(32), "bb".repeat(32)];
  const secret = Buffer.from('{"content":"canary"}');
  t.equal(await cells.writeCell(id, secret, 0, DAY_MS), "done");
  t.same((await cells.readCell(id)).cell, { value: secret, revision: 1 });
  const stored = (await inner.readCell(id)).cell?.value ?? Buffer.alloc(0);
  t.notMatch(Buffer.from(stored).toString("latin1"), /canary/u);
  const reasonOf = async (from: Cells, at: string) => {
    const failed: unknown = await from.readCell(at).catch((error: unknown) => error);
    return failed instanceof RecordCorrupt ? failed.reason : "read";
  };
  await inner.writeCell(other, stored, 0, DAY_MS);
  t.equal(await reasonOf(cells, other), "not-authentic", "another cell");
  await inner.writeCell(id, stored, 1, DAY_MS);
  t.equal(await reasonOf(cells, id), "not-authentic", "another revision");
  await inner.writeCell(id, secret, 2, DAY_MS);
  t.equal(await reasonOf(cells, id), "not-encrypted");
  const accepting = encryptedCells(inner, ringOf("accept", frozenKey));
  t.same((await accepting.readCell(id)).cell?.value, secret);
  t.equal(await cells.writeCell(id, undefined, 3, DAY_MS), "done");
  t.equal((await cells.readCell(id)).cell, undefined);
});

/** Claims and completes one record whose answer carries canaries, and gives it back as the store tells of it. */
async function kept(store: Store): Promise<string> {
  const claim = claimOf();
  await store.claim(claim);
  const response = answerOf({ headers: [["X-Canary", "canary-header"]], body: Buffer.from("canary-body") }); // prettier-ignore
  await store.complete(claim.id, claim.token, response, DAY_MS);
  t.match(await store.claim({ ...claim, token: "1".repeat(32) }), { kind: "replay", record: { response } }); // prettier-ignore
  return claim.id;
}

async function openRedis(t: Test, keyPrefix: string): Promise<Store> {
  const store = createRedisStore({ url: redis.url, timeoutMs: 5000, keyPrefix, keyring });
  t.teardown(() => store.close());
  await until(async () => (await store.problems()).length === 0);
  return store;
}

t.test("neither LMDB nor Redis holds a byte of an answer", async (t) => {
  const dir = tempDir(t);
  const embedded = createEmbeddedStore({ dir, timeoutMs: 5000, keyring });
  await kept(embedded);
  await embedded.close();
  const file = readFileSync(join(dir, "data.mdb"), "latin1");
  t.match(file, /\/v1\/charges/u, "the target stays readable");
  t.notMatch(file, /canary/iu);

  const id = await kept(await openRedis(t, "bytes:"));
  const client = new Redis(redis.url);
  t.teardown(() => client.disconnect());
  const value = String(await client.getBuffer(`bytes:{${id}}`));
  t.match(value, /\/v1\/charges/u);
  t.notMatch(value, /canary/iu);
});

t.test("LMDB, encrypted, keeps the contract of the stores", async (t) => {
  storeContract(t, async (t) => {
    let nowMs = 1_700_000_000_000;
    const dir = tempDir(t);
    const open = async (): Promise<Store> => {
      const store = createEmbeddedStore({ dir, timeoutMs: 5000, now: () => nowMs, keyring });
      t.teardown(() => store.close());
      return store;
    };
    const pass = async (ms: number) => void (nowMs += ms);
    return { store: await open(), another: open, pass };
  });
});

t.test("Redis, encrypted, keeps the contract of the stores", async (t) => {
  storeContract(t, async (t) => {
    prefixes += 1;
    const keyPrefix = `encrypted${prefixes}:`;
    const store = await openRedis(t, keyPrefix);
    const pass = async (ms: number) => {
      const hourglass = claimOf({ leaseMs: ms - 1, unknownRetentionMs: 1 });
      await store.claim(hourglass);
      await until(async () => (await store.inspect(hourglass.id)) === undefined);
    };
    return { store, another: () => openRedis(t, keyPrefix), pass };
  });
});
