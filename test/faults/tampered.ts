/**
 * Stored values tampered with: nothing of them is ever replayed, and the upstream does not hear of the request. Most
 * are read by the codec alone; every fiftieth lies in a real store, with a whole gateway in front of it.
 */
import { open } from "lmdb";
import { RecordCorrupt } from "../../src/core/ports.ts";
import { nameResource } from "../../src/core/resource-name.ts";
import type { HeaderPair, StoredRecord } from "../../src/core/record.ts";
import { decodeCell, encodeCell } from "../../src/store/cell.ts";
import { decodeRecord, decodeSummary, encodeRecord } from "../../src/store/codec.ts";
import { connectRedisNodes } from "../../src/store/redis-nodes.ts";
import type { BatchResult } from "../proof/row.ts";
import { Random } from "../support/random.ts";
import { call as ask } from "../support/client.ts";
import { startGateway, tempDir, type TestGateway } from "../support/gateway.ts";
import { startRedis } from "../support/redis-server.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";
import { CELL, damaged, DAMAGES, forged, RECORD } from "./damage.ts";

/** Every so manieth value lies in a store. */
const STORED_EVERY = 50;

export function runTampered(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const violations: string[] = [];
    const counts = { read: 0, stored: 0 };
    const stored: number[] = [];
    for (let number = first; number < first + count; number += 1) {
      if (number % STORED_EVERY === 0) stored.push(number);
      else {
        const found = readDamaged(number);
        if (found !== undefined) violations.push(`${number}: ${found}`);
        counts.read += 1;
      }
    }
    if (stored.length === 0) return { done: count, violations, counts };
    const places = [await onRedis(t), await onLmdb(t)];
    for (const number of stored) {
      const place = places[(number / STORED_EVERY) % places.length];
      if (place === undefined) throw new Error("there is no such store");
      const what = number % (4 * STORED_EVERY) < 2 * STORED_EVERY ? inRecord : inCell;
      const found = await what(number, place);
      violations.push(...found.map((text) => `${number}, ${place.name}: ${text}`));
      counts.stored += 1;
    }
    return { done: count, violations, counts };
  });
}

/** Damages a value and reads it; what went wrong, where something did. */
function readDamaged(number: number): string | undefined {
  const random = new Random(number);
  const damage = random.pick([...DAMAGES, "forged" as const]);
  const [id, otherId] = [random.token() + random.token(), random.token() + random.token()];
  if (damage !== "forged" && random.chance(0.25)) {
    const bytes = damaged(
      encodeCell(id, cellOf(random)),
      encodeCell(otherId, cellOf(random)),
      damage,
      CELL,
      random,
    );
    return isCorrupt(() => decodeCell(id, bytes)) ? undefined : `a cell (${damage}) was read`;
  }
  const record = recordOf(id, random);
  if (damage === "forged") {
    const bytes = forged(record, random);
    return isCorrupt(() => decodeRecord(id, bytes)) ? undefined : "a forged answer was read";
  }
  const value = encodeRecord(record);
  const bytes = damaged(value, encodeRecord(recordOf(otherId, random)), damage, RECORD, random);
  if (!isCorrupt(() => decodeRecord(id, bytes))) return `a ${record.state} (${damage}) was read`;
  // A summary reads no body, so it may be read where only that is damaged; then it says what was stored.
  const sealed = value.length - bodyOf(record).length;
  if (isCorrupt(() => decodeSummary(id, bytes))) return undefined;
  return bytes.subarray(0, sealed).equals(value.subarray(0, sealed))
    ? undefined
    : `a summary of a ${record.state} (${damage}) was read`;
}

function isCorrupt(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (error instanceof RecordCorrupt) return true;
    throw error;
  }
}

function cellOf(random: Random) {
  const value = Buffer.from(random.token().repeat(random.int(5)), "hex");
  return {
    value,
    revision: random.between(1, 1000),
    expiresAtMs: 1_800_000_000_000 + random.int(1e9),
  };
}

function bodyOf(record: StoredRecord): Uint8Array {
  return (record.state === "completed" && record.response?.body) || new Uint8Array();
}

function recordOf(id: string, random: Random): StoredRecord {
  const atMs = 1_790_000_000_000 + random.int(1e9);
  const base = {
    id,
    fingerprint: random.token() + random.token(),
    token: random.token(),
    fence: random.between(1, 5),
    createdAtMs: atMs,
    method: random.pick(["POST", "PUT", "DELETE"]),
    target: `/charges/${random.token().slice(0, random.int(32))}`,
    route: random.pick(["default", "charges"]),
    claimedBy: random.pick(["", "gateway/1"]),
    expiresAtMs: atMs + 86_400_000,
  };
  switch (random.int(5)) {
    case 0:
      return { ...base, state: "in-flight", leaseUntilMs: atMs + 31_000 };
    case 1:
      return {
        ...base,
        state: "unknown",
        reason: random.pick(["timeout", "reset"]),
        sinceMs: atMs,
      };
    case 2:
      return { ...base, state: "completed", completedAtMs: atMs, response: undefined };
    default: {
      const headers: HeaderPair[] = [
        ["Content-Type", "application/json"],
        ["Location", `/charges/${random.int(1000)}`],
      ];
      const body = random.chance(0.2)
        ? undefined
        : Buffer.from(random.token().repeat(random.int(20)), "hex");
      const response = { status: random.pick([200, 201, 404]), headers, body };
      return { ...base, state: "completed", completedAtMs: atMs, response };
    }
  }
}

/** A gateway on a store whose bytes can be had and changed. */
interface TamperPlace {
  readonly name: string;
  readonly gateway: TestGateway;
  readonly upstream: TestUpstream;
  read(kind: "record" | "cell", id: string): Promise<Buffer>;
  write(kind: "record" | "cell", id: string, value: Buffer): Promise<void>;
}

