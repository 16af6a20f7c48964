/** Resolving with the answer that retries are to get: what is taken, what is refused and why, and what the log is told. */
import t from "tap";
import type { Policy, ResourcePolicy } from "../../src/core/policy.ts";
import { StoreFull } from "../../src/core/ports.ts";
import type { AdminOptions } from "../../src/admin/server.ts";
import { newPolicy } from "../support/policy.ts";
import { CANARY, IDS } from "./desk.ts";
import { startPort, type Ask } from "./port.ts";

const POLICY = newPolicy({
  retention: { completedMs: 7_200_000, unknownMs: 1 },
  replay: { ...newPolicy().replay, dropHeaders: ["set-cookie"] },
});
const ONCE: ResourcePolicy = {
  id: { from: "path" },
  serialize: "wait",
  precondition: "off",
  put: "upsert",
  once: true,
  afterDelete: undefined,
};
const PATH = `/v1/records/${IDS.unknown}/resolve`;
const ANSWER = { status: 201, headers: [["Content-Type", "text/plain"]], body: "paid" };
const AUDIT = {
  action: "resolve",
  recordId: IDS.unknown,
  outcome: "executed",
  remote: "127.0.0.1",
};

const told = (document: unknown): Ask => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: typeof document === "string" ? document : JSON.stringify(document),
});
const executed = (answer: unknown): Ask => told({ outcome: "executed", answer });

/** A port whose records are all of a route with this policy. */
const ruledBy = (policy: Policy | undefined): Partial<AdminOptions> => ({
  policies: () => (policy === undefined ? [] : [policy]),
  policyOf: () => policy,
});

t.test("an answer is recorded for its route's retention, and only its size is told", async (t) => {
  const asked: unknown[] = [];
  const { ask, desk, audits } = await startPort(t, {
    policies: () => [POLICY],
    policyOf: (...about) => {
      asked.push(about);
      return POLICY;
    },
  });
  const headers = [
    ["Content-Type", "text/plain"],
    ["X-Twice", "a"],
    ["x-twice", "é\tb"],
    ["Set-Cookie", CANARY],
    ["Date", "Mon, 01 Jan 2024 00:00:00 GMT"],
    ["X-Empty", ""],
  ];
  const answer = await ask(PATH, executed({ status: 201, headers, body: `${CANARY} é` }));
  t.equal(answer.status, 200);
  const bytes = CANARY.length + 3;
  t.strictSame(answer.json, {
    id: IDS.unknown,
    outcome: "executed",
    answer: { status: 201, bytes },
  });
  t.strictSame(asked, [["POST", "/v1/charges"]], "its route is found without the query");
  const [look, settle] = desk.asked as [unknown, { finding: { response: { body: Buffer } } }];
  t.strictSame(look, { look: IDS.unknown });
  t.equal(settle.finding.response.body.toString(), `${CANARY} é`);
  t.match(settle, {
    settle: IDS.unknown,
    attempt: CANARY.padEnd(32, "0"),
    finding: {
      kind: "executed",
      retentionMs: 7_200_000,
      token: "e".repeat(32),
      response: {
        status: 201,
        headers: [
          ["Content-Type", "text/plain"],
          ["X-Twice", "a"],
          ["x-twice", "é\tb"],
          ["X-Empty", ""],
        ],
      },
    },
  });
  t.strictSame(audits, [{ ...AUDIT, givenStatus: 201, givenBytes: bytes, answer: "done" }]);
  const { json } = await ask(`/v1/records/${IDS.unknown}`);
  t.match(json, { state: "completed", status: 201, replayable: true, contentType: "text/plain" });
});

t.test("bytes that are no text come in base64, and are the same bytes", async (t) => {
  const { ask, desk } = await startPort(t, ruledBy(POLICY));
  const bytes = Buffer.from([0, 0xff, 0xfe, 0x0a]);
  const bodyBase64 = bytes.toString("base64");
  t.equal((await ask(PATH, executed({ status: 200, headers: [], bodyBase64 }))).status, 200);
  t.match(desk.asked, [{}, { finding: { response: { status: 200, headers: [], body: bytes } } }]);
});

