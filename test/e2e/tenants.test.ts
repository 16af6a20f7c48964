/** Two callers with one key never see each other's record, however alike they make themselves. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import fc from "fast-check";
import root, { type Test } from "tap";
import { startGateway, STORES, storeSettings, type TestGateway } from "../support/gateway.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "../support/upstream.ts";
import { wire, type WireAnswer } from "../support/wire.ts";

/** A caller is the field lines that it sends. */
type Caller = readonly string[];

const latin1 = (utf8: string): string => Buffer.from(utf8, "utf8").toString("latin1");

/** Every answer is another one, and says whose it is. */
async function start(t: Test, store: (typeof STORES)[number], scope?: readonly string[]) {
  const upstream = await startUpstream(t);
  upstream.respond((call, _req, res) => {
    const who = `${call.all("authorization").join()}|${call.all("x-api-key").join()}`;
    const body = Buffer.from(`answer ${upstream.count()} for ${who}`, "latin1");
    writeAnswer(res, { headers: ["Set-Cookie", `session=${upstream.count()}`], body });
  });
  const gateway = await startGateway(t, {
    upstream: { url: upstream.url },
    store: { ...(await storeSettings(root, store)), timeout: "5s" },
    ...(scope !== undefined && { defaults: { scope: { headers: scope } } }),
  });
  return { upstream, gateway };
}

function post(
  t: Test,
  gateway: TestGateway,
  caller: Caller,
  key = "k",
  body = "{}",
): Promise<WireAnswer> {
  const lines = ["Host: a", ...caller, `Idempotency-Key: ${key}`, `Content-Length: ${body.length}`];
  const head = `POST /v1/charges HTTP/1.1\r\n${lines.join("\r\n")}\r\nConnection: close\r\n\r\n`;
  return wire(t, gateway.port, Buffer.from(head + body, "latin1"));
}

interface Pair {
  readonly a: WireAnswer;
  readonly b: WireAnswer;
  readonly againA: WireAnswer;
  readonly againB: WireAnswer;
  readonly calls: number;
}

/** A first, then B with the same request, then both again. */
async function meet(
  t: Test,
  { upstream, gateway }: { upstream: TestUpstream; gateway: TestGateway },
  [callerA, callerB]: readonly [Caller, Caller],
  key: string,
): Promise<Pair> {
  const before = upstream.count();
  const a = await post(t, gateway, callerA, key);
  const b = await post(t, gateway, callerB, key);
  const againA = await post(t, gateway, callerA, key);
  const againB = await post(t, gateway, callerB, key);
  return { a, b, againA, againB, calls: upstream.count() - before };
}

const status = (answer: WireAnswer): string => answer.all("Idempotency-Status").join();
const recordOf = (answer: WireAnswer): string => answer.all("Idempotency-Record").join();

function assertApart({ a, b, againA, againB, calls }: Pair): void {
  assert.equal(calls, 2, "each executed once");
  assert.deepEqual([status(a), status(b)], ["executed", "executed"]);
  assert.deepEqual([status(againA), status(againB)], ["replayed", "replayed"]);
  assert.notEqual(recordOf(a), recordOf(b));
  assert.ok(againA.body.equals(a.body) && againB.body.equals(b.body), "each its own answer");
  assert.deepEqual(againA.all("Set-Cookie"), a.all("Set-Cookie"));
  assert.deepEqual(againB.all("Set-Cookie"), b.all("Set-Cookie"));
  assert.ok(!a.body.equals(b.body));
}

function assertSame({ a, b, againA, againB, calls }: Pair): void {
  assert.equal(calls, 1, "one caller, one execution");
  assert.deepEqual([a, b, againA, againB].map(status).slice(1), Array(3).fill("replayed"));
  assert.equal(new Set([a, b, againA, againB].map(recordOf)).size, 1);
  assert.ok([b, againA, againB].every(({ body }) => body.equals(a.body)));
}

// ------------------------------------------------------------------------------------------------ the property

interface Credentials {
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
  readonly spelling: number;
}

