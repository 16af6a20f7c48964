import t, { type Test } from "tap";
import { RecordCorrupt, StoreUnavailable } from "../../src/core/ports.ts";
import { CANARY, IDS } from "./desk.ts";
import { type Answer, type Ask, startPort } from "./port.ts";

const JSON_TYPE = { "Content-Type": "application/json" };

function resolution(document: unknown): Ask {
  return { method: "POST", headers: JSON_TYPE, body: JSON.stringify(document) };
}

function isProblem(t: Test, answer: Answer, status: number, code: string): void {
  t.equal(answer.status, status);
  t.equal(answer.headers["content-type"], "application/problem+json");
  const { title, detail, ...rest } = answer.json;
  t.strictSame(rest, { type: `urn:idempotency-gateway:problem:${code}`, status, code });
  t.match([title, detail], [/^[A-Z].{10,}/, /^.{10,}\.$/]);
}

const SHOWN = {
  route: "charges",
  method: "POST",
  path: "/v1/charges",
  query: true,
  fence: 1,
  claimedBy: "gateway/1",
  createdAt: "2026-01-02T03:04:00.678Z",
  expiresAt: "2026-01-03T03:04:05.678Z",
};
const COMPLETED = {
  ...SHOWN,
  state: "completed",
  answeredBy: "upstream",
  completedAt: "2026-01-02T03:04:04.678Z",
};

t.test("each state is shown with its own fields, and nothing secret of it", async (t) => {
  const told = { by: "gateway/7", count: 3, lastAtMs: Date.UTC(2026, 0, 2, 4) };
  const asked: string[] = [];
  const { ask } = await startPort(t, {
    replaysOf: async (id) => {
      asked.push(id);
      return id === IDS.completed ? { told: [told], silent: 2 } : { told: [], silent: 0 };
    },
  });
  const show = async (id: string) => {
    const answer = await ask(`/v1/records/${id}`);
    t.equal(answer.status, 200);
    t.equal(answer.headers["content-type"], "application/json");
    t.equal(answer.headers["cache-control"], "no-store");
    t.notMatch(answer.body, CANARY);
    const { attempt, ...rest } = answer.json;
    t.match(attempt, /^[0-9a-f]{16}$/u);
    return rest;
  };
  t.strictSame(await show(IDS.inFlight), {
    ...SHOWN,
    id: IDS.inFlight,
    state: "in-flight",
    leaseUntil: "2026-01-02T03:04:35.678Z",
  });
  t.strictSame(await show(IDS.completed), {
    ...COMPLETED,
    id: IDS.completed,
    status: 201,
    replayable: true,
    location: "/v1/charges/ch_1?…",
    contentType: "application/json",
    replays: [{ by: "gateway/7", count: 3, last: "2026-01-02T04:00:00.000Z" }],
    silentProcesses: 2,
  });
  t.strictSame(await show(IDS.notReplayable), {
    ...COMPLETED,
    id: IDS.notReplayable,
    shadow: true,
    status: 200,
    replayable: false,
    replays: [],
  });
  t.strictSame(
    await show(IDS.resolved),
    {
      ...COMPLETED,
      id: IDS.resolved,
      answeredBy: "operator",
      query: false,
      status: null,
      replayable: false,
      replays: [],
    },
    "nobody has seen the answer of one that an operator resolved",
  );
  t.strictSame(await show(IDS.unknown), {
    ...SHOWN,
    id: IDS.unknown,
    fence: 2,
    state: "unknown",
    reason: "reset",
    since: "2026-01-02T03:04:03.678Z",
  });
  const { completed, notReplayable, resolved } = IDS;
  t.strictSame(asked, [completed, notReplayable, resolved], "what has no answer has no replays");
});

t.test("a listing holds the same views; state, limit and cursor reach the store", async (t) => {
  const { ask, desk } = await startPort(t);
  const all = await ask("/v1/records");
  t.equal(all.status, 200);
  t.equal((all.json.records as unknown[]).length, 5);
  t.equal(all.json.cursor, undefined, "no cursor on the last page");
  t.notMatch(all.body, CANARY);
  const { replays, ...one } = (await ask(`/v1/records/${IDS.completed}`)).json;
  t.strictSame(replays, []);
  t.strictSame((all.json.records as unknown[])[1], one);
  const unknown = await ask("/v1/records?state=unknown");
  t.match(unknown.json, { records: [{ id: IDS.unknown }] });
  const first = await ask("/v1/records?limit=2&state=completed");
  t.equal(first.json.cursor, "2");
  const second = await ask("/v1/records?limit=2&state=completed&cursor=2");
  t.match(second.json, { records: [{ id: IDS.resolved }], cursor: undefined });
  t.strictSame(
    desk.asked.filter((question) => Object.hasOwn(question as object, "list")),
    [
      { list: { limit: 100 } },
      { list: { limit: 100, state: "unknown" } },
      { list: { limit: 2, state: "completed" } },
      { list: { limit: 2, state: "completed", cursor: "2" } },
    ],
  );
});

