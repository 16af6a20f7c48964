import { pack } from "msgpackr";
import t from "tap";
import { RecordCorrupt } from "../../src/core/ports.ts";
import type { CompletedRecord, StoredRecord } from "../../src/core/record.ts";
import { decodeRecord, decodeSummary, encodeRecord } from "../../src/store/codec.ts";

const nowMs = 1_763_756_471_123;
const base = {
  id: "0123456789abcdef".repeat(4),
  fingerprint: "fe".repeat(32),
  fence: 3,
  createdAtMs: nowMs,
  method: "POST",
  target: "/v1/charges",
  route: "charges",
  token: "0a".repeat(16),
  expiresAtMs: nowMs + 86_400_000,
};
const completed: CompletedRecord = {
  ...base,
  state: "completed",
  completedAtMs: nowMs + 5,
  response: { status: 200, headers: [["X-A", "b"]], body: Buffer.from("body\0") },
};
const good = encodeRecord(completed);

t.test("every state comes back as it went in", async (t) => {
  const records: StoredRecord[] = [
    completed,
    { ...completed, response: undefined },
    { ...completed, response: { status: 200, headers: [], body: undefined } },
    { ...base, state: "in-flight", leaseUntilMs: nowMs + 31_000 },
    { ...base, state: "unknown", reason: "truncated", sinceMs: nowMs },
  ];
  for (const record of records) t.same(decodeRecord(base.id, encodeRecord(record)), record);
});

t.test("a summary needs no body, and says whether there is one", async (t) => {
  const withoutBody = good.subarray(0, good.length - 5);
  const summary = { replayable: true, response: { status: 200, headers: [["X-A", "b"]] } };
  t.match(decodeSummary(base.id, withoutBody), summary);
  t.match(decodeSummary(base.id, good), summary);
});

t.test("tampered values are corrupt, each of them, and the error quotes nothing", async (t) => {
  const head = good.subarray(0, 81);
  const fields = ["completed", 3, nowMs, nowMs, nowMs, "POST", "/", "r", ""];
  const withFields = (at: number, value: unknown): Buffer =>
    Buffer.concat([head, pack(fields.with(at, value as string))]);
  const withAnswer = (answer: unknown, body = ""): Buffer =>
    Buffer.concat([head, pack(fields), pack(answer), Buffer.from(body)]);
  const byteAt = (at: number, byte: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = byte;
    return bytes;
  };
  const tampered: Record<string, Buffer> = {
    empty: Buffer.alloc(0),
    "head only": head,
    "another version": byteAt(0, 2),
    "another id": byteAt(1, 0xff),
    "not msgpack": Buffer.concat([head, Buffer.from([0xc1, 0xc1])]),
    "cut inside the fields": good.subarray(0, 90),
    "a map for fields": Buffer.concat([head, pack({ state: "completed" })]),
    "too few fields": Buffer.concat([head, pack(fields.slice(1))]),
    "an unknown state": withFields(0, "canary"),
    "an unknown reason": Buffer.concat([
      head,
      pack(["unknown", 1, 1, 1, 1, "P", "/", "r", "canary"]),
    ]),
    "fence 0": withFields(1, 0),
    "a fractional fence": withFields(1, 1.5),
    "a negative time": withFields(2, -1),
    "a time as text": withFields(3, "canary"),
    "a time too large": withFields(4, 2n ** 63n),
    "a method that is no text": withFields(5, 7),
    "a target that is no text": withFields(6, null),
    "an answer in flight": Buffer.concat([
      head,
      pack(["in-flight", 1, 1, 1, 1, "P", "/", "r", ""]),
      pack([200, [], 0]),
    ]),
    "a body that is cut": good.subarray(0, good.length - 1),
    "a body that is too long": Buffer.concat([good, Buffer.from("x")]),
    "a body where there is none": withAnswer([200, [], null], "canary"),
    "an answer without body length": withAnswer([200, []]),
    "status 99": withAnswer([99, [], 0]),
    "status 1000": withAnswer([1000, [], 0]),
    "headers as a map": withAnswer([200, { canary: "x" }, 0]),
    "a header without value": withAnswer([200, [["canary"]], 0]),
    "CR LF in a value": withAnswer([200, [["X", "canary\r\nSet-Cookie: x"]], 0]),
    "NUL in a value": withAnswer([200, [["X", "canary\0"]], 0]),
    "a value beyond latin1": withAnswer([200, [["X", "canary\u0100"]], 0]),
    "a name with a space": withAnswer([200, [["can ary", "x"]], 0]),
    "an empty name": withAnswer([200, [["", "x"]], 0]),
  };
  for (const [name, bytes] of Object.entries(tampered)) {
    t.throws(() => decodeRecord(base.id, bytes), RecordCorrupt, name);
    try {
      decodeRecord(base.id, bytes);
    } catch (error) {
      t.notMatch(String(error instanceof Error && error.stack), /canary/, name);
    }
  }
});
