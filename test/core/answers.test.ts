/** The statuses of design's contract row by row, the problems' shape, and what of an answer is kept. */
import t from "tap";
import { PROBLEM_CODES } from "../../src/core/outcome.ts";
import type { ProblemCode } from "../../src/core/outcome.ts";
import { originalOf, renderProblem } from "../../src/core/problem.ts";
import { shouldRetry, statusOf } from "../../src/core/profile.ts";
import {
  headersToRecord,
  headersToTell,
  retryAfterS,
  verdictOn,
} from "../../src/core/recordable.ts";
import type { CompletedRecord, HeaderPair } from "../../src/core/record.ts";
import { newPolicy } from "../support/policy.ts";

t.test("each situation has its status in each profile", async (t) => {
  const rows: readonly (readonly [ProblemCode, number, number, number])[] = [
    ["key-missing", 428, 400, 400],
    ["key-invalid", 400, 400, 400],
    ["key-reused", 409, 422, 400],
    ["in-flight", 409, 409, 409],
    ["outcome-unknown", 409, 409, 409],
    ["not-replayable", 409, 409, 409],
    ["conflict", 409, 409, 409],
    ["stale", 409, 409, 409],
    ["precondition-required", 428, 428, 428],
    ["precondition-failed", 412, 412, 412],
    ["resource-locked", 409, 409, 409],
    ["resource-unnamed", 400, 400, 400],
    ["gone", 410, 410, 410],
    ["not-found", 404, 404, 404],
    ["body-too-large", 413, 413, 413],
    ["body-invalid", 400, 400, 400],
    ["body-incomplete", 408, 408, 408],
    ["store-unavailable", 503, 503, 503],
    ["record-corrupt", 502, 502, 502],
    ["upstream-unreachable", 502, 502, 502],
    ["credentials-invalid", 401, 401, 401],
    ["quota-exceeded", 429, 429, 429],
    ["replay-denied", 403, 403, 403],
    ["access-unchecked", 503, 503, 503],
    ["request-invalid", 400, 400, 400],
    ["internal-error", 500, 500, 500],
  ];
  t.same(
    rows.map(([code]) => code),
    PROBLEM_CODES,
  );
  for (const [code, ...statuses] of rows) {
    for (const [at, profile] of (["default", "ietf", "stripe"] as const).entries()) {
      t.equal(statusOf(code, { profile, status: {} }), statuses[at], `${code}, ${profile}`);
      t.equal(statusOf(code, { profile, status: { [code]: 499 } }), 499);
    }
  }
});

function told(value: boolean | undefined): ProblemCode[] {
  return PROBLEM_CODES.filter((code) => shouldRetry(code) === value);
}

t.test("who must not retry is told so, and who should as well", async (t) => {
  t.same(told(false), [
    ...["key-reused", "outcome-unknown", "not-replayable", "conflict", "stale"],
    ...["precondition-failed", "record-corrupt", "replay-denied"],
  ]);
  t.same(told(true), [
    ...["in-flight", "resource-locked", "store-unavailable", "upstream-unreachable"],
    ...["quota-exceeded", "access-unchecked"],
  ]);
});

const completed: CompletedRecord = {
  state: "completed",
  id: "1".repeat(64),
  fingerprint: "f".repeat(64),
  fence: 1,
  createdAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  method: "POST",
  target: "/v1/charges?x=1",
  route: "charges",
  claimedBy: "gateway/1",
  token: "2".repeat(32),
  completedAtMs: 0,
  expiresAtMs: 1,
  response: {
    status: 201,
    headers: [["X-Canary", "canary"], ["location", "/v1/charges/7"]], // prettier-ignore
    body: Buffer.from("canary"),
  },
};

t.test("a problem is RFC 9457: its members, its media type, its documentation", async (t) => {
  for (const code of PROBLEM_CODES) {
    const { status, headers, body } = renderProblem({ code, status: 409 });
    const document = JSON.parse(Buffer.from(body).toString()) as Record<string, unknown>;
    t.equal(status, 409);
    t.same(headers, [["Content-Type", "application/problem+json"]]);
    t.same(Object.keys(document), ["type", "title", "status", "detail", "code"], code);
    t.match(document, { type: `urn:idempotency-gateway:problem:${code}`, status: 409, code });
    t.match(document["title"], /^[A-Z].*[a-z]$/);
    t.match(document["detail"], /\.$/);
  }
});