const SPELLINGS = [
  ["Authorization", "X-Api-Key"],
  ["authorization", "x-api-key"],
  ["AUTHORIZATION", "X-API-KEY"],
] as const;

/** What a scope made of joined text would trip over: separators, lengths, names, bytes that look like space. */
const PIECES = [
  ...Array.from('aAbB01:;,|-=."\\/ \t'),
  "1:",
  "-;",
  "13:authorization",
  "9:x-api-key",
  "Bearer ",
  "bearer ",
  "\u00e9",
  "\u00a0",
  "\u0085",
  latin1("é"),
  latin1("e\u0301"),
  latin1("🎉"),
];

const value = fc.array(fc.constantFrom(...PIECES), { maxLength: 4 }).map((parts) => parts.join(""));
const credentials: fc.Arbitrary<Credentials> = fc.record({
  authorization: fc.option(value, { nil: undefined }),
  apiKey: fc.option(value, { nil: undefined }),
  spelling: fc.nat(SPELLINGS.length - 1),
});

/** Disguises: each makes somebody else of a caller, or nobody new. */
const TRICKS: readonly ((of: Credentials) => Credentials)[] = [
  (of) => ({ ...of, authorization: of.apiKey, apiKey: of.authorization }),
  (of) => ({ ...of, authorization: of.authorization ?? "" }),
  (of) => ({ ...of, apiKey: of.apiKey ?? "" }),
  (of) => ({ ...of, authorization: undefined }),
  (of) => ({ ...of, authorization: of.authorization?.toUpperCase() }),
  (of) => ({ ...of, authorization: ` \t${of.authorization ?? ""} \t` }),
  (of) => ({ ...of, apiKey: `${of.apiKey ?? ""}\u00a0` }),
  (of) => ({ ...of, authorization: `${of.authorization ?? ""}${of.apiKey ?? ""}`, apiKey: "" }),
  (of) => ({ ...of, authorization: `${of.authorization ?? ""}, ${of.apiKey ?? ""}` }),
  (of) => ({ ...of, spelling: (of.spelling + 1) % SPELLINGS.length }),
  (of) => ({ ...of, apiKey: of.apiKey?.replaceAll(latin1("é"), latin1("e\u0301")) }),
];

const pairs = fc.oneof(
  fc.tuple(credentials, credentials),
  fc
    .tuple(credentials, fc.constantFrom(...TRICKS))
    .map(([one, trick]): [Credentials, Credentials] => [one, trick(one)]),
);

function linesOf({ authorization, apiKey, spelling }: Credentials): Caller {
  const [first, second] = SPELLINGS[spelling]!;
  return [
    ...(authorization === undefined ? [] : [`${first}: ${authorization}`]),
    ...(apiKey === undefined ? [] : [`${second}: ${apiKey}`]),
  ];
}

/** Who a caller is: its values, without the white space around them that is no part of a value (RFC 9110 §5.5). */
function identity({ authorization, apiKey }: Credentials): string {
  const bare = [authorization, apiKey].map((text) => text?.replace(/^[ \t]+|[ \t]+$/g, "") ?? null);
  return JSON.stringify(bare);
}

// What the parser refuses in a field value (NUL and the other controls, line ends) cannot be generated here; see below.
root.test("other credentials, other record: a property over hostile values", async (t) => {
  const parts = await start(t, "memory");
  const suffix = fc.stringMatching(/^[!-+.-:<-~]{0,20}$/).filter((text) => !text.includes('"'));
  let run = 0;
  let expected = 0;
  let apart = 0;
  await fc.assert(
    fc.asyncProperty(pairs, suffix, async ([one, two], text) => {
      const key = `${(run += 1)}${text}`;
      const met = await meet(t, parts, [linesOf(one), linesOf(two)], key);
      if (identity(one) === identity(two)) {
        expected += 1;
        assertSame(met);
      } else {
        expected += 2;
        apart += 1;
        assertApart(met);
      }
    }),
    { numRuns: 150 },
  );
  t.equal(parts.upstream.count(), expected);
  t.ok(apart > 50, `${apart} of ${run} pairs were two callers`);
});

