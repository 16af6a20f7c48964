/** What is not guarded, what is refused before the store hears of it, and the shadow that changes nothing. */
import t from "tap";
import type { Passed } from "../../src/core/ports.ts";
import { createDuplicates } from "../../src/flow/sights.ts";
import { newLine } from "../support/flow.ts";
import { newPolicy } from "../support/policy.ts";

const SHADOW = { mode: "shadow" } as const;
const REQUIRED = {
  source: { from: "header", name: "Idempotency-Key" },
  required: true,
  format: "any",
} as const;

t.test(
  "safe methods, requests without a key and routes that are off never meet the store",
  async (t) => {
    const rows = [
      { line: newLine(), ask: { method: "GET" }, route: "none" },
      { line: newLine(), ask: { key: null }, route: "charges" },
      { line: newLine({ policy: { mode: "off", key: REQUIRED } }), ask: {}, route: "charges" },
      { line: newLine({ policy: { mode: "off", key: REQUIRED } }), ask: { key: null }, route: "charges" }, // prettier-ignore
    ];
    for (const { line, ask, route } of rows) {
      const told = await line.ask(ask);
      t.same(
        told.passed,
        { read: undefined, told: [] },
        "streamed, nothing read and nothing added",
      );
      t.match(told.report, { outcome: "passed", status: 200, route });
      t.same(line.events, ["began", "client.pass", "finished", "ended"]);
      t.equal(line.calls(), 0);
    }
  },
);

t.test("a body read for a key that is not there goes on with the request", async (t) => {
  const key = { source: { from: "body", pointers: ["/id"] }, required: false, format: "any" } as const; // prettier-ignore
  const line = newLine({ policy: { key } });
  const told = await line.ask({ key: null, body: '{"other":1}' });
  t.equal(told.passed?.read, '{"other":1}');
  t.notOk(line.events.some((event) => event.startsWith("store")));
});

t.test("bad keys and bodies are refused before anything is claimed or sent", async (t) => {
  const line = newLine({ policy: { key: REQUIRED, fingerprint: { body: "json", headers: [], ignore: [] } } }); // prettier-ignore
  const rows = [
    [{ key: null }, 428, "key-missing"],
    [{ key: "" }, 400, "key-invalid"],
    [{ key: "a,b" }, 400, "key-invalid"],
    [{ headers: [["idempotency-key", "key-1"]] as const }, 400, "key-invalid"],
    [{ body: "{" }, 400, "body-invalid"],
    [{ body: '{"a":1,"a":1}' }, 400, "body-invalid"],
    [{ body: "x".repeat(1025) }, 413, "body-too-large"],
    [{ read: () => ({ kind: "incomplete", cause: "slow" }) as const }, 408, "body-incomplete"],
  ] as const;
  for (const [ask, status, code] of rows) {
    const told = await line.ask(ask);
    t.equal(told.status, status, code);
    t.match(told.problem(), { code, status });
    t.equal(told.header("Idempotency-Status"), code);
  }
  t.notOk(line.events.some((event) => event.startsWith("store")));
  t.equal(line.calls(), 0);
});

t.test("exactly the limit is read, one byte more is refused", async (t) => {
  const line = newLine();
  t.equal((await line.ask({ body: "x".repeat(1024) })).status, 201);
  const refused = await line.ask({ key: "2", body: "x".repeat(1025) });
  t.equal(refused.status, 413);
  t.equal(refused.header("Idempotency-Key"), "2");
  t.match(refused.header("Idempotency-Record"), /^[0-9a-f]{64}$/);
  t.equal(line.calls(), 1);
});

t.test("a client that leaves during the upload holds no key, and gets no answer", async (t) => {
  const line = newLine();
  const told = await line.ask({ read: () => ({ kind: "incomplete", cause: "gone" }) });
  t.match(told.report, { outcome: "client-gone", status: 0 });
  t.same(line.events, ["began", "read body", "finished", "ended"]);
});

t.test("a slow upload is no claim: another request with the key executes meanwhile", async (t) => {
  const line = newLine();
  let finish = (): void => undefined;
  const uploaded = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const slow = line.ask({
    read: async () => {
      await uploaded;
      return { kind: "body", bytes: Buffer.from('{"amount":1}') };
    },
  });
  t.equal((await line.ask()).report.outcome, "executed");
  finish();
  t.equal((await slow).report.outcome, "replayed");
  t.equal(line.calls(), 1);
});

t.test("shadow passes everything, and reports what it would have done", async (t) => {
  const line = newLine({ policy: { ...SHADOW, key: REQUIRED, fingerprint: { body: "json", headers: [], ignore: [] } } }); // prettier-ignore
  const rows = [
    [{}, "executed"],
    [{}, "replayed"],
    [{ body: '{"amount":2}' }, "key-reused"],
    [{ key: null }, "key-missing"],
    [{ key: "a,b" }, "key-invalid"],
    [{ body: "{" }, "body-invalid"],
    [{ body: "x".repeat(1025) }, "body-too-large"],
  ] as const;
  for (const [ask, wouldBe] of rows) {
    const told = await line.ask(ask);
    t.match(told.report, { outcome: "shadow", wouldBe, status: 200 });
    const passed = { read: undefined, told: [["Idempotency-Status", "shadow"]] };
    t.same(told.passed, passed, "streamed, nothing read before");
  }
  t.equal(line.events.filter((event) => event === "client.pass").length, rows.length);
  const watched = line.events.filter((event) =>
    /^client.pass|^watch body|^store.claim/.test(event),
  );
  t.same(watched.slice(0, 3), ["client.pass", "watch body", "store.claim"], "in this order");
  t.equal(line.calls(), 0, "the guarded client of the upstream is not used");
});