t.test("a query that is not understood is refused, and the store is not asked", async (t) => {
  const { ask, desk } = await startPort(t);
  const bad = [
    ["state=Unknown", "in-flight, completed, unknown"],
    ["state=", "in-flight, completed, unknown"],
    ["limit=0", "from 1 to 1000"],
    ["limit=1001", "from 1 to 1000"],
    ["limit=1e2", "from 1 to 1000"],
    ["limit=", "from 1 to 1000"],
    ["limit=-5", "from 1 to 1000"],
    ["cursor=", "the page before"],
    ["cursor=a%00b", "the page before"],
    [`cursor=${"a".repeat(2049)}`, "the page before"],
    ["sate=unknown", "state, limit, cursor"],
    ["state=unknown&state=unknown", "at most once"],
    ["__proto__=1", "state, limit, cursor"],
  ] as const;
  for (const [query, hint] of bad) {
    const answer = await ask(`/v1/records?${query}`);
    isProblem(t, answer, 400, "request-invalid");
    t.match(answer.json.detail, hint, query.slice(0, 40));
  }
  t.strictSame(desk.asked, []);
});

t.test("a decision about an attempt that is another one's by now changes nothing", async (t) => {
  const { ask, desk } = await startPort(t);
  const seen = (await ask(`/v1/records/${IDS.unknown}`)).json["attempt"];
  const headers = { "Content-Type": "application/json" };
  const resolve = (attempt: unknown) =>
    ask(`/v1/records/${IDS.unknown}/resolve`, {
      method: "POST",
      headers,
      body: JSON.stringify({ outcome: "not-executed", attempt }),
    });
  const forget = (query: string) =>
    ask(`/v1/records/${IDS.unknown}?${query}`, { method: "DELETE" });
  for (const other of ["0".repeat(16), "", String(seen).toUpperCase()]) {
    isProblem(t, await resolve(other), 409, "record-overtaken");
    isProblem(t, await forget(`attempt=${other}`), 409, "record-overtaken");
  }
  isProblem(t, await resolve(7), 400, "request-invalid");
  isProblem(t, await forget(`attempt=${String(seen)}&attempt=1`), 400, "request-invalid");
  isProblem(t, await forget("atempt=1"), 400, "request-invalid");
  t.equal((await ask(`/v1/records/${IDS.unknown}`)).status, 200, "still there");
  t.notOk(desk.asked.some((question) => Object.hasOwn(question as object, "resolve")));
  t.equal((await resolve(seen)).status, 200);
  isProblem(t, await forget(`attempt=${String(seen)}`), 404, "record-absent");
});

t.test("forget: done, then absent; in flight is refused; each is audited", async (t) => {
  const { ask, audits } = await startPort(t);
  const forget = (id: string) => ask(`/v1/records/${id}`, { method: "DELETE" });
  const done = await forget(IDS.unknown);
  t.strictSame([done.status, done.body, done.headers["content-length"]], [204, "", undefined]);
  isProblem(t, await forget(IDS.unknown), 404, "record-absent");
  isProblem(t, await forget(IDS.inFlight), 409, "record-in-flight");
  const told = { action: "forget", remote: "127.0.0.1" };
  t.strictSame(audits, [
    { ...told, recordId: IDS.unknown, answer: "done" },
    { ...told, recordId: IDS.unknown, answer: "absent" },
    { ...told, recordId: IDS.inFlight, answer: "in-flight" },
  ]);
});

t.test(
  "resolve as executed keeps the record for the configured time; as not-executed frees the key",
  async (t) => {
    for (const outcome of ["executed", "not-executed"]) {
      const { ask, audits, desk } = await startPort(t);
      const answer = await ask(`/v1/records/${IDS.unknown}/resolve`, resolution({ outcome }));
      t.equal(answer.status, 200);
      t.strictSame(answer.json, { id: IDS.unknown, outcome });
      t.strictSame(desk.asked, [{ resolve: IDS.unknown, outcome, retentionMs: 3_600_000 }]);
      t.strictSame(audits, [
        { action: "resolve", recordId: IDS.unknown, outcome, answer: "done", remote: "127.0.0.1" },
      ]);
      const after = await ask(`/v1/records/${IDS.unknown}`);
      t.equal(after.status, outcome === "executed" ? 200 : 404);
      t.equal(after.json.state, outcome === "executed" ? "completed" : undefined);
    }
  },
);

t.test("resolve: what is not unknown is 409, what is not there is 404", async (t) => {
  const { ask, audits } = await startPort(t);
  const executed = resolution({ outcome: "executed" });
  for (const id of [IDS.inFlight, IDS.completed]) {
    isProblem(t, await ask(`/v1/records/${id}/resolve`, executed), 409, "record-not-unknown");
  }
  isProblem(t, await ask(`/v1/records/${IDS.absent}/resolve`, executed), 404, "record-absent");
  t.match(audits, [{ answer: "not-unknown" }, { answer: "not-unknown" }, { answer: "absent" }]);
});

