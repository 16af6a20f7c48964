import { pack } from "msgpackr";
import t from "tap";
import { RecordCorrupt } from "../../src/core/ports.ts";
import type { CompletedRecord, StoredRecord } from "../../src/core/record.ts";
import { decodeRecord, decodeSummary, encodeRecord } from "../../src/store/codec.ts";
import { sealOf } from "../../src/store/seal.ts";

const nowMs = 1_763_756_471_123;
const base = {
  id: "0123456789abcdef".repeat(4),
  fingerprint: "fe".repeat(32),
  fence: 3,
  createdAtMs: nowMs,
  method: "POST",
  target: "/v1/charges",
  route: "charges",
  claimedBy: "gateway/1",
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
    { ...completed, answeredBy: "probe" },
    { ...completed, answeredBy: "operator", response: undefined, shadow: true },
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

t.test("every bit that is turned, and every cut, is noticed", async (t) => {
  let noticed = 0;
  const corrupt = (bytes: Buffer): boolean => {
    try {
      decodeRecord(base.id, bytes);
      return false;
    } catch (error) {
      return error instanceof RecordCorrupt;
    }
  };
  for (let bit = 0; bit < good.length * 8; bit += 1) {
    const turned = Buffer.from(good);
    turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    noticed += corrupt(turned) ? 1 : 0;
  }
  t.equal(noticed, good.length * 8);
  for (let length = 0; length < good.length; length += 1) {
    t.ok(corrupt(good.subarray(0, length)), `cut to ${length}`);
  }
});

t.test("tampered values are corrupt, each of them, and the error quotes nothing", async (t) => {
  const fields = [
    "completed",
    3,
    nowMs,
    nowMs,
    nowMs,
    "POST",
    "/",
    "r",
    "",
    "gateway/1",
    false,
    "",
  ];
  /** Sealed as a store would, so that what is inside has to be judged by itself. */
  const sealed = (packed: Buffer, answer = Buffer.alloc(0), body = "", version = 3): Buffer => {
    const head = Buffer.from(good.subarray(0, 89));
    head[0] = version;
    head.writeUInt32BE(packed.length, 1);
    head.writeUInt32BE(answer.length, 5);
    return Buffer.concat([head, packed, answer, sealOf(head, packed, answer), Buffer.from(body)]);
  };
  const withFields = (at: number, value: unknown): Buffer =>
    sealed(pack(fields.with(at, value as string)));
  const withAnswer = (answer: unknown, body = "", seal = sealOf(Buffer.from(body))): Buffer =>
    sealed(pack(fields), Buffer.concat([seal, pack(answer)]), body);
  const byteAt = (at: number, byte: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = byte;
    return bytes;
  };
  t.equal(decodeRecord(base.id, withAnswer([200, [["A", "b"]], 1], "x")).state, "completed");
  const tampered: Record<string, Buffer> = {
    empty: Buffer.alloc(0),
    "head only": good.subarray(0, 89),
    "another version": byteAt(0, 1),
    "another id": byteAt(9, 0xff),
    "fields longer than all of it": byteAt(1, 0xff),
    "not msgpack": sealed(Buffer.from([0xc1, 0xc1])),
    "cut inside the fields": good.subarray(0, 100),
    "the fields of the format before": sealed(pack(fields.slice(0, 9))),
    "the format before with fields of this one": sealed(pack(fields), undefined, undefined, 2),
    "a claimer that is no text": withFields(9, null),
    "a shadow that is neither true nor false": withFields(10, ""),
    "answered by nobody that is known": withFields(11, "canary"),
    "a map for fields": sealed(pack({ state: "completed" })),
    "too few fields": sealed(pack(fields.slice(1))),
    "an unknown state": withFields(0, "canary"),
    "an unknown reason": sealed(
      pack(["unknown", 1, 1, 1, 1, "P", "/", "r", "canary", "g", false, ""]),
    ),
    "fence 0": withFields(1, 0),
    "a fractional fence": withFields(1, 1.5),
    "a negative time": withFields(2, -1),
    "a time as text": withFields(3, "canary"),
    "a time too large": withFields(4, 2n ** 63n),
    "a method that is no text": withFields(5, 7),
    "a target that is no text": withFields(6, null),
    "an answer in flight": sealed(
      pack(["in-flight", 1, 1, 1, 1, "P", "/", "r", "", "g", false, ""]),
      Buffer.concat([sealOf(Buffer.alloc(0)), pack([200, [], 0])]),
    ),
    "a body in flight": sealed(
      pack(["in-flight", 1, 1, 1, 1, "P", "/", "r", "", "g", false, ""]),
      Buffer.alloc(0),
      "canary",
    ),
    "a body behind what was resolved": sealed(pack(fields), Buffer.alloc(0), "canary"),
    "a body that is not the sealed one": withAnswer([200, [], 1], "x", sealOf(Buffer.from("y"))),
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
