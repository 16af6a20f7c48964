/**
 * Holders of a lock that die or are paused: two gateways as processes of their own, on Redis and on one directory. The
 * next writer gets its turn when the lease is over, and whoever wakes after it sends nothing.
 */
import root, { type Test } from "tap";
import { call, type Answer } from "../support/client.ts";
import {
  configured,
  startGatewayProcess,
  type GatewayProcess,
} from "../support/gateway-process.ts";
import { storeSettings } from "../support/gateway.ts";
import { until } from "../support/redis-server.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "../support/upstream.ts";

/** Of `upstream.timeout` and `store.timeout`; the lock's lease is two of the one, four of the other, and a second. */
const UPSTREAM_MS = 600;
const STORE_MS = 400;
const LEASE_MS = 2 * UPSTREAM_MS + 4 * STORE_MS + 1000;
/** Between two tries for a lock, and what a busy machine takes. */
const SLACK_MS = 1000;

interface Pair {
  readonly upstream: TestUpstream;
  readonly holder: GatewayProcess;
  readonly next: GatewayProcess;
}

async function startPair(t: Test, name: "redis" | "embedded"): Promise<Pair> {
  const upstream = await startUpstream(t);
  const args = configured(t, {
    upstream: { url: upstream.url, timeout: `${UPSTREAM_MS}ms`, connectTimeout: "200ms" },
    store: { ...(await storeSettings(root, name)), timeout: `${STORE_MS}ms` },
    defaults: { waitTimeout: "20s" },
    routes: [
      {
        name: "things",
        match: { methods: ["PUT"], path: "/things/:id" },
        resource: { id: "path", serialize: "wait" },
      },
      {
        name: "lamps",
        match: { methods: ["PUT"], path: "/lamps/:id" },
        resource: { id: "path", precondition: "honour" },
      },
    ],
  });
  const [holder, next] = await Promise.all([
    startGatewayProcess(t, args),
    startGatewayProcess(t, args),
  ]);
  for (const { admin } of [holder, next]) {
    await until(async () => (await call(`${admin}/readyz`)).status === 200);
  }
  return { upstream, holder, next };
}

const put = (url: string, path: string, headers: Record<string, string> = {}): Promise<Answer> =>
  call(url + path, { method: "PUT", body: "x", headers });

/** What became of a call whose gateway may die. */
const ended = (work: Promise<Answer>): Promise<Answer | undefined> => work.catch(() => undefined);

/** `tookMs`: since the holder was asked, `atMost` since it was seen to hold the lock. */
function judgeTurn(t: Test, askedMs: number, heldMs: number): void {
  const nowMs = performance.now();
  t.ok(nowMs - askedMs >= LEASE_MS * 0.99 - 10, `not before its end: ${nowMs - askedMs} ms`);
  t.ok(nowMs - heldMs <= LEASE_MS + SLACK_MS, `no later: ${nowMs - heldMs} ms`);
  t.comment(`lease ${LEASE_MS} ms; the next write after ${Math.round(nowMs - heldMs)} ms`);
}

for (const name of ["redis", "embedded"] as const) {
  root.test(
    `${name}: a holder is killed, and the next one writes when its lease is over`,
    async (t) => {
      const { upstream, holder, next } = await startPair(t, name);
      const gate = upstream.hold();
      const askedMs = performance.now();
      const first = ended(put(holder.url, "/things/a"));
      await upstream.arrived(1);
      const heldMs = performance.now();
      await holder.end("SIGKILL");
      t.equal(await first, undefined);
      const second = put(next.url, "/things/a");
      const other = put(next.url, "/things/b");
      await upstream.arrived(2);
      t.equal(upstream.calls[1]?.url, "/things/b", "another thing waits for nobody");
      gate.release();
      t.equal((await other).status, 200);
      await upstream.arrived(3);
      judgeTurn(t, askedMs, heldMs);
      t.equal((await second).status, 200);
      t.equal(upstream.count(), 3);
    },
  );

  root.test(
    `${name}: a holder is paused while it sends; it tells that the outcome is unknown`,
    async (t) => {
      const { upstream, holder, next } = await startPair(t, name);
      // The first call is never answered.
      upstream.respond((_call, _req, res) => {
        if (upstream.count() > 1) writeAnswer(res, {});
      });
      const askedMs = performance.now();
      const first = put(holder.url, "/things/a", { "Idempotency-Key": "k1" });
      await upstream.arrived(1);
      const heldMs = performance.now();
      holder.signal("SIGSTOP");
      const second = put(next.url, "/things/a");
      await upstream.arrived(2);
      judgeTurn(t, askedMs, heldMs);
      t.equal((await second).status, 200);
      holder.signal("SIGCONT");
      const told = await first;
      t.match([told.status, told.json()["code"]], [504, "outcome-unknown"]);
      t.equal(upstream.count(), 2);
    },
  );

  root.test(`${name}: a holder is paused before it sends; when it wakes it does not`, async (t) => {
    const { upstream, holder, next } = await startPair(t, name);
    const gate = upstream.hold();
    const askedMs = performance.now();
    const first = put(holder.url, "/lamps/a", { "If-Match": "*", "Idempotency-Key": "k1" });
    await upstream.arrived(1);
    const heldMs = performance.now();
    t.equal(upstream.calls[0]?.method, "GET", "it looks at the lamp");
    holder.signal("SIGSTOP");
    const second = put(next.url, "/lamps/a", { "If-Match": "*" });
    gate.release();
    await upstream.arrived(2);
    judgeTurn(t, askedMs, heldMs);
    t.equal((await second).status, 200);
    holder.signal("SIGCONT");
    const told = await first;
    t.match([told.status, told.json()["code"]], [504, "upstream-unreachable"]);
    const puts = upstream.calls.filter(({ method }) => method === "PUT");
    t.match([puts.length, upstream.count()], [1, 3], "the second one's alone");
    const again = await put(next.url, "/lamps/a", { "If-Match": "*", "Idempotency-Key": "k1" });
    t.equal(again.status, 200, "and its key is free");
  });
}
