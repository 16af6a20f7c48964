/**
 * Unknown outcomes, told: by a gateway with two workers to a receiver over real sockets, signed; and what a gateway that was
 * killed in the middle of a call has left behind, counted once by whoever starts or meets it next.
 */
import { createHmac } from "node:crypto";
import t from "tap";
import type { UnknownOutcome } from "../../src/core/outcome.ts";
import { StoreUnavailable, type Store } from "../../src/core/ports.ts";
import { createLeftBehind } from "../../src/flow/left-behind.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { call } from "../support/client.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/redis-server.ts";
import { startUpstream, type Call, type TestUpstream } from "../support/upstream.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const SECRETS = {
  NEW_SECRET: `whsec_${Buffer.alloc(32, 1).toString("base64")}`,
  OLD_SECRET: `whsec_${Buffer.alloc(24, 2).toString("base64")}`,
};

interface Outcome {
  readonly id: string;
  readonly record: string;
  readonly reason: string;
  readonly since: string;
  readonly [member: string]: unknown;
}

/** Verifies a call as a receiver would, with what stood on the wire alone, and says what it tells. */
function opened(each: Call, secret: string) {
  const { body } = each;
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map(
    (name) => each.all(`webhook-${name}`)[0],
  );
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const hmac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body);
  const good = signatures?.split(" ").includes(`v1,${hmac.digest("base64")}`) === true;
  if (!good || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) {
    throw new Error("the call does not verify");
  }
  const { type, data } = JSON.parse(body.toString()) as {
    readonly type: string;
    readonly data: {
      readonly gateway: { readonly name: string; readonly instance: string };
      readonly count: number;
      readonly outcomes: readonly Outcome[];
    };
  };
  return { id, type, ...data };
}

const CANARIES = ["canary-key", "canary-body", "canary-query", "canary-credentials"];

function lose(url: string, n: number | string) {
  return call(`${url}/lost?q=canary-query`, {
    method: "POST",
    headers: { "Idempotency-Key": `canary-key-${n}`, Authorization: "canary-credentials" },
    body: "canary-body",
  });
}

function settingsOf(upstream: TestUpstream, dir: string, receiver: string) {
  return {
    upstream: { url: upstream.url, timeout: "500ms", connectTimeout: "300ms" },
    store: { url: `file:${dir}`, timeout: "250ms", lease: "2s" },
    notify: {
      webhook: {
        url: `${receiver}/hook`,
        name: "payments",
        secrets: [{ env: "NEW_SECRET" }, { env: "OLD_SECRET" }],
        timeout: "2s",
        interval: "200ms",
      },
    },
    routes: [{ name: "charges", match: { path: "/*" } }],
  };
}

const metric = async ({ admin }: GatewayProcess, series: string): Promise<number> => {
  const body = (await call(`${admin}/metrics`)).body.toString();
  const line = body.split("\n").find((each) => each.startsWith(`idempotency_gateway_${series} `));
  return Number(line?.split(" ").at(-1));
};

