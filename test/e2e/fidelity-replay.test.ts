/** Replays are the first answer again, byte for byte, on every store. All of it read off raw sockets. */
import root, { type Test } from "tap";
import { startGateway, STORES, storeSettings, type TestGateway } from "../support/gateway.ts";
import { startRawUpstream, type RawUpstream } from "../support/upstream.ts";
import { lasting, told, wire, type Pair, type WireAnswer } from "../support/wire.ts";
import { CASES, OVER_LIMIT, type AnswerCase } from "./fidelity-answers.ts";

/** Answers `/N` with the N-th case. */
function startStoryteller(t: Test, cases: readonly AnswerCase[]): Promise<RawUpstream> {
  return startRawUpstream(t, (socket, head) => {
    const the = cases[Number(/^POST \/(\d+) /.exec(head)?.[1])];
    if (the === undefined) throw new Error("no such case");
    if (the.closes) socket.end(the.bytes);
    else socket.write(the.bytes);
  });
}

function post(t: Test, gateway: TestGateway, at: number, version = "1.1"): Promise<WireAnswer> {
  const head = `POST /${at} HTTP/${version}\r\nHost: gateway\r\nIdempotency-Key: case-${at}\r\n`;
  const rest = "Connection: close\r\nContent-Length: 2\r\n\r\n{}";
  return wire(t, gateway.port, head + rest);
}

function assertFirst(t: Test, first: WireAnswer, the: AnswerCase): void {
  t.equal(first.status, the.status, "the upstream's status");
  t.strictSame(told(first.pairs), the.fields, "the upstream's fields, in order, and no others");
  t.ok(first.body.equals(the.body), "the upstream's body");
  t.ok(first.whole);
  t.strictSame(first.all("Idempotency-Status"), ["executed"]);
  t.strictSame(first.all("Idempotent-Replayed"), []);
}

function assertReplay(t: Test, replay: WireAnswer, first: WireAnswer): void {
  t.equal(replay.statusLine, first.statusLine);
  t.strictSame(lasting(replay.pairs), lasting(first.pairs), "the same fields in the same order");
  t.ok(replay.body.equals(first.body), "the same bytes");
  t.ok(replay.whole);
  t.strictSame(replay.all("Idempotency-Status"), ["replayed"]);
  t.strictSame(replay.all("Idempotent-Replayed"), ["true"]);
  for (const name of ["Idempotency-Key", "Idempotency-Record", "Idempotency-Expires"]) {
    t.strictSame(replay.all(name), first.all(name), name);
    t.equal(replay.all(name).length, 1, name);
  }
  t.equal(replay.all("Date").length, 1, "a Date of its own");
}

/** Patient with the store: these tests are about bytes, and the machine may be busy. */
async function settingsFor(store: (typeof STORES)[number], upstream: RawUpstream) {
  return {
    upstream: { url: upstream.url },
    store: { ...(await storeSettings(root, store)), timeout: "5s" },
  };
}

