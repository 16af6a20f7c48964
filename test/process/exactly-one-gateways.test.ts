/**
 * 50 concurrent requests with one key against two gateway processes that share one Redis. In a process of its own, as they
 * stay until it ends.
 */
import t from "tap";
import { quietGateway } from "../load/quiet-gateway.ts";
import { startRedis } from "../support/redis-server.ts";
import { startUpstream } from "../support/upstream.ts";
import { countExecutions, identical, mixed, ROUTES, type Place } from "./rounds.ts";

const ROUNDS = 200;

const upstream = await startUpstream(t);
countExecutions(upstream);
const redis = await startRedis(t);
const settings = {
  upstream: { url: upstream.url },
  // The machine's load is no matter here.
  store: { url: redis.url, timeout: "5s" },
  routes: ROUTES,
};
const started = await Promise.all([1, 2].map(async () => (await quietGateway(t, settings))()));
const place: Place = { gateways: started.map(({ url }) => url), upstream };

t.test("two gateways, reject: one execution, everybody else its answer or 409 in-flight", (t) =>
  identical(t, place, "reject", ROUNDS),
);

t.test("two gateways, wait: one execution, and all 50 its answer", (t) =>
  identical(t, place, "wait", ROUNDS),
);

t.test("two gateways, reject, two bodies: one body wins, the other gets 409 key-reused", (t) =>
  mixed(t, place, "reject", ROUNDS),
);

t.test("two gateways, wait, two bodies: one body wins, the other gets 409 key-reused", (t) =>
  mixed(t, place, "wait", ROUNDS),
);