t.test(
  "resolve: a body that is not exactly an outcome is refused, quoted nowhere, and changes nothing",
  async (t) => {
    const { ask, desk, audits } = await startPort(t);
    const bodies = [
      "",
      CANARY,
      "null",
      "[]",
      '"executed"',
      "{}",
      `{"outcome":"${CANARY}"}`,
      '{"outcome":["executed"]}',
      '{"outcome":"executed","force":true}',
      '{"__proto__":{"outcome":"executed"}}',
      new Uint8Array([0x22, 0xff, 0x22]),
    ];
    for (const body of bodies) {
      const ask1 = { method: "POST", headers: JSON_TYPE, body };
      const answer = await ask(`/v1/records/${IDS.unknown}/resolve`, ask1);
      isProblem(t, answer, 400, "request-invalid");
      t.notMatch(answer.body, CANARY);
    }
    t.strictSame([desk.asked, audits], [[], []]);
  },
);

t.test("resolve: only JSON is taken, and only 16 KiB of it", async (t) => {
  const { ask, raw, desk } = await startPort(t);
  const path = `/v1/records/${IDS.unknown}/resolve`;
  const body = '{"outcome":"executed"}';
  const types = ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"];
  for (const type of types) {
    const answer = await ask(path, { method: "POST", headers: { "Content-Type": type }, body });
    isProblem(t, answer, 415, "media-type-unsupported");
  }
  const encoded = { ...JSON_TYPE, "Content-Encoding": "gzip" };
  const gzip = await ask(path, { method: "POST", headers: encoded, body });
  isProblem(t, gzip, 415, "media-type-unsupported");
  const announced = await raw(
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 16385\r\n\r\n`,
  );
  t.match(announced, /^HTTP\/1\.1 413 .*\r\nConnection: close\r\n/s, "before the body was sent");
  const chunk = `1001\r\n${" ".repeat(0x1001)}\r\n`.repeat(4);
  const chunked = await raw(
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`,
  );
  t.match(chunked, /^HTTP\/1\.1 413 .*\r\nConnection: close\r\n/s);
  t.strictSame(desk.asked, []);
  const headers = { "Content-Type": "application/json; charset=utf-8" };
  const padded = { method: "POST", headers, body: body.padEnd(16_384) };
  t.equal((await ask(path, padded)).status, 200, "16384 bytes are read");
});

t.test(
  "a store that does not answer is 503 with Retry-After, and the change is audited as failed",
  async (t) => {
    const { ask, desk, audits, failures } = await startPort(t);
    const asks: [string, Ask][] = [
      ["/v1/records", {}],
      [`/v1/records/${IDS.unknown}`, {}],
      [`/v1/records/${IDS.unknown}`, { method: "DELETE" }],
      [`/v1/records/${IDS.unknown}/resolve`, resolution({ outcome: "executed" })],
    ];
    for (const [path, how] of asks) {
      desk.breakWith(new StoreUnavailable(CANARY));
      const answer = await ask(path, how);
      isProblem(t, answer, 503, "store-unavailable");
      t.equal(answer.headers["retry-after"], "1");
      t.notMatch(answer.body, CANARY);
    }
    t.match(audits, [
      { action: "forget", answer: "failed" },
      { action: "resolve", answer: "failed", outcome: "executed" },
    ]);
    t.equal(audits.length, 2);
    t.strictSame(failures, []);
  },
);

t.test(
  "a corrupt record and an unforeseen error are told without their messages, and logged",
  async (t) => {
    const { ask, desk, failures } = await startPort(t);
    const corrupt = new RecordCorrupt(CANARY);
    desk.breakWith(corrupt);
    const first = await ask(`/v1/records/${IDS.unknown}`);
    isProblem(t, first, 503, "record-corrupt");
    const unforeseen = new TypeError(CANARY);
    desk.breakWith(unforeseen);
    const second = await ask(`/v1/records/${IDS.unknown}`);
    isProblem(t, second, 500, "internal-error");
    t.notMatch(first.body + second.body, CANARY);
    t.strictSame(failures, [
      ["a record cannot be trusted", corrupt],
      ["the admin port failed", unforeseen],
    ]);
    t.equal((await ask(`/v1/records/${IDS.unknown}`)).status, 200, "and it goes on");
  },
);

t.test("an id that is none is refused before the store is asked", async (t) => {
  const { ask, desk } = await startPort(t);
  const ids = [
    "1",
    "A".repeat(64),
    "g".repeat(64),
    "1".repeat(65),
    "%31".repeat(64),
    "..",
    "resolve",
  ];
  for (const id of ids) {
    isProblem(t, await ask(`/v1/records/${id}`), 400, "request-invalid");
  }
  t.strictSame(desk.asked, []);
});
