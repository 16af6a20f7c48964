/** What is kept of an answer, and who could read it: encryption at rest end to end, and routes that keep no answer. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { call, type Answer } from "../support/client.ts";
import { damageRecord } from "../support/damage.ts";
import {
  startGateway,
  storeSettings,
  STORES,
  tempDir,
  type StoreName,
  type TestGateway,
} from "../support/gateway.ts";
import { checkRefusal } from "../support/problem.ts";
import { BODY, DAY_MS, newKey, startScene, TARGET } from "../support/scene.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const root = t;
type Encryption = Readonly<Record<string, unknown>>;

/** A key in a file of its own, and the name that the records know it by. */
function keyIn(dir: string, id: string): { readonly id: string; readonly file: string } {
  const file = join(dir, id);
  writeFileSync(file, `${randomBytes(32).toString("base64")}\n`);
  return { id, file };
}

/** Gateways that follow each other on one store in front of one upstream. */
async function following(t: Test, name: StoreName) {
  const upstream = await startUpstream(t);
  upstream.respond((seen, _req, res) => {
    res.writeHead(201, { "Set-Cookie": "canary=cookie", Location: `/c/${upstream.count()}` });
    res.end(`canary ${seen.url}`);
  });
  const store = { ...(await storeSettings(root, name)), timeout: "2s" };
  const start = (encryption?: Encryption): Promise<TestGateway> =>
    startGateway(t, {
      upstream: { url: upstream.url },
      store: { ...store, ...(encryption && { encryption }) },
    });
  return { upstream, start, dir: store.url.replace("file:", "") };
}

const ask = (gateway: TestGateway, key: string, body = BODY): Promise<Answer> =>
  call(gateway.url + TARGET, {
    method: "POST",
    headers: { "Idempotency-Key": key, "Content-Type": "application/json" },
    body,
  });

const isReplay = (t: Test, answer: Answer): void => {
  t.equal(answer.header("Idempotency-Status"), "replayed");
  t.equal(answer.header("Set-Cookie"), "canary=cookie");
  t.equal(answer.body.toString(), `canary ${TARGET}`);
};

/** Refused with the alarm: an error in the log that says why, and the metric by reason. */
async function isAlarm(t: Test, gateway: TestGateway, key: string, reason: string) {
  const answer = await ask(gateway, key);
  checkRefusal(t, answer, { code: "record-corrupt", status: 502, key, record: true });
  t.notMatch(answer.body.toString(), /canary/u);
  const line = (await gateway.exchanges(1)).at(-1);
  t.match(line, { level: "error", outcome: "record-corrupt", cause: reason });
  const metric = `idempotency_gateway_damaged_records_total{reason="${reason}"} `;
  t.notMatch(await gateway.metrics(), `${metric}0`);
  t.match(await gateway.metrics(), metric);
}

for (const name of ["embedded", "redis"] as const) {
  t.test(
    `${name}: keys rotate by id, and what no key opens is neither told nor sent`,
    async (t) => {
      const { upstream, start } = await following(t, name);
      const keys = tempDir(t);
      const [old, young] = [keyIn(keys, "old"), keyIn(keys, "young")];
      const first = await start({ keys: [old] });
      const [one, two] = [newKey(), newKey()];
      t.equal((await ask(first, one)).header("Idempotency-Status"), "executed");
      isReplay(t, await ask(first, one));
      checkReused(t, await ask(first, one, "{}"), "/c/1");
      await first.stop();

      const rotated = await start({ keys: [young, old] });
      isReplay(t, await ask(rotated, one));
      t.equal((await ask(rotated, two)).header("Idempotency-Status"), "executed");
      await rotated.stop();

      const after = await start({ keys: [young] });
      isReplay(t, await ask(after, two));
      await isAlarm(t, after, one, "key-unknown");
      const page = (await call(`${after.admin}/v1/records`)).json();
      const [lost = "", ...others] = page["damaged"] as readonly string[];
      t.same(others, [], JSON.stringify(page));
      const forgotten = await call(`${after.admin}/v1/records/${lost}`, { method: "DELETE" });
      t.equal(forgotten.status, 204, "no key is needed to forget it");
      t.equal((await ask(after, one)).header("Idempotency-Status"), "executed");
      await after.stop();

      const bare = await start();
      await isAlarm(t, bare, two, "key-unknown");
      t.equal(upstream.count(), 3);
    },
  );

  t.test(
    `${name}: plain answers from before are an alarm, or accepted on the operator's word`,
    async (t) => {
      const { upstream, start } = await following(t, name);
      const key = newKey();
      const bare = await start();
      t.equal((await ask(bare, key)).status, 201);
      await bare.stop();
      const keys = [keyIn(tempDir(t), "a")];
      const strict = await start({ keys });
      await isAlarm(t, strict, key, "not-encrypted");
      await strict.stop();
      isReplay(t, await ask(await start({ keys, plain: "accept" }), key));
      t.equal(upstream.count(), 1);
    },
  );
}