t.test("two workers lose answers: the receiver is told of each, together, signed", async (t) => {
  const upstream = await startUpstream(t, { respond: (_call, _req, res) => void res.destroy() });
  const receiver = await startUpstream(t, { port: await freePort() });
  const moved = `${receiver.url}/elsewhere`;
  receiver.respond((_call, _req, res) => {
    // A redirect is no delivery, and nobody goes there.
    if (receiver.calls.length === 1) res.writeHead(307, { Location: moved }).end();
    else res.writeHead(204).end();
  });
  const settings = { ...settingsOf(upstream, tempDir(t), receiver.url), workers: 2 };
  const gateway = await startGatewayProcess(t, configured(t, settings), SECRETS);
  const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => lose(gateway.url, n)));
  t.same(
    new Set(answers.map((answer) => answer.header("idempotency-status"))),
    new Set(["outcome-unknown"]),
  );
  const delivered = () => metric(gateway, 'webhook_outcomes_total{result="delivered"}');
  await until(async () => (await delivered()) === 40);

  const told = receiver.calls.map((each) => opened(each, SECRETS.NEW_SECRET));
  for (const each of receiver.calls) {
    t.equal(each.url, "/hook");
    t.equal(each.method, "POST");
    t.ok(opened(each, SECRETS.OLD_SECRET), "the secret that is being replaced verifies it too");
    const sent = each.rawHeaders.join() + each.body.toString();
    t.same(
      CANARIES.filter((canary) => sent.includes(canary)),
      [],
    );
  }
  const [first, again] = told;
  t.same(again, first, "what was not taken is told again, under its id");
  t.equal(first?.id, first?.outcomes[0]?.id);
  t.ok(told.length <= 4, `${told.length} calls for 40 outcomes`);
  t.match(first, { type: "idempotency.outcomes.unknown", gateway: { name: "payments" } });
  t.match(first?.gateway.instance, new RegExp(`:${new URL(gateway.admin).port}$`));
  const outcomes = told.slice(1).flatMap((each) => each.outcomes);
  t.same(
    outcomes.map(({ record }) => record).toSorted(),
    answers.map((answer) => answer.header("idempotency-record")).toSorted(),
  );
  for (const { route, method, reason, fence } of outcomes) {
    t.same([route, method, reason, fence], ["charges", "POST", "reset", 1]);
  }
  t.equal(await metric(gateway, 'webhook_deliveries_total{result="failed"}'), 1);
  t.equal(await metric(gateway, "webhook_waiting"), 0);
  t.equal(upstream.count(), 40, "each once");
  await receiver.close();
  await lose(gateway.url, "last");
  t.equal(await gateway.end("SIGTERM"), 0);
  const left = await gateway.line("unknown outcomes were not told before the stop");
  t.equal(left["outcomes"], 1);
  t.notOk(gateway.output.some((line) => line.includes("whsec_") || line.includes(receiver.url)));
  t.equal(upstream.count(), 41);
});

t.test("what a killed gateway leaves behind is counted once, and the receiver told", async (t) => {
  const upstream = await startUpstream(t);
  const receiver = await startUpstream(t);
  const dir = tempDir(t);
  const args = configured(t, settingsOf(upstream, dir, receiver.url));
  const crashes = 'unknown_outcomes_total{route="charges",reason="crash"}';
  const gate = upstream.hold();
  const killed = await startGatewayProcess(t, args, SECRETS);
  // Its caller is cut off as well.
  const lost = [1, 2].map((n) => lose(killed.url, n).catch(() => undefined));
  await upstream.arrived(2);
  await killed.end("SIGKILL");
  await Promise.all(lost);
  gate.release();

  // One of the two is met by a retry, at another gateway of the store; nobody retries the other.
  const next = await startGatewayProcess(t, args, SECRETS);
  const other = await startGatewayProcess(t, [...args, "--workers", "2"], SECRETS);
  let retry = await lose(other.url, 1);
  await until(async () => {
    retry = await lose(other.url, 1);
    return retry.json()["code"] === "outcome-unknown";
  });
  await Promise.all([lose(next.url, 1), lose(other.url, 1)]);
  const seen = async () => (await metric(next, crashes)) + (await metric(other, crashes));
  await until(async () => (await seen()) === 2);

  await until(async () => receiver.calls.flatMap(outcomesOf).length === 2);
  const outcomes = receiver.calls.flatMap(outcomesOf);
  t.ok(outcomes.map(({ record }) => record).includes(retry.header("idempotency-record") ?? ""));
  t.same(new Set(outcomes.map(({ reason }) => reason)), new Set(["crash"]));
  t.equal(new Set(outcomes.map(({ record }) => record)).size, 2);

  // One that starts later meets it as well, and finds that it was told.
  await next.end("SIGTERM");
  const late = await startGatewayProcess(t, args, SECRETS);
  const { records } = (await call(`${late.admin}/v1/records?state=unknown`)).json() as {
    readonly records: readonly Outcome[];
  };
  t.same(
    records.map(({ id, reason, since }) => [id, reason, since]).toSorted(),
    outcomes.map(({ record, reason, since }) => [record, reason, since]).toSorted(),
    "the list says the same",
  );
  t.equal((await lose(late.url, 2)).json()["code"], "outcome-unknown");
  t.equal(await late.end("SIGTERM"), 0);
  t.equal(receiver.calls.flatMap(outcomesOf).length, 2);
  t.equal(upstream.count(), 2, "each once");
});

function outcomesOf(each: Call): readonly Outcome[] {
  return opened(each, SECRETS.NEW_SECRET).outcomes;
}

