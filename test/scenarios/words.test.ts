/**
 * The six ways in which a resource refuses, each with one word that the header, the problem, the log line and the
 * metric have for it. Each is met once and the upstream sees none of them.
 */
import root from "tap";
import { call, type Answer } from "../support/client.ts";
import { startGateway, storeSettings } from "../support/gateway.ts";
import { until } from "../support/redis-server.ts";
import { startUpstream } from "../support/upstream.ts";

const ROUTES = [
  {
    name: "lamps",
    match: { methods: ["PUT"], path: "/lamps/:id" },
    resource: { id: "path", precondition: "required" },
  },
  {
    name: "items",
    match: { methods: ["PUT", "DELETE"], path: "/items/:id" },
    resource: { id: "path", afterDelete: {} },
    waitTimeout: "1s",
  },
  {
    name: "slots",
    match: { methods: ["POST"], path: "/slots/:id" },
    resource: { id: "path", once: true },
    replay: { whenChanged: "conflict" },
  },
  { name: "cancel", match: { methods: ["DELETE"], path: "/slots/:id" }, resource: { id: "path" } },
];

/** Outcome, its status, and the route and method that met it. */
const WORDS = [
  ["precondition-required", 428, "lamps", "PUT"],
  ["precondition-failed", 412, "lamps", "PUT"],
  ["resource-locked", 409, "items", "PUT"],
  ["gone", 410, "items", "PUT"],
  ["conflict", 409, "slots", "POST"],
  ["stale", 409, "slots", "POST"],
] as const;

for (const name of ["redis", "embedded"] as const) {
  root.test(`${name}: log lines and metrics have the words of the refusals`, async (t) => {
    const upstream = await startUpstream(t);
    const gateway = await startGateway(t, {
      upstream: { url: upstream.url },
      store: { ...(await storeSettings(root, name)), timeout: "5s" },
      routes: ROUTES,
    });
    await until(async () => (await gateway.store.problems()).length === 0);
    const send = (method: string, path: string, headers = {}): Promise<Answer> =>
      call(gateway.url + path, { method, headers, ...(method !== "DELETE" && { body: "x" }) });

    const refused: Answer[] = [
      await send("PUT", "/lamps/1"),
      await send("PUT", "/lamps/1", { "If-Match": '"old"' }),
    ];
    t.equal(upstream.count(), 1, "one look");

    const gate = upstream.hold();
    const slow = send("PUT", "/items/1");
    await upstream.arrived(2);
    refused.push(await send("PUT", "/items/1"));
    gate.release();
    t.equal((await slow).status, 200);
    t.equal((await send("DELETE", "/items/1")).status, 200);
    refused.push(await send("PUT", "/items/1"));

    t.equal((await send("POST", "/slots/1", { "Idempotency-Key": "k1" })).status, 200);
    refused.push(await send("POST", "/slots/1", { "Idempotency-Key": "k2" }));
    t.equal((await send("DELETE", "/slots/1")).status, 200);
    refused.push(await send("POST", "/slots/1", { "Idempotency-Key": "k1" }));
    t.equal(upstream.count(), 5);

    const metrics = await gateway.metrics();
    const lines = await gateway.exchanges(refused.length);
    WORDS.forEach(([word, status, route, method], n) => {
      const answer = refused[n]!;
      t.match([answer.status, answer.json()["code"]], [status, word]);
      t.equal(answer.header("Idempotency-Status"), word);
      const line = lines.filter(({ outcome }) => outcome === word);
      t.match(line, [{ level: "info", route, method, status }]);
      const series = `requests_total{route="${route}",method="${method}",outcome="${word}"} `;
      t.equal(metrics.split(series)[1]?.split("\n")[0], "1");
    });
  });
}
