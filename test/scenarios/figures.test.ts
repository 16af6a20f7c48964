/**
 * What each policy adds to a request on loopback, as a ratio to the same request on a route without it: sequential, in
 * turns, medians. The comments are the figures; the tests hold that what was measured was executed, once each.
 * `npx tap test/scenarios/figures.test.ts --test-arg=300` sends that many of each instead of a few.
 */
import http from "node:http";
import root, { type Test } from "tap";
import { call } from "../support/client.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { startRedis, until } from "../support/redis-server.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const EACH = Number(process.argv[2] ?? 20);
const TURNS = 4;

const RESOURCES: readonly (readonly [string, object])[] = [
  ["named only", { id: "path" }],
  ["serialize: wait", { id: "path", serialize: "wait" }],
  ["precondition: honour, without a condition", { id: "path", precondition: "honour" }],
  ["precondition: required", { id: "path", precondition: "required" }],
  ["put: update-only", { id: "path", put: "update-only" }],
  ["once: true", { id: "path", once: true }],
  ["afterDelete: {}", { id: "path", afterDelete: {} }],
];

const ROUTES = [
  { name: "plain", match: { methods: ["PUT"], path: "/plain/:id" } },
  ...RESOURCES.map(([, resource], n) => ({
    name: `policy${n}`,
    match: { methods: ["PUT"], path: `/policy${n}/:id` },
    resource,
  })),
];

/** What a request costs without and with a policy, in milliseconds. */
async function measure(
  send: (path: string) => Promise<void>,
  path: string,
): Promise<readonly [number, number]> {
  const [without, having]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const [times, base] = turn % 2 === 0 ? [without, "/plain"] : [having, path];
    for (let n = 0; n < (2 * EACH) / TURNS; n += 1) {
      const startedMs = performance.now();
      await send(`${base}/${(sent += 1)}`);
      times.push(performance.now() - startedMs);
    }
  }
  return [median(without), median(having)];
}
let sent = 0;

const median = (times: readonly number[]): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;

async function figures(t: Test, store: string, nodes: readonly string[] = []): Promise<void> {
  const upstream = await startUpstream(t);
  const args = configured(t, {
    upstream: { url: upstream.url },
    store: { url: store, timeout: "5s" },
    locks: { nodes },
    routes: ROUTES,
  });
  const gateway = await startGatewayProcess(t, args);
  await until(async () => (await call(`${gateway.admin}/readyz`)).status === 200);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  for (const keyed of [true, false]) {
    const send = sender(gateway.url, agent, keyed);
    for (let n = 0; n < EACH; n += 1) await send(`/plain/warm${n}`);
    for (const [n, [name]] of RESOURCES.entries()) {
      const before = puts(upstream);
      const [without, having] = await measure(send, `/policy${n}`);
      t.equal(puts(upstream) - before, 2 * EACH, name);
      const ratio = (having / without).toFixed(2);
      const what = `${keyed ? "with" : "without"} a key, ${name}`;
      t.comment(`${what}: ${having.toFixed(2)} to ${without.toFixed(2)} ms, x ${ratio}`);
    }
  }
}

function sender(url: string, agent: http.Agent, keyed: boolean): (path: string) => Promise<void> {
  return async (path) => {
    const headers = {
      "Content-Type": "text/plain",
      ...(keyed && { "Idempotency-Key": path }),
      ...(!path.startsWith("/policy2/") && { "If-Match": "*" }),
    };
    const answer = await call(url + path, { method: "PUT", agent, headers, body: "x" });
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body.toString()}`);
  };
}

const puts = ({ calls }: TestUpstream): number =>
  calls.filter(({ method }) => method === "PUT").length;

root.test("on the embedded store", async (t) => figures(t, `file:${tempDir(t)}`));

root.test("on Redis", async (t) => figures(t, (await startRedis(t)).url));

root.test("on Redis, with locks on three servers", async (t) => {
  const [store, ...nodes] = await Promise.all([0, 1, 2, 3].map(() => startRedis(t)));
  await figures(t, store!.url, nodes.map(({ url }) => url)); // prettier-ignore
});