t.test("a receiver that is not there costs requests nothing and ends with a word", async (t) => {
  const upstream = await startUpstream(t, { respond: (_call, _req, res) => void res.destroy() });
  const args = configured(
    t,
    settingsOf(upstream, tempDir(t), `http://127.0.0.1:${await freePort()}`),
  );
  const gateway = await startGatewayProcess(t, args, SECRETS);
  t.equal((await lose(gateway.url, 1)).json()["code"], "outcome-unknown");
  const line = await gateway.line("the webhook was not delivered; it is tried again");
  t.match(line, { level: "warn", outcomes: 1, cause: "ECONNREFUSED" });
  upstream.respond(undefined);
  t.equal((await lose(gateway.url, 2)).header("idempotency-status"), "executed");
  t.equal(await gateway.end("SIGTERM"), 0);
  t.equal(upstream.count(), 2);
});

/** Looks through `store` as one gateway would, on a clock of its own. */
function lookout(store: Pick<Store, "list" | "writeCell">) {
  const clock = new VirtualClock();
  const told: UnknownOutcome[] = [];
  const leftBehind = createLeftBehind({
    store,
    observer: { unknownOutcome: (outcome) => told.push(outcome) },
    clock,
    background: (work) => void work,
  });
  return { clock, told, ...leftBehind };
}

t.test("a look through the store finds what was left behind, once for all gateways", async (t) => {
  let nowMs = 1_000_000;
  const store = createMemoryStore({ now: () => nowMs });
  const claims = Array.from({ length: 170 }, (_, n) => ({
    id: n.toString(16).padStart(64, "0"),
    token: n.toString(16).padStart(32, "0"),
    fingerprint: "f".repeat(64),
    method: "POST",
    target: "/v1/charges",
    route: "charges",
    claimedBy: "gateway/1",
    leaseMs: n < 160 ? 1000 : 60_000,
    unknownRetentionMs: 3_600_000,
    onUnknown: "block" as const,
  }));
  for (const claim of claims) await store.claim(claim);
  const [marked] = claims;
  if (marked === undefined) throw new Error("no claim");
  await store.markUnknown(marked.id, marked.token, "timeout", 3_600_000);
  nowMs += 30_000;

  const stop = new AbortController();
  let lists = 0;
  const first = lookout({
    ...store,
    list: async (query) => {
      lists += 1;
      if (lists === 2) throw new StoreUnavailable("away");
      return store.list(query);
    },
  });
  const looking = first.lookThrough(40_000, stop.signal);
  await first.clock.advance(39_999);
  t.equal(lists, 0, "not before every lease from before is over");
  await first.clock.advance(1);
  t.equal(lists, 1);
  await first.clock.advance(20_000);
  await looking;
  t.equal(lists, 5, "four pages, and the one that failed again");
  t.same(
    first.told.map(({ recordId }) => recordId),
    claims.slice(1, 160).map(({ id }) => id),
    "what crashed, and neither what its owner has told nor what is in flight",
  );
  t.match(first.told[0], { reason: "crash", fence: 1, route: "charges", sinceMs: 1_001_000 });

  const second = lookout(store);
  const again = second.lookThrough(0, stop.signal);
  await second.clock.advance(20_000);
  await again;
  t.same(second.told, [], "another gateway counts none of them again");

  // Freed by an operator, sent again, and lost again: with fence 1 again.
  const [, freed] = claims;
  if (freed === undefined) throw new Error("no claim");
  t.equal(await store.resolve(freed.id, "not-executed", 0), "done");
  await store.claim({ ...freed, token: "e".repeat(32) });
  nowMs += 1000;
  const anew = second.lookThrough(0, stop.signal);
  await second.clock.advance(20_000);
  await anew;
  t.match(
    second.told,
    [{ recordId: freed.id, reason: "crash", fence: 1 }],
    "another crash under a key that was freed is counted",
  );

  const broken = async (): Promise<never> => {
    throw new StoreUnavailable("away");
  };
  const third = lookout({ ...store, writeCell: broken });
  const once = third.lookThrough(0, stop.signal);
  await third.clock.advance(20_000);
  await once;
  t.equal(
    third.told.length,
    159,
    "where the store cannot keep who was first: rather twice than never",
  );

  const stopped = lookout(store);
  const ending = stopped.lookThrough(40_000, stop.signal);
  stop.abort();
  await ending;
  t.equal(stopped.clock.sleeping(), 0, "a stop ends it");
});