t.test("a problem names its record, its documentation and what it collided with", async (t) => {
  const { headers, body } = renderProblem({
    code: "key-reused",
    status: 422,
    detail: "Use another key.",
    recordId: completed.id,
    original: originalOf(completed),
    docsUrl: "https://docs.example/keys",
  });
  t.same(headers[1], ["Link", '<https://docs.example/keys>; rel="describedby"']);
  t.match(JSON.parse(Buffer.from(body).toString()), {
    detail: "Use another key.",
    instance: `urn:idempotency-gateway:record:${completed.id}`,
    original: { method: "POST", target: "/v1/charges", createdAt: "2026-01-02T03:04:05.006Z" },
  });
});

t.test(
  "`original` has status and Location of a completed request, and nothing of its payload",
  async (t) => {
    const original = originalOf(completed);
    t.match(original, { status: 201, location: "/v1/charges/7" });
    t.notMatch(JSON.stringify(original), /canary|ffff|2222/);
    const { response: _, completedAtMs: __, ...base } = completed;
    const inFlight = originalOf({ ...base, state: "in-flight", leaseUntilMs: 5 });
    t.same(Object.keys(inFlight), ["method", "target", "createdAt"]);
    t.same(Object.keys(originalOf({ ...completed, response: undefined })), Object.keys(inFlight));
  },
);

t.test(
  "not-processed statuses release, a proxy's statuses mean unknown, the rest is recorded",
  async (t) => {
    const policy = newPolicy();
    for (const status of [401, 407, 408, 421, 425, 429, 503]) {
      t.equal(verdictOn(status, policy), "release", `${status}`);
    }
    for (const status of [502, 504]) t.equal(verdictOn(status, policy), "unknown", `${status}`);
    for (const status of [200, 201, 204, 301, 304, 400, 403, 404, 409, 422, 500, 501, 505, 599]) {
      t.equal(verdictOn(status, policy), "record", `${status}`);
    }
    const own = newPolicy({ respond: { release: [404], unknown: [500], keepsAnswer: true } });
    t.same([404, 500, 503].map((status) => verdictOn(status, own)), ["release", "unknown", "record"]); // prettier-ignore
  },
);

t.test(
  "fields are kept in order, case and number; framing, Date and the gateway's own are not",
  async (t) => {
    const kept: HeaderPair[] = [
      ["Set-Cookie", "a=1"],
      ["LINK", "</1>"],
      ["set-cookie", "b=2"],
      ["X-Latin", "caf\u00e9"],
      ["Link", "</2>"],
      ["ETag", '"7"'],
    ];
    const framing = ["Content-Length", "transfer-encoding", "Trailer", "Connection", "Keep-Alive"];
    const own = ["Idempotency-Key", "idempotency-status", "Idempotency-Record", "Idempotent-Replayed", "Idempotency-Expires"]; // prettier-ignore
    const dropped = [...framing, ...own].map((name): HeaderPair => [name, "x"]);
    const date: HeaderPair = ["Date", "Fri, 02 Jan 2026 03:04:05 GMT"];
    t.same(headersToTell([date, ...dropped, ...kept]), [date, ...kept]);
    t.same(headersToRecord([date, ...dropped, ...kept], []), kept);
    t.same(
      headersToRecord([date, ...kept], ["set-cookie"]),
      kept.filter(([name]) => !/cookie/i.test(name)),
    );
  },
);

t.test(
  "Retry-After: what is usual less what has passed, at least a second, never past the lease",
  async (t) => {
    t.equal(retryAfterS(0, 0, 30_000), 1);
    t.equal(retryAfterS(5000, 1500, 30_000), 4);
    t.equal(retryAfterS(5000, 9000, 30_000), 1);
    t.equal(retryAfterS(60_000, 0, 2100), 3);
    t.equal(retryAfterS(60_000, 0, -5), 1);
  },
);