t.test("what no answer may say is refused with its reason before the store is asked", async (t) => {
  const { ask, desk, audits } = await startPort(t, ruledBy(POLICY));
  const field = (...pair: readonly unknown[]) => executed({ ...ANSWER, headers: [pair] });
  const form = /^The answer must be /;
  const rows: readonly (readonly [ask: Ask, detail: RegExp])[] = [
    [told({ outcome: "not-executed", answer: ANSWER }), /not executed has no answer/],
    [
      told({ outcome: "executed", anwser: ANSWER }),
      /nothing else but "attempt" and, with executed, "answer"/,
    ],
    [told({ answer: ANSWER }), /^The body must be /],
    [executed(null), form],
    [executed(CANARY), form],
    [executed([]), form],
    [executed({ ...ANSWER, reason: CANARY }), form],
    [executed({ ...ANSWER, status: "201" }), form],
    [executed({ ...ANSWER, headers: { "Content-Type": "text/plain" } }), form],
    [executed({ status: 201, headers: [] }), form],
    [executed({ ...ANSWER, bodyBase64: "" }), form],
    [field("X-One"), form],
    [field("X-One", 1), form],
    [executed({ status: 201, headers: [], body: 1 }), /body must be text/],
    [told('{"outcome":"executed","answer":{"status":200,"headers":[],"body":"\\ud800"}}'), /UTF-8/],
    [executed({ status: 201, headers: [], bodyBase64: `${CANARY}=` }), /base64/],
    [executed({ status: 201, headers: [], bodyBase64: "YQ" }), /padding/],
    [executed({ ...ANSWER, status: 199 }), /200 to 599/],
    [executed({ ...ANSWER, status: 600 }), /200 to 599/],
    [executed({ ...ANSWER, status: 200.5 }), /whole number/],
    ...[204, 205, 304].map((status): readonly [Ask, RegExp] => [
      executed({ ...ANSWER, status }),
      new RegExp(`${status} has no body`),
    ]),
    [field("", "a"), /field 1 has a name that is none/],
    [field("X One", "a"), /name that is none/],
    [field("X-One", `a\r\nSet-Cookie: ${CANARY}`), /field 1 has a value/],
    [field("X-One", " a"), /white space/],
    [field("X-One", "€"), /one byte/],
    [field("Content-Length", "4"), /is content-length, which/],
    [field("Transfer-Encoding", "chunked"), /is transfer-encoding/],
    [field("CONNECTION", "close"), /is connection/],
    [field("Proxy-Authenticate", "Basic"), /is proxy-authenticate/],
    [field("Idempotency-Status", "executed"), /is idempotency-status/],
    [executed({ ...ANSWER, headers: [["X-One", "a".repeat(16_384)]] }), /16384 bytes/],
    // How many there are is judged before what stands in any of them.
    [executed({ ...ANSWER, headers: Array.from({ length: 4097 }, () => ["", ""]) }), /16384 bytes/],
  ];
  for (const [asking, detail] of rows) {
    const answer = await ask(PATH, asking);
    t.match(answer.json, { status: 400, code: "request-invalid", detail }, String(asking.body));
    t.notMatch(answer.body, CANARY);
  }
  t.strictSame([desk.asked, audits], [[], []]);
});

