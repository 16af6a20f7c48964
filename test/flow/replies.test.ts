/** First requests, retries and reuses: what each caller is told, and how often the upstream was called. */
import t from "tap";
import type { HeaderPair } from "../../src/core/record.ts";
import { answered, EPOCH_MS, newLine } from "../support/flow.ts";
import { REPEATS } from "../support/policy.ts";

const DAY_MS = 86_400_000;
const date = (ms: number): string => new Date(ms).toUTCString();

t.test("a retry gets the first answer again and the upstream is called once", async (t) => {
  const line = newLine();
  const headers: HeaderPair[] = [
    ["Set-Cookie", "a=1"],
    ["X-Latin", "caf\u00e9"],
    ["set-cookie", "b=2"],
  ];
  line.respond(() =>
    answered(201, "made\0\u00e9", [["Date", "then"], ["Content-Length", "9"], ...headers]),
  );
  const first = await line.ask();
  await line.clock.advance(1000);
  const retry = await line.ask();
  t.equal(line.calls(), 1);
  t.same([first.status, first.text], [201, "made\0\u00e9"]);
  t.same([retry.status, retry.text], [201, "made\0\u00e9"]);
  const record = first.header("Idempotency-Record") ?? "";
  t.match(record, /^[0-9a-f]{64}$/);
  const own = (status: string): HeaderPair[] => [
    ["Idempotency-Key", "key-1"],
    ["Idempotency-Status", status],
    ["Idempotency-Record", record],
    ["Idempotency-Expires", date(EPOCH_MS + DAY_MS)],
  ];
  t.same(first.headers, [["Date", "then"], ...headers, ...own("executed")]);
  t.same(retry.headers, [...headers, ...own("replayed"), ["Idempotent-Replayed", "true"]]);
  t.match(first.report, { outcome: "executed", status: 201, fence: 1, recordId: record, route: "charges", path: "/v1/charges" }); // prettier-ignore
  t.match(retry.report, { outcome: "replayed", status: 201 });
});

t.test("the body is read before the claim, and settle comes before answer", async (t) => {
  const line = newLine();
  await line.ask();
  t.same(line.events, [
    "began",
    "read body",
    "store.claim",
    "upstream.send",
    "store.complete",
    "client.send",
    "finished",
    "ended",
  ]);
});

t.test("after its retention a key is new again", async (t) => {
  const line = newLine();
  await line.ask();
  await line.clock.advance(DAY_MS - 1);
  t.equal((await line.ask()).report.outcome, "replayed");
  await line.clock.advance(1);
  t.equal((await line.ask()).text, "execution 2");
  t.equal(line.calls(), 2);
});

t.test(
  "the same key, quoted and bare, is one operation; each caller gets its own spelling back",
  async (t) => {
    const line = newLine();
    await line.ask({ key: "abc" });
    const retry = await line.ask({ key: '"abc"' });
    t.equal(retry.report.outcome, "replayed");
    t.equal(retry.header("Idempotency-Key"), '"abc"');
    t.equal(line.calls(), 1);
  },
);

t.test("two callers with one key are two operations", async (t) => {
  const line = newLine();
  const callers: HeaderPair[][] = [[], [["Authorization", "Bearer a"]], [["Authorization", "Bearer b"]], [["X-Api-Key", "a"]]]; // prettier-ignore
  for (const headers of callers) {
    const { text } = await line.ask({ headers });
    t.equal(text, `execution ${line.calls()}`);
  }
  t.equal(line.calls(), callers.length);
});

t.test(
  "same key, other request: key-reused with the original, and the upstream is not called",
  async (t) => {
    const line = newLine();
    line.respond(() => answered(201, "canary", [["Location", "/v1/charges/7"], ["X-Canary", "canary"]])); // prettier-ignore
    await line.ask({ target: "/v1/charges?x=1" });
    const others = [{ body: '{"amount":2}' }, { target: "/v1/charges?x=2" }, { method: "PUT" }];
    for (const other of others) {
      const refused = await line.ask({ target: "/v1/charges?x=1", ...other });
      t.equal(refused.status, 409);
      t.equal(refused.header("Idempotency-Status"), "key-reused");
      t.equal(refused.header("x-should-retry"), "false");
      t.equal(refused.header("stripe-should-retry"), "false");
      t.equal(refused.header("Retry-After"), undefined);
      t.equal(refused.header("Idempotency-Expires"), date(EPOCH_MS + DAY_MS));
      t.match(refused.problem(), {
        code: "key-reused",
        instance: `urn:idempotency-gateway:record:${refused.header("Idempotency-Record")}`,
        original: {
          method: "POST",
          target: "/v1/charges",
          createdAt: "2026-01-02T03:04:05.000Z",
          status: 201,
          location: "/v1/charges/7",
        },
      });
      t.notMatch(refused.text, /canary/);
    }
    t.equal(line.calls(), 1);
  },
);

t.test(
  "while in flight: a duplicate gets 409 with Retry-After, another body is told key-reused",
  async (t) => {
    const line = newLine();
    line.respond(() => answered(200));
    await line.ask({ key: "warm-up" });
    const release = line.hold();
    const first = line.ask();
    await line.arrived(2);
    const duplicate = await line.ask();
    t.equal(duplicate.status, 409);
    t.equal(duplicate.header("Idempotency-Status"), "in-flight");
    t.equal(duplicate.header("Retry-After"), "1");
    t.equal(duplicate.header("x-should-retry"), "true");
    t.match(duplicate.problem(), { code: "in-flight", original: { method: "POST" } });
    t.equal((await line.ask({ body: "{}" })).report.outcome, "key-reused");
    release();
    t.equal((await first).status, 200);
    t.equal((await line.ask()).report.outcome, "replayed");
    t.equal(line.calls(), 2);
  },
);