// ------------------------------------------------------------------------------------------------ told one by one

const TWO_CALLERS: readonly (readonly [name: string, a: Caller, b: Caller])[] = [
  ["nobody and somebody", [], ["Authorization: a"]],
  ["no field and an empty one", [], ["Authorization:"]],
  ["an empty field of one name and of the other", ["Authorization:"], ["X-Api-Key:"]],
  ["one value under two names", ["Authorization: secret"], ["X-Api-Key: secret"]],
  [
    "two values swapped",
    ["Authorization: a", "X-Api-Key: b"],
    ["Authorization: b", "X-Api-Key: a"],
  ],
  [
    "a value cut elsewhere",
    ["Authorization: ab", "X-Api-Key: c"],
    ["Authorization: a", "X-Api-Key: bc"],
  ],
  ["one field and both", ["Authorization: a"], ["Authorization: a", "X-Api-Key: a"]],
  ["two spellings of the scheme", ["Authorization: Bearer a"], ["Authorization: bearer a"]],
  ["upper and lower case", ["X-Api-Key: abc"], ["X-Api-Key: ABC"]],
  ["two spaces inside", ["Authorization: Bearer a"], ["Authorization: Bearer  a"]],
  ["a no-break space at the end", ["X-Api-Key: a"], ["X-Api-Key: a\u00a0"]],
  ["composed and decomposed", [`X-Api-Key: ${latin1("é")}`], [`X-Api-Key: ${latin1("e\u0301")}`]],
  ["latin1 and UTF-8", ["X-Api-Key: \u00e9"], [`X-Api-Key: ${latin1("é")}`]],
  ["an escape and what it means", ["X-Api-Key: %41"], ["X-Api-Key: A"]],
  ["quoted and bare", ['X-Api-Key: "a"'], ["X-Api-Key: a"]],
  ["the length that is hashed before a value", ["X-Api-Key: 1:a-;"], ["X-Api-Key: a"]],
];

const ONE_CALLER: readonly (readonly [name: string, a: Caller, b: Caller])[] = [
  ["spaces around the value", ["Authorization: a"], ["Authorization:  \ta \t "]],
  ["the field's name in other letters", ["X-Api-Key: a"], ["x-aPI-kEY: a"]],
  [
    "fields in another order",
    ["Authorization: a", "X-Api-Key: b"],
    ["X-Api-Key: b", "Authorization: a"],
  ],
  [
    "other cookies and other agents",
    ["User-Agent: a", "Cookie: a=1"],
    ["User-Agent: b", "Cookie: b=2"],
  ],
];

for (const store of STORES) {
  root.test(`${store}: two callers, one key: two executions, and each gets its own`, async (t) => {
    const parts = await start(t, store);
    for (const [at, [name, a, b]] of TWO_CALLERS.entries()) {
      assertApart(await meet(t, parts, [a, b], `apart-${at}`));
      t.pass(name);
    }
    t.equal(parts.upstream.count(), TWO_CALLERS.length * 2);
    for (const [at, [name, a, b]] of ONE_CALLER.entries()) {
      assertSame(await meet(t, parts, [a, b], `same-${at}`));
      t.pass(`one caller: ${name}`);
    }
    t.equal(parts.upstream.count(), TWO_CALLERS.length * 2 + ONE_CALLER.length);
  });

  root.test(
    `${store}: another caller's request in flight, or another body, is no conflict`,
    async (t) => {
      const { upstream, gateway } = await start(t, store);
      const answering = new EventEmitter();
      const answer = once(answering, "now");
      upstream.respond(async (call, _req, res) => {
        if (call.all("authorization")[0] === "a") await answer;
        writeAnswer(res, { headers: ["Set-Cookie", "session=1"], body: "answer 1" });
      });
      const a = post(t, gateway, ["Authorization: a"]);
      await upstream.arrived(1);
      const b = await post(t, gateway, ["Authorization: b"], "k", '{"other":1}');
      t.equal(status(b), "executed", "not in-flight, not key-reused");
      answering.emit("now");
      t.equal(status(await a), "executed");
      const reused = await post(t, gateway, ["Authorization: b"]);
      t.equal(status(reused), "key-reused", "its own conflict it is told");
      t.notMatch(reused.body.toString("latin1"), /answer \d|session=/);
      t.not(recordOf(b), recordOf(await a));
      t.equal(upstream.count(), 2);
    },
  );
}