t.test("what the record's route does not record is 422 with its reason, and audited", async (t) => {
  const { respond } = POLICY;
  const rows: readonly (readonly [Policy | undefined, object, RegExp])[] = [
    [undefined, ANSWER, /does not enforce/],
    [{ ...POLICY, mode: "shadow" }, ANSWER, /does not enforce/],
    [{ ...POLICY, respond: { ...respond, keepsAnswer: false } }, ANSWER, /respond\.record: never/],
    [POLICY, { ...ANSWER, status: 503 }, /respond\.release/],
    [POLICY, { ...ANSWER, status: 504 }, /respond\.unknown/],
    [POLICY, { ...ANSWER, body: "a".repeat(1025) }, /up to 1024 bytes/],
    [
      { ...POLICY, resource: ONCE },
      { ...ANSWER, status: 303 },
      /resource\.once.* not 2xx would free/,
    ],
  ];
  for (const [policy, given, detail] of rows) {
    const { ask, desk, audits } = await startPort(t, ruledBy(policy));
    const answer = await ask(PATH, executed(given));
    t.match(answer.json, { status: 422, code: "answer-not-recordable", detail });
    t.match(answer.json, { detail: /without an answer it can be resolved as ever\.$/ });
    t.strictSame(desk.asked, [{ look: IDS.unknown }], "nothing is written");
    t.match(audits, [{ ...AUDIT, answer: "refused" }]);
    t.equal((await ask(PATH, told({ outcome: "executed" }))).status, 200, "as ever");
  }
  const { ask } = await startPort(t, ruledBy(POLICY));
  const most = await ask(PATH, executed({ ...ANSWER, status: 402, body: "a".repeat(1024) }));
  t.equal(most.status, 200, "a refusal that the upstream would have answered, and as many bytes");
});

t.test("what is not unknown, or no longer the attempt that was looked at, is 409", async (t) => {
  const { ask, desk, audits } = await startPort(t, ruledBy(POLICY));
  for (const id of [IDS.inFlight, IDS.completed]) {
    const answer = await ask(`/v1/records/${id}/resolve`, executed(ANSWER));
    t.match(answer.json, { status: 409, code: "record-not-unknown" });
  }
  const early = await ask(PATH, told({ outcome: "executed", attempt: "0", answer: ANSWER }));
  t.match(early.json, { status: 409, code: "record-overtaken" });
  const absent = await ask(`/v1/records/${IDS.absent}/resolve`, executed(ANSWER));
  t.match(absent.json, { status: 404, code: "record-absent" });
  desk.overtake();
  const overtaken = await ask(PATH, executed(ANSWER));
  t.match(overtaken.json, { status: 409, code: "record-overtaken", detail: /claimed again/ });
  t.match((await ask(`/v1/records/${IDS.unknown}`)).json, { state: "unknown", fence: 3 });
  t.match(audits, ["not-unknown", "not-unknown", "overtaken", "absent", "overtaken"].map((answer) => ({ answer }))); // prettier-ignore
});

t.test("a store without room is told as that, and audited as failed", async (t) => {
  const { ask, desk, audits } = await startPort(t, ruledBy(POLICY));
  desk.breakWith(new StoreFull(CANARY));
  const answer = await ask(PATH, executed(ANSWER));
  t.match(answer.json, { status: 503, code: "store-unavailable", detail: /nothing was changed/ });
  t.equal(answer.headers["retry-after"], "1");
  t.notMatch(answer.body, CANARY);
  t.match(audits, [{ ...AUDIT, givenStatus: 201, givenBytes: 4, answer: "failed" }]);
});

t.test("as much is read as the longest recorded body takes in base64", async (t) => {
  const longest = { ...POLICY, limits: { ...POLICY.limits, responseBytes: 100_000 } };
  const { ask } = await startPort(t, {
    policies: () => [POLICY, longest],
    policyOf: () => longest,
  });
  const given = (bytes: number) => {
    const bodyBase64 = Buffer.alloc(bytes, "\0").toString("base64");
    return executed({ status: 200, headers: [["X-Long", "ÿ".repeat(16_000)]], bodyBase64 });
  };
  const most = Math.ceil(100_000 / 3) * 4 + 65_536;
  const over = await ask(PATH, { ...given(0), body: " ".repeat(most + 1) });
  t.match(over.json, { status: 413, code: "body-too-large", detail: `${most} bytes` });
  t.equal((await ask(PATH, given(100_000))).status, 200);
});