t.test(
  "Retry-After of an in-flight duplicate follows what the upstream has been taking",
  async (t) => {
    const line = newLine();
    line.respond(async () => {
      await line.clock.sleep(5000);
      return answered(200);
    });
    const warm = line.ask({ key: "warm-up" });
    await line.arrived(1);
    await line.clock.advance(5000);
    await warm;
    const first = line.ask();
    await line.arrived(2);
    await line.clock.advance(1500);
    t.equal((await line.ask()).header("Retry-After"), "4");
    await line.clock.advance(3500);
    await first;
  },
);

t.test(
  "each kind of key goes to the upstream with the fence, and a made-up fence does not",
  async (t) => {
    const line = newLine();
    await line.ask({ key: '"a b"'.replace(" ", "-"), headers: [["Idempotency-Fence", "99"], ["X-Other", "1"]] }); // prettier-ignore
    const [sent] = line.sent;
    t.same(sent?.request.headers, [
      ["Idempotency-Key", '"a-b"'],
      ["Content-Type", "application/json"],
      ["X-Other", "1"],
      ["Idempotency-Fence", "1"],
    ]);
    const query = newLine({ policy: { key: { source: { from: "query", name: "id" }, required: true, format: "any" } } }); // prettier-ignore
    const told = await query.ask({ key: null, target: "/v1/charges?id=7%22" });
    t.equal(query.sent[0]?.header("Idempotency-Key"), '"7%22"');
    t.equal(told.header("Idempotency-Key"), undefined, "it was not in a header");
    t.equal((await query.ask({ key: null, target: "/v1/charges" })).status, 428);
    t.equal(query.calls(), 1);
  },
);

t.test(
  "a key from the body: the same fields are one operation, another amount is a reuse",
  async (t) => {
    const line = newLine({
      policy: { key: { source: { from: "body", pointers: ["/date", "/slot"] }, required: true, format: "any" } }, // prettier-ignore
    });
    const book = (body: string) => line.ask({ key: null, body });
    t.equal((await book('{"date":"d","slot":1}')).status, 201);
    t.equal((await book('{"date":"d","slot":1}')).report.outcome, "replayed");
    t.equal((await book('{"slot":1.0,"date":"d"}')).report.outcome, "key-reused");
    t.equal((await book('{"date":"d","slot":2}')).text, "execution 2");
    t.equal((await book('{"date":"d"}')).report.outcome, "key-missing");
    t.equal((await book('{"date":"d","date":"e","slot":1}')).report.outcome, "body-invalid");
    t.equal(line.calls(), 2);
  },
);

t.test(
  "replay.status answers repeats with another status, replay.dropHeaders forgets fields",
  async (t) => {
    const replay = { dropHeaders: ["set-cookie"], status: new Map([[201, 200]]), as: "recorded", ...REPEATS } as const; // prettier-ignore
    const line = newLine({ policy: { replay } });
    line.respond(() => answered(201, "made", [["Set-Cookie", "a=1"]]));
    const first = await line.ask();
    t.same([first.status, first.header("Set-Cookie")], [201, "a=1"]);
    const retry = await line.ask();
    t.same([retry.status, retry.text, retry.header("Set-Cookie")], [200, "made", undefined]);
    t.equal(line.calls(), 1);
  },
);

t.test(
  "replay.as see-other points to what was made; without a Location it is the answer itself",
  async (t) => {
    const replay = { dropHeaders: [], status: new Map(), as: "see-other", ...REPEATS } as const;
    const line = newLine({ policy: { replay } });
    line.respond((_, n) => answered(201, "made", n === 1 ? [["location", "/v1/charges/7"]] : []));
    await line.ask();
    const retry = await line.ask();
    t.same([retry.status, retry.header("Location"), retry.text], [303, "/v1/charges/7", ""]);
    t.equal(retry.header("Idempotent-Replayed"), "true");
    await line.ask({ key: "key-2" });
    t.equal((await line.ask({ key: "key-2" })).status, 201);
    t.equal(line.calls(), 2);
  },
);

t.test("replay.as conflict answers 409 with the original", async (t) => {
  const line = newLine({ policy: { replay: { dropHeaders: [], status: new Map(), as: "conflict", ...REPEATS } } }); // prettier-ignore
  await line.ask();
  const retry = await line.ask();
  t.equal(retry.status, 409);
  t.match(retry.problem(), { code: "conflict", original: { status: 201 } });
  t.equal(retry.header("Idempotent-Replayed"), undefined);
  t.equal(line.calls(), 1);
});

t.test("profiles and the route's own statuses, with a link to the documentation", async (t) => {
  const docsUrl = "https://docs.example/keys";
  const key = { source: { from: "header", name: "Idempotency-Key" }, required: true, format: "any" } as const; // prettier-ignore
  const rows = [
    ["default", 428, 409],
    ["ietf", 400, 422],
    ["stripe", 400, 400],
  ] as const;
  for (const [profile, missing, reused] of rows) {
    const line = newLine({ policy: { profile, key, docsUrl, status: { "body-too-large": 499 } } });
    const refused = await line.ask({ key: null });
    t.equal(refused.status, missing);
    t.equal(refused.header("Link"), `<${docsUrl}>; rel="describedby"`);
    t.equal(refused.header("Idempotency-Record"), undefined);
    t.match(refused.problem(), { status: missing, code: "key-missing" });
    t.equal((await line.ask({ key: "a,b" })).status, 400);
    await line.ask();
    t.equal((await line.ask({ body: "{}" })).status, reused);
    t.equal((await line.ask({ key: "big", body: "x".repeat(1025) })).status, 499);
    t.equal(line.calls(), 1);
  }
});
