/** What is kept of an answer and how it is told again: spellings of a key, statuses, replay options, retention. */
import t from "tap";
import { STORES } from "../support/gateway.ts";
import { checkOwn, checkRefusal } from "../support/problem.ts";
import { BODY, DAY_MS, newKey, startScene, TARGET } from "../support/scene.ts";
import { writeAnswer } from "../support/upstream.ts";

const root = t;
const RELEASED = [401, 407, 408, 421, 425, 429, 503];
const UNKNOWN = [502, 504];
const ORIGINAL = { method: "POST", target: TARGET, status: 201, location: "/v1/charges/1" };

for (const store of STORES) {
  t.test(`${store}: every spelling of one key is one operation`, async (t) => {
    const scene = await startScene(t, root, store);
    const spellings = ['"a\\"b\\\\c"', 'a"b\\c', '"a\\"b\\\\c"'];
    let record: string | true = true;
    for (const [at, key] of spellings.entries()) {
      const answer = await scene.ask({ key });
      const word = at === 0 ? "executed" : "replayed";
      record = checkOwn(t, answer, { status: 201, word, key, record, expiresInMs: DAY_MS });
      t.equal(answer.body.toString(), "execution 1");
    }
    for (const key of ["abc", '"abc"']) {
      t.equal((await scene.ask({ key })).body.toString(), "execution 2");
    }
    for (const key of ["ABC", "abc.", "'abc'", ":YWJj:", "?1"]) {
      t.equal((await scene.ask({ key })).header("Idempotency-Status"), "executed", key);
    }
    t.equal(scene.upstream.count(), 7);
  });

  t.test(`${store}: keys of 255 characters are keys, quoted, bare and escaped`, async (t) => {
    const scene = await startScene(t, root, store);
    for (const key of ["x".repeat(255), `"${"x".repeat(255)}"`, `"${'\\"'.repeat(255)}"`]) {
      t.equal((await scene.ask({ key })).status, 201);
    }
    t.equal(scene.upstream.count(), 2);
  });

  t.test(`${store}: a key sent twice is refused, also when both are the same`, async (t) => {
    const scene = await startScene(t, root, store);
    for (const key of [
      ["abc", "abd"],
      ["abc", "abc"],
      ["abc", '"abc"'],
    ]) {
      const refused = await scene.ask({ key });
      checkRefusal(t, refused, { code: "key-invalid", status: 400 });
    }
    t.equal(scene.upstream.count(), 0);
  });

  t.test(`${store}: statuses that say "not processed" free the key`, async (t) => {
    const scene = await startScene(t, root, store);
    for (const [at, status] of RELEASED.entries()) {
      const key = newKey();
      scene.upstream.respond(undefined);
      scene.upstream.answer({ status, headers: ["Retry-After", "7"], body: "not now" });
      const first = await scene.ask({ key });
      const record = checkOwn(t, first, { status, word: "released", key, record: true, retryAfterS: [7, 7] }); // prettier-ignore
      t.equal(first.body.toString(), "not now", "the upstream's own answer");
      t.equal(await scene.record(record), undefined);
      scene.upstream.answer({ status: 200 });
      const retry = await scene.ask({ key, body: `${BODY} ` });
      checkOwn(t, retry, { status: 200, word: "executed", key, record, expiresInMs: DAY_MS });
      t.equal(scene.upstream.count(), 2 * at + 2);
      t.equal(scene.upstream.calls.at(-1)?.all("Idempotency-Fence").join(), "1");
    }
  });

  t.test(`${store}: 502 and 504 of the upstream leave the outcome unknown`, async (t) => {
    const scene = await startScene(t, root, store);
    scene.upstream.respond(undefined);
    for (const [at, status] of UNKNOWN.entries()) {
      const key = newKey();
      scene.upstream.answer({ status, headers: ["x-should-retry", "true"], body: "half way" });
      const first = await scene.ask({ key });
      const record = checkOwn(t, first, { status, word: "outcome-unknown", key, record: true, shouldRetry: false }); // prettier-ignore
      t.equal(first.body.toString(), "half way", "the upstream's own answer");
      checkRefusal(t, await scene.ask({ key }), { code: "outcome-unknown", status: 409, key, record, expiresInMs: 3 * DAY_MS }); // prettier-ignore
      t.match(await scene.record(record), { state: "unknown", reason: at === 0 ? "reset" : "timeout" }); // prettier-ignore
      t.equal(scene.upstream.count(), at + 1);
    }
  });

  t.test(`${store}: every other final status is recorded, errors included`, async (t) => {
    const scene = await startScene(t, root, store);
    scene.upstream.respond(undefined);
    const statuses = [200, 202, 204, 302, 304, 400, 403, 404, 409, 422, 500, 501, 505, 507, 599];
    for (const [at, status] of statuses.entries()) {
      const key = newKey();
      scene.upstream.answer({ status, body: `answer ${status}` });
      await scene.ask({ key });
      scene.upstream.answer({ status: 200, body: "another" });
      const retry = await scene.ask({ key });
      checkOwn(t, retry, { status, word: "replayed", key, record: true, expiresInMs: DAY_MS });
      t.equal(retry.body.toString(), status === 204 || status === 304 ? "" : `answer ${status}`);
      t.equal(scene.upstream.count(), at + 1);
    }
  });

  t.test(`${store}: a route says itself what a status means`, async (t) => {
    const respond = { release: [500, 504], unknown: [418, 429], record: [503, 502] };
    const scene = await startScene(t, root, store, { defaults: { respond } });
    scene.upstream.respond(undefined);
    const words: Readonly<Record<number, readonly [string, string]>> = {
      500: ["released", "released"],
      504: ["released", "released"],
      418: ["outcome-unknown", "outcome-unknown"],
      429: ["outcome-unknown", "outcome-unknown"],
      503: ["executed", "replayed"],
      502: ["executed", "replayed"],
      401: ["released", "released"],
    };
    let calls = 0;
    for (const [status, [first, then]] of Object.entries(words)) {
      const key = newKey();
      scene.upstream.answer({ status: Number(status) });
      t.equal((await scene.ask({ key })).header("Idempotency-Status"), first, status);
      t.equal((await scene.ask({ key })).header("Idempotency-Status"), then, status);
      calls += first === "released" ? 2 : 1;
      t.equal(scene.upstream.count(), calls, `calls after ${status}`);
    }
  });

  t.test(`${store}: repeats get another status, and fields that are not kept`, async (t) => {
    const replay = { status: { "201": 200 }, dropHeaders: ["Set-Cookie", "x-request-id"] };
    const scene = await startScene(t, root, store, { defaults: { replay } });
    const key = newKey();
    scene.upstream.respond(undefined);
    const headers = ["Set-Cookie", "a=1", "X-Kept", "1", "set-cookie", "b=2", "X-Request-Id", "7"];
    scene.upstream.answer({ status: 201, headers, body: "made" });
    const first = await scene.ask({ key });
    t.same([first.status, first.all("Set-Cookie")], [201, ["a=1", "b=2"]]);
    const retry = await scene.ask({ key });
    checkOwn(t, retry, { status: 200, word: "replayed", key, record: true, expiresInMs: DAY_MS });
    t.same([retry.all("Set-Cookie"), retry.header("X-Request-Id")], [[], undefined]);
    t.same([retry.header("X-Kept"), retry.body.toString()], ["1", "made"]);
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: replay.as see-other sends repeats to what was made`, async (t) => {
    const scene = await startScene(t, root, store, { defaults: { replay: { as: "see-other" } } });
    const key = newKey();
    t.equal((await scene.ask({ key })).status, 201);
    const retry = await scene.ask({ key });
    checkOwn(t, retry, { status: 303, word: "replayed", key, record: true, expiresInMs: DAY_MS });
    t.same([retry.header("Location"), retry.body.length], ["/v1/charges/1", 0]);
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: replay.as conflict tells repeats of the original`, async (t) => {
    const scene = await startScene(t, root, store, { defaults: { replay: { as: "conflict" } } });
    const key = newKey();
    t.equal((await scene.ask({ key })).status, 201);
    checkRefusal(t, await scene.ask({ key }), { code: "conflict", status: 409, key, record: true, expiresInMs: DAY_MS, original: ORIGINAL }); // prettier-ignore
    t.equal(scene.upstream.count(), 1);
  });

  t.test(`${store}: after Idempotency-Expires the key is new, for any request`, async (t) => {
    const retention = { completed: "1s", unknown: "1s" };
    const scene = await startScene(t, root, store, { defaults: { retention } });
    const [done, lost] = [newKey(), newKey()];
    const first = await scene.ask({ key: done });
    const record = checkOwn(t, first, { status: 201, word: "executed", key: done, record: true, expiresInMs: 1000 }); // prettier-ignore
    scene.upstream.respond((_call, req) => void req.socket.resetAndDestroy());
    const unknown = (await scene.ask({ key: lost })).header("Idempotency-Record") ?? "";
    t.match(await scene.record(unknown), { state: "unknown" });
    await scene.forgotten(record);
    t.ok(Date.now() >= Date.parse(first.header("Idempotency-Expires") ?? ""), "not before");
    await scene.forgotten(unknown);
    scene.upstream.respond((_call, _req, res) => writeAnswer(res, { body: "again" }));
    for (const key of [done, lost]) {
      const again = await scene.ask({ key, body: `{"amount":"other ${key}"}` });
      checkOwn(t, again, { status: 200, word: "executed", key, record: true, expiresInMs: 1000 });
    }
    t.equal(scene.upstream.count(), 4);
  });

  t.test(`${store}: 1 MiB is replayed, one byte more and an event stream are not`, async (t) => {
    const scene = await startScene(t, root, store);
    const kept = newKey();
    scene.upstream.respond(undefined);
    scene.upstream.answer({ body: Buffer.alloc(1 << 20, "k") });
    await scene.ask({ key: kept });
    t.equal((await scene.ask({ key: kept })).body.length, 1 << 20);
    const large = Buffer.alloc((1 << 20) + 1, "l");
    const chunked = ["Transfer-Encoding", "chunked"];
    const streams: readonly { headers: string[]; body: Buffer | string }[] = [
      { headers: ["Location", "/v1/charges/9"], body: large },
      { headers: ["Location", "/v1/charges/9", ...chunked], body: large },
      { headers: ["Location", "/v1/charges/9", "Content-Type", "text/event-stream; charset=utf-8"], body: "data: 1\n\n" }, // prettier-ignore
    ];
    for (const [at, { headers, body }] of streams.entries()) {
      const key = newKey();
      scene.upstream.answer({ status: 201, headers, body });
      const first = await scene.ask({ key });
      checkOwn(t, first, { status: 201, word: "executed", key, record: true, expiresInMs: DAY_MS });
      t.ok(first.body.equals(Buffer.from(body)), "the first caller gets it whole");
      const original = { ...ORIGINAL, location: "/v1/charges/9" };
      checkRefusal(t, await scene.ask({ key }), { code: "not-replayable", status: 409, key, record: true, expiresInMs: DAY_MS, original }); // prettier-ignore
      t.equal(scene.upstream.count(), at + 2);
    }
  });

  t.test(`${store}: what only the gateway may say does not come from the upstream`, async (t) => {
    const scene = await startScene(t, root, store);
    const key = newKey();
    scene.upstream.respond(undefined);
    const spoofed = ["Idempotency-Key", "other", "Idempotency-Status", "replayed", "Idempotent-Replayed", "true", "Idempotency-Record", "0".repeat(64), "Idempotency-Expires", "never"]; // prettier-ignore
    scene.upstream.answer({ status: 200, headers: spoofed });
    for (const word of ["executed", "replayed"]) {
      const answer = await scene.ask({ key });
      checkOwn(t, answer, { status: 200, word, key, record: true, expiresInMs: DAY_MS });
      t.not(answer.header("Idempotency-Record"), "0".repeat(64));
    }
    t.equal(scene.upstream.count(), 1);
  });
}