for (const store of STORES) {
  root.test(`${store}: a replay equals the first answer byte for byte`, async (t) => {
    const cases = [...CASES, ...OVER_LIMIT].filter(({ closes }) => !closes);
    const upstream = await startStoryteller(t, cases);
    const settings = {
      ...(await settingsFor(store, upstream)),
      defaults: { limits: { responseBytes: "2MiB" } },
    };
    const gateway = await startGateway(t, settings);
    const firsts: WireAnswer[] = [];
    for (const [at, the] of cases.entries()) {
      await t.test(the.name, async (t) => {
        const first = await post(t, gateway, at);
        firsts.push(first);
        assertFirst(t, first, the);
        assertReplay(t, await post(t, gateway, at), first);
        const old = await post(t, gateway, at, "1.0");
        t.strictSame(told(old.pairs), the.fields, "to HTTP/1.0 too");
        t.ok(old.body.equals(the.body));
        t.equal(upstream.count(), at + 1, "one call for three requests");
      });
    }
    if (store === "memory") return;
    await gateway.stop();
    const again = await startGateway(t, settings);
    for (const [at, the] of cases.entries()) {
      await t.test(`${the.name}: again after a restart`, async (t) => {
        assertReplay(t, await post(t, again, at), firsts[at]!);
      });
    }
    t.equal(upstream.count(), cases.length, "nobody called again");
  });

  root.test(
    `${store}: over the limit, or where only the close ends it, the first answer is whole, and the retry is told`,
    async (t) => {
      const cases = [...OVER_LIMIT, ...CASES.filter(({ closes }) => closes)];
      const upstream = await startStoryteller(t, cases);
      const gateway = await startGateway(t, await settingsFor(store, upstream));
      for (const [at, the] of cases.entries()) {
        const [, location] = the.fields.find(([name]) => name === "Location") ?? [];
        const first = await post(t, gateway, at);
        assertFirst(t, first, the);
        for (const version of ["1.1", "1.0"]) {
          const retry = await post(t, gateway, at, version);
          t.equal(retry.status, 409);
          t.strictSame(retry.all("Idempotency-Status"), ["not-replayable"]);
          t.strictSame(retry.all("x-should-retry"), ["false"]);
          t.match(JSON.parse(retry.body.toString()), {
            code: "not-replayable",
            original: {
              method: "POST",
              status: the.status,
              ...(location !== undefined && { location }),
            },
          });
          t.notMatch(retry.body.toString("latin1"), /a=1/, "nothing of the stored payload");
        }
        t.equal(upstream.count(), at + 1);
      }
    },
  );

  root.test(
    `${store}: the first answer keeps the upstream's Date, a replay has its own`,
    async (t) => {
      const long = "Thu, 01 Jan 1970 00:00:00 GMT";
      const upstream = await startRawUpstream(
        t,
        `HTTP/1.1 200 OK\r\nDate: ${long}\r\nAge: 7\r\nContent-Length: 2\r\n\r\nok`,
      );
      const gateway = await startGateway(t, await settingsFor(store, upstream));
      const begunS = Math.floor(Date.now() / 1000);
      const [first, replay] = [await post(t, gateway, 1), await post(t, gateway, 1)];
      t.strictSame(first.all("Date"), [long]);
      const [date = "", ...others] = replay.all("Date");
      t.strictSame(others, []);
      t.equal(new Date(date).toUTCString(), date, "an IMF-fixdate");
      t.ok(Date.parse(date) / 1000 >= begunS, "of now");
      t.equal(upstream.count(), 1);
    },
  );
}

root.test(
  "an over-limit answer reaches a client of HTTP/1.0 whole, ended by the close",
  async (t) => {
    const upstream = await startStoryteller(t, OVER_LIMIT);
    const gateway = await startGateway(t, await settingsFor("memory", upstream));
    for (const [at, the] of OVER_LIMIT.entries()) {
      const first = await post(t, gateway, at, "1.0");
      t.strictSame(first.all("Transfer-Encoding"), [], "which HTTP/1.0 does not know");
      t.ok(first.body.equals(the.body));
      const retry = await post(t, gateway, at);
      t.equal(retry.status, 409);
      t.equal(upstream.count(), at + 1);
    }
  },
);

root.test("dropHeaders takes fields from replays alone", async (t) => {
  const upstream = await startRawUpstream(
    t,
    "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX-A: 1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
  );
  const gateway = await startGateway(t, {
    ...(await settingsFor("memory", upstream)),
    defaults: { replay: { dropHeaders: ["Set-Cookie"] } },
  });
  const [first, replay] = [await post(t, gateway, 1), await post(t, gateway, 1)];
  const kept: Pair[] = [["X-A", "1"]];
  t.strictSame(told(first.pairs), [["Set-Cookie", "a=1"], ...kept, ["set-cookie", "b=2"]]);
  t.strictSame(told(replay.pairs), kept);
  t.equal(upstream.count(), 1);
});

root.test(
  "a 100 that nobody asked for is no answer: the one behind it is told and replayed",
  async (t) => {
    const upstream = await startRawUpstream(
      t,
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok",
    );
    const gateway = await startGateway(t, await settingsFor("memory", upstream));
    const [first, replay] = [await post(t, gateway, 1), await post(t, gateway, 1)];
    for (const [reply, status] of [
      [first, "executed"],
      [replay, "replayed"],
    ] as const) {
      t.equal(reply.status, 201);
      t.strictSame(reply.all("Idempotency-Status"), [status]);
      t.equal(String(reply.body), "ok");
    }
    t.equal(upstream.count(), 1);
  },
);
