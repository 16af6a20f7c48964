/**
 * 50 concurrent requests with one key against one gateway of two workers that share the embedded store. In a process of its
 * own, as it stays until that ends.
 */
import t from "tap";
import { tempDir } from "../support/gateway.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { startUpstream } from "../support/upstream.ts";
import { countExecutions, identical, mixed, ROUTES, type Place } from "./rounds.ts";

const ROUNDS = 200;

const upstream = await startUpstream(t);
countExecutions(upstream);
const config = configured(t, {
  upstream: { url: upstream.url },
  // The machine's load is no matter here.
  store: { url: `file:${tempDir(t)}`, timeout: "5s" },
  routes: ROUTES,
});
const gateway = await startGatewayProcess(t, [...config, "--workers", "2"]);
const place: Place = { gateways: [gateway.url], upstream };

t.test("two workers, reject: one execution, everybody else its answer or 409 in-flight", (t) =>
  identical(t, place, "reject", ROUNDS),
);

t.test("two workers, wait: one execution, and all 50 its answer", (t) =>
  identical(t, place, "wait", ROUNDS),
);

t.test("two workers, reject, two bodies: one body wins, the other gets 409 key-reused", (t) =>
  mixed(t, place, "reject", ROUNDS),
);

t.test("two workers, wait, two bodies: one body wins, the other gets 409 key-reused", (t) =>
  mixed(t, place, "wait", ROUNDS),
);

t.test("both workers took their share of it", async (t) => {
  const shares = [1, 2].map(
    (worker) => gateway.output.filter((line) => line.includes(`"worker":${worker},`)).length,
  );
  t.equal(upstream.count(), 4 * ROUNDS, "upstream calls of the whole file");
  t.ok(Math.min(...shares) > 10 * ROUNDS, `exchanges by worker: ${shares.join(", ")}`);
});