t.test("shadow: duplicates pass at once, even where the route would let them wait", async (t) => {
  const line = newLine({ policy: { ...SHADOW, onInFlight: "wait" } });
  const [one, two] = await Promise.all([line.ask(), line.ask()]);
  t.same([one.report.wouldBe, two.report.wouldBe].toSorted(), ["executed", "in-flight"]);
  t.equal(line.clock.sleeping(), 0);
});

t.test("shadow: what did not run would execute again", async (t) => {
  const rows: Passed[] = [
    { status: 503, outcome: "passed" },
    { status: 502, outcome: "upstream-unreachable" },
    { status: 0, outcome: "client-gone" },
  ];
  for (const passed of rows) {
    const line = newLine({ policy: SHADOW });
    t.equal((await line.ask({ passed })).report.wouldBe, "executed");
    t.equal((await line.ask()).report.wouldBe, "executed");
    t.equal((await line.ask()).report.wouldBe, "replayed");
  }
});

t.test("shadow: a store that is away costs the observation, never the request", async (t) => {
  const line = newLine({ policy: SHADOW });
  line.fail("claim", "down", "down");
  t.match((await line.ask()).report, { wouldBe: "store-unavailable", status: 200 });
  line.fail("complete", "down");
  t.match((await line.ask()).report, { wouldBe: "executed", status: 200 });
  await line.clock.advance(1000);
  t.equal(line.events.filter((event) => event === "client.pass").length, 2);
});

t.test(
  "shadow: a body that does not come whole is passed on as it comes, and nothing is said of it",
  async (t) => {
    const line = newLine({ policy: SHADOW });
    const told = await line.ask({ read: () => ({ kind: "incomplete", cause: "gone" }) });
    t.equal(told.passed?.read, undefined);
    t.match(told.report, { outcome: "shadow", wouldBe: undefined });
    const gone = { status: 0, outcome: "client-gone" } as const;
    const left = await line.ask({
      read: () => ({ kind: "incomplete", cause: "gone" }),
      passed: gone,
    });
    t.match(left.report, { outcome: "client-gone", status: 0, wouldBe: undefined });
    t.notOk(line.events.some((event) => event.startsWith("store")));
  },
);

t.test("enforcing after a shadow starts clean: what was only observed is no record", async (t) => {
  const at = (path: string, mode: "shadow" | "enforce") => ({
    methods: ["POST"],
    path,
    policy: newPolicy({ route: "charges", mode }),
  });
  const line = newLine({ routes: [at("/observed", "shadow"), at("/v1/charges", "enforce")] });
  await line.ask({ target: "/observed" });
  t.match(await line.record(), { state: "completed" });
  const told = await line.ask({ target: "/v1/charges" });
  t.match(told.report, { outcome: "executed", status: 201 });
  t.equal(line.calls(), 1);
});

t.test("where the path names the key, the report shows the route's pattern instead", async (t) => {
  const source = { from: "path", name: "uuid" } as const;
  const policy = newPolicy({ key: { source, required: true, format: "any" } });
  const line = newLine({ routes: [{ methods: ["PUT"], path: "/deployments/:uuid", policy }] });
  const told = await line.ask({ method: "PUT", target: "/deployments/canary?x=1" });
  t.match(told.report, { outcome: "executed", path: "/deployments/:uuid" });
  const other = await line.ask({ target: "/deployments/7?x=1" });
  t.match(other.report, { path: "/deployments/7" });
  t.equal(line.calls(), 2);
});

t.test(
  "a request without a key is a duplicate within the window of the one before, and no longer",
  async (t) => {
    const line = newLine({ policy: { duplicates: { report: true, windowMs: 10_000 } } });
    const seen: unknown[] = [];
    for (const waitMs of [0, 10_000, 9_000, 10_001]) {
      await line.clock.advance(waitMs);
      const { report, passed } = await line.ask({ key: null });
      t.same(passed, { read: undefined, told: [] }, "streamed, nothing added");
      seen.push([report.outcome, report.repeats, report.repeatedAfterMs]);
    }
    t.same(seen, [
      ["passed", 0, undefined],
      ["passed", 1, 10_000],
      ["passed", 2, 9_000],
      ["passed", 0, undefined],
    ]);
    t.notOk(line.events.some((event) => event.startsWith("store")));
  },
);

t.test(
  "a client that gives up may have been executed; an upstream that was not there has not",
  async (t) => {
    const line = newLine({ policy: { duplicates: { report: true, windowMs: 10_000 } } });
    const gone = { status: 0, outcome: "client-gone" } as const;
    const unreachable = { status: 502, outcome: "upstream-unreachable" } as const;
    t.equal((await line.ask({ key: null, passed: unreachable })).report.repeats, undefined);
    t.equal((await line.ask({ key: null, passed: gone })).report.repeats, 0);
    t.equal((await line.ask({ key: null })).report.repeats, 1);
  },
);

t.test(
  "what is remembered of requests without a key is bounded: the oldest goes first",
  async (t) => {
    const duplicates = createDuplicates("salt", 2);
    const repeats = (part: string) => duplicates.see([part], 1000, 0).repeats;
    t.same(["a", "b", "a", "c", "b", "a"].map(repeats), [0, 0, 1, 0, 0, 0]);
    t.notSame(
      duplicates.see(["a"], 1, 0).keylessId,
      createDuplicates("other").see(["a"], 1, 0).keylessId,
    );
  },
);