function checkReused(t: Test, answer: Answer, location: string): void {
  t.equal(answer.json()["code"], "key-reused");
  t.match(answer.json()["original"], { status: 201, location }, "the caller's own is recognised");
}

t.test("a turned bit in the file: 502, an alarm, no replay, no execution", async (t) => {
  const { upstream, start, dir } = await following(t, "embedded");
  const gateway = await start({ keys: [keyIn(tempDir(t), "a")] });
  const key = newKey();
  const id = (await ask(gateway, key)).header("Idempotency-Record") ?? "";
  await damageRecord(dir, id);
  await isAlarm(t, gateway, key, "damaged");
  t.equal(upstream.count(), 1);
});

t.test("the answer of a deletion is encrypted where resources are remembered", async (t) => {
  const upstream: TestUpstream = await startUpstream(t);
  upstream.answer({ status: 200, headers: ["X-A", "b"], body: "canary deleted" });
  const store = await storeSettings(root, "embedded");
  const gateway = await startGateway(t, {
    upstream: { url: upstream.url },
    store: { ...store, timeout: "2s", encryption: { keys: [keyIn(tempDir(t), "a")] } },
    routes: [
      {
        name: "objects",
        match: { path: "/objects/:id" },
        resource: { id: "path", afterDelete: {} },
      },
    ],
  });
  const remove = () => call(`${gateway.url}/objects/7`, { method: "DELETE" });
  t.equal((await remove()).body.toString(), "canary deleted");
  const again = await remove();
  t.equal(again.header("Idempotency-Status"), "replayed");
  t.equal(again.body.toString(), "canary deleted");
  await gateway.stop();
  const file = readFileSync(join(store.url.replace("file:", ""), "data.mdb"), "latin1");
  t.notMatch(file, /canary|Y2FuYXJ5/u, "neither as text nor as base64");
  t.equal(upstream.count(), 1);
});

for (const name of STORES) {
  t.test(
    `${name}: a route that records no answer executes once and tells no retry of it`,
    async (t) => {
      const scene = await startScene(t, root, name, {
        routes: [
          {
            name: "secrets",
            match: { path: TARGET },
            respond: { record: "never", release: [418] },
          },
        ],
      });
      const key = newKey();
      const first = await scene.ask({ key });
      t.equal(first.body.toString(), "execution 1", "the first caller gets the answer");
      t.equal(first.header("Idempotency-Status"), "executed");
      const original = { method: "POST", target: TARGET, status: 201 };
      const refused = await scene.ask({ key });
      checkRefusal(t, refused, { code: "not-replayable", status: 409, key, record: true, expiresInMs: DAY_MS, original }); // prettier-ignore
      const id = first.header("Idempotency-Record") ?? "";
      const kept = await scene.gateway.store.inspect(id);
      t.match(kept, {
        state: "completed",
        response: { status: 201, headers: [], body: undefined },
      });
      const metrics = await scene.gateway.metrics();
      t.match(metrics, "idempotency_gateway_recorded_bytes_total 0\n");
      t.equal(scene.upstream.count(), 1);
      scene.upstream.respond(undefined);
      scene.upstream.answer({ status: 418 });
      t.equal((await scene.ask({ key: newKey() })).header("Idempotency-Status"), "released");
      t.equal(scene.upstream.count(), 2, "what says that it was not processed is released as ever");
    },
  );
}