const route = {
  name: "things",
  match: { path: "/things/:id", methods: ["PUT", "DELETE"] },
  resource: {
    ...{ id: "path", serialize: "reject" },
    afterDelete: { remember: "1h", put: 410, delete: "replay" },
  },
};

async function gatewayOn(
  t: Teardown,
  store: object,
): Promise<Pick<TamperPlace, "gateway" | "upstream">> {
  const upstream = await startUpstream(t, { answer: { status: 201, body: "the answer" } });
  const settings = { upstream: { url: upstream.url }, store, routes: [route] };
  return { upstream, gateway: await startGateway(t, settings) };
}

async function onRedis(t: Teardown): Promise<TamperPlace> {
  const redis = await startRedis(t);
  const running = await gatewayOn(t, { url: redis.url, keyPrefix: "t:" });
  const [node] = connectRedisNodes([redis.url], 2000);
  if (node === undefined) throw new Error("there is no connection");
  t.teardown(() => node.close());
  const keyOf = (kind: string, id: string): string => `t:${kind === "cell" ? "r:" : ""}{${id}}`;
  const read = `return (redis.call('GET', KEYS[1]):gsub('.', function(c) return string.format('%02x', c:byte()) end))`;
  const write = `redis.call('SET', KEYS[1], (ARGV[1]:gsub('..', function(h) return string.char(tonumber(h, 16)) end)), 'KEEPTTL')`;
  return {
    name: "Redis",
    ...running,
    async read(kind, id) {
      return Buffer.from(String(await node.runScript(read, keyOf(kind, id), [])), "hex");
    },
    async write(kind, id, value) {
      await node.runScript(`${write}\nreturn 1`, keyOf(kind, id), [value.toString("hex")]);
    },
  };
}

async function onLmdb(t: Teardown): Promise<TamperPlace> {
  const dir = tempDir(t);
  const running = await gatewayOn(t, { url: `file:${dir}` });
  const env = open({ path: dir, encoding: "binary", maxDbs: 8, overlappingSync: false });
  t.teardown(() => env.close());
  const tables = {
    record: env.openDB<Buffer, string>("records", { encoding: "binary" }),
    cell: env.openDB<Buffer, string>("cells", { encoding: "binary" }),
  };
  return {
    name: "LMDB",
    ...running,
    async read(kind, id) {
      env.resetReadTxn();
      const value = tables[kind].getBinary(id);
      if (value === undefined) throw new Error(`there is no ${kind}`);
      return Buffer.from(value);
    },
    async write(kind, id, value) {
      await tables[kind].put(id, value);
    },
  };
}

type Asked = Readonly<Record<"status" | "outcome" | "record", string>>;

async function send(
  { gateway }: TamperPlace,
  method: string,
  path: string,
  key: string,
): Promise<Asked> {
  const body = method === "DELETE" ? {} : { body: "{}" };
  const headers = { "idempotency-key": key, "content-type": "application/json" };
  const answer = await ask(`${gateway.url}${path}`, { method, headers, ...body });
  return {
    status: String(answer.status),
    outcome: answer.header("idempotency-status") ?? "none",
    record: answer.header("idempotency-record") ?? "",
  };
}

/** A recorded answer is damaged: whoever asks again, with the same request or another, is told so. */
async function inRecord(number: number, place: TamperPlace): Promise<readonly string[]> {
  const random = new Random(number);
  const keys = [`${number}-a`, `${number}-b`] as const;
  const mine = await send(place, "POST", "/charges", keys[0]);
  const other = await send(place, "POST", "/charges", keys[1]);
  const damage = random.pick(DAMAGES);
  const values = [
    await place.read("record", mine.record),
    await place.read("record", other.record),
  ];
  const [value = Buffer.alloc(0), theirs = Buffer.alloc(0)] = values;
  await place.write("record", mine.record, damaged(value, theirs, damage, RECORD, random));
  return refusedUnsent(place, damage, () => send(place, "POST", "/charges", keys[0]));
}

/** The memory of a deletion is damaged: the write that it stands against is not let through. */
async function inCell(number: number, place: TamperPlace): Promise<readonly string[]> {
  const random = new Random(number);
  const paths = [`/things/${number}`, `/things/${number}-b`] as const;
  for (const path of paths) await send(place, "DELETE", path, `${path}-delete`);
  const damage = random.pick(DAMAGES);
  const id = resourceIdOf(paths[0]);
  const values = [await place.read("cell", id), await place.read("cell", resourceIdOf(paths[1]))];
  const [value = Buffer.alloc(0), theirs = Buffer.alloc(0)] = values;
  await place.write("cell", id, damaged(value, theirs, damage, CELL, random));
  return refusedUnsent(place, damage, () => send(place, "PUT", paths[0], `${paths[0]}-put`));
}

function resourceIdOf(path: string): string {
  const given = { method: "PUT", path, query: "" };
  const source = { ...given, parameters: new Map<string, string>(), json: undefined };
  const named = nameResource({ from: "path" }, source);
  if (named.kind !== "named") throw new Error("the path names nothing");
  return named.id;
}

async function refusedUnsent(
  { upstream }: TamperPlace,
  damage: string,
  again: () => Promise<Asked>,
): Promise<readonly string[]> {
  const calls = upstream.count();
  const { status, outcome } = await again();
  return [
    ...(status === "502" && outcome === "record-corrupt"
      ? []
      : [`told ${status} ${outcome} (${damage})`]),
    ...(upstream.count() === calls ? [] : [`the upstream was called (${damage})`]),
  ];
}