root.test("another caller's unknown outcome is no obstacle", async (t) => {
  const { upstream, gateway } = await start(t, "memory");
  upstream.respond((_call, req) => void req.socket.resetAndDestroy());
  t.equal(status(await post(t, gateway, ["Authorization: a"])), "outcome-unknown");
  upstream.respond(undefined);
  t.equal(status(await post(t, gateway, ["Authorization: b"])), "executed");
  t.equal(status(await post(t, gateway, ["Authorization: a"])), "outcome-unknown");
  t.equal(upstream.count(), 2);
});

root.test(
  "credentials that two readers could read in two ways are refused and not sent",
  async (t) => {
    const { upstream, gateway } = await start(t, "memory");
    const owner: Caller = ["Authorization: victim"];
    t.equal((await post(t, gateway, owner)).status, 200);
    const forged: readonly (readonly [name: string, caller: Caller])[] = [
      ["twice, the same", ["Authorization: victim", "Authorization: victim"]],
      ["twice, another first", ["Authorization: thief", "Authorization: victim"]],
      ["twice, one empty", ["Authorization:", "Authorization: victim"]],
      ["twice, in other letters", ["X-Api-Key: a", "x-api-key: b"]],
      ["with underscores beside", ["X-Api-Key: a", "X_Api_Key: b"]],
      ["named in Connection", ["Authorization: thief", "Connection: authorization"]],
      ["with NUL inside: the parser refuses it", ["Authorization: victim\0"]],
      ["with another control inside: the parser", ["Authorization: vic\u0001tim"]],
      ["with DEL inside: the parser", ["Authorization: victim\u007f"]],
      ["folded over two lines: the parser", ["Authorization: vic\r\n tim"]],
      ["with a bare line feed: the parser", ["Authorization: thief\nAuthorization: victim"]],
      ["with a bare carriage return: the parser", ["Authorization: thief\rAuthorization: victim"]],
      ["with a space before the colon: the parser", ["Authorization : victim"]],
    ];
    for (const [name, caller] of forged) {
      const answer = await post(t, gateway, caller);
      t.equal(answer.status, 400, name);
      t.strictSame(answer.all("Idempotent-Replayed"), [], name);
      t.strictSame(answer.all("Set-Cookie"), [], name);
      t.notMatch(answer.body.toString("latin1"), /victim|thief|answer/, name);
    }
    t.equal(status(await post(t, gateway, owner)), "replayed");
    t.equal(upstream.count(), 1);
  },
);

root.test(
  "scope.headers: [] is one scope for all, and other headers are other scopes",
  async (t) => {
    const shared = await start(t, "memory", []);
    const twice: [Caller, Caller] = [["Authorization: a"], ["X-Api-Key: b", "X-Tenant: c"]];
    assertSame(await meet(t, shared, twice, "k"));
    t.equal(shared.upstream.count(), 1);

    const byTenant = await start(t, "memory", ["X-Tenant"]);
    const refreshed: [Caller, Caller] = [
      ["X-Tenant: t", "Authorization: old"],
      ["X-Tenant: t", "Authorization: new"],
    ];
    assertSame(await meet(t, byTenant, refreshed, "refreshed-token"));
    const two: [Caller, Caller] = [
      ["X-Tenant: t", "Authorization: a"],
      ["X-Tenant: u", "Authorization: a"],
    ];
    assertApart(await meet(t, byTenant, two, "two-tenants"));
    t.equal(byTenant.upstream.count(), 3);
    const repeated = await post(t, byTenant.gateway, ["X-Tenant: t", "X-Tenant: u"]);
    t.equal(repeated.status, 400, "what names the caller is a credential, whatever it is called");
    t.equal(byTenant.upstream.count(), 3);
  },
);
