import t from "tap";
import { checkShape } from "../../src/config/problems.ts";
import { contradictions } from "../../src/config/contradictions.ts";
import { fileSchema } from "../../src/config/file-schema.ts";
import { resolve, STATUS_KEYS } from "../../src/config/resolve.ts";
import type { GatewayConfig } from "../../src/config/schema.ts";
import { keyPaths } from "./key-paths.ts";

/** A file as plain values, checked and resolved. */
function resolved(tree: unknown): GatewayConfig {
  const { problems, sound } = checkShape(tree);
  if (sound === undefined || problems.length > 0) throw new Error(JSON.stringify(problems));
  const found = contradictions(sound);
  if (found.length > 0) throw new Error(JSON.stringify(found));
  return resolve(sound);
}

function leaseOf(file: object): number {
  return resolved(file).store.leaseMs;
}

function routeOf(defaults: object, route: object) {
  const config = resolved({ defaults, routes: [{ name: "a", match: { path: "/a" }, ...route }] });
  const [first] = config.routes;
  if (first === undefined) throw new Error("no route");
  return first.policy;
}

void t.test("the built-in policy is the documented one", (t) => {
  t.strictSame(resolved({}).defaults, {
    route: "default",
    mode: "enforce",
    profile: "default",
    status: {},
    key: {
      source: { from: "header", name: "Idempotency-Key" },
      required: false,
      format: "any",
    },
    scopeHeaders: ["authorization", "x-api-key"],
    fingerprint: { body: "raw", headers: [], ignore: [] },
    onInFlight: "reject",
    waitTimeoutMs: 30_000,
    onStoreError: "reject",
    onUnknown: "by-method",
    retention: { completedMs: 86_400_000, unknownMs: 259_200_000 },
    limits: { requestBytes: 1_048_576, responseBytes: 1_048_576 },
    respond: { release: [401, 407, 408, 421, 425, 429, 503], unknown: [502, 504] },
    replay: {
      dropHeaders: [],
      status: new Map(),
      as: "recorded",
      conflict: { status: 409, body: "problem" },
      whenChanged: "replay",
    },
    resource: undefined,
    docsUrl: undefined,
  });
  t.end();
});

void t.test("a route inherits key by key, within each group too", (t) => {
  const policy = routeOf(
    {
      status: { keyReused: 422 },
      retention: { unknown: "1h" },
      replay: { status: { 201: 200 }, dropHeaders: ["Set-Cookie"] },
      fingerprint: { headers: ["Accept-Language"] },
    },
    {
      status: { inFlight: 425 },
      retention: { completed: "2h" },
      replay: { status: { 202: 200 } },
      fingerprint: { body: "json", ignore: ["/sentAt"] },
    },
  );
  t.strictSame(policy.status, { "key-reused": 422, "in-flight": 425 });
  t.strictSame(policy.retention, { completedMs: 7_200_000, unknownMs: 3_600_000 });
  t.strictSame(Object.fromEntries(policy.replay.status), { 201: 200, 202: 200 });
  t.strictSame(policy.replay.dropHeaders, ["set-cookie"]);
  t.strictSame(policy.fingerprint, {
    body: "json",
    headers: ["accept-language"],
    ignore: ["/sentAt"],
  });
  t.end();
});

void t.test("a list that a route gives replaces the inherited one", (t) => {
  const policy = routeOf({ scope: { headers: ["X-Tenant"] } }, { scope: { headers: [] } });
  t.strictSame(policy.scopeHeaders, []);
  t.end();
});

void t.test("a key from elsewhere does not inherit the name it had there", (t) => {
  const named = { key: { name: "X-Request-Key", required: true, format: "uuid" } };
  t.strictSame(routeOf(named, { key: { format: "any" } }).key, {
    source: { from: "header", name: "X-Request-Key" },
    required: true,
    format: "any",
  });
  t.strictSame(routeOf(named, { key: { from: "body", pointers: ["/a", "/b~1c"] } }).key, {
    source: { from: "body", pointers: ["/a", "/b~1c"] },
    required: true,
    format: "uuid",
  });
  const fromBody = { key: { from: "body", pointers: ["/id"] } };
  t.strictSame(routeOf(fromBody, { key: { from: "header" } }).key.source, {
    from: "header",
    name: "Idempotency-Key",
  });
  t.end();
});

void t.test("a key from the path is a parameter of the route's own match", (t) => {
  const policy = routeOf({}, { match: { path: "/a/:uuid" }, key: { from: "path", name: "uuid" } });
  t.strictSame(policy.key.source, { from: "path", name: "uuid" });
  t.end();
});

void t.test("respond moves statuses between released, unknown and recorded", (t) => {
  const moved = routeOf(
    {},
    { respond: { release: [502, 500], unknown: [503], record: [429, 504] } },
  );
  t.strictSame(moved.respond, { release: [401, 407, 408, 421, 425, 500, 502], unknown: [503] });
  t.end();
});

void t.test("header names are compared in lower case, a key's name is kept as written", (t) => {
  const policy = routeOf({}, { key: { name: "X-Key" }, scope: { headers: ["X-TENANT"] } });
  t.strictSame(policy.key.source, { from: "header", name: "X-Key" });
  t.strictSame(policy.scopeHeaders, ["x-tenant"]);
  t.end();
});

void t.test(
  "the lease covers the longest call when it is left out, and is taken when it is given",
  (t) => {
    t.equal(leaseOf({}), 40_000);
    t.equal(leaseOf({ upstream: { timeout: "2m" } }), 130_000);
    t.equal(leaseOf({ store: { timeout: "5s" } }), 41_000, "the least that is permitted");
    t.equal(leaseOf({ store: { lease: "31500ms" } }), 31_500);
    t.end();
  },
);

void t.test("a single address in trustedProxies is the block of that address", (t) => {
  const { listen } = resolved({ listen: { trustedProxies: ["10.0.0.1", "FD00::/8", "::1"] } });
  t.strictSame(listen.trustedProxies, ["10.0.0.1/32", "fd00::/8", "::1/128"]);
  t.end();
});

void t.test("store.replicas has defaults of its own once it is given", (t) => {
  const { store } = resolved({ store: { url: "redis://a:6379", replicas: {} } });
  t.strictSame(store.replicas, { wait: 1, timeoutMs: 50 });
  t.equal(resolved({}).store.replicas, undefined);
  t.end();
});

const storeUrls = [
  "file:./records",
  "file:/var/lib/gateway",
  "memory:",
  "redis://127.0.0.1",
  "redis://user:p%40ss@127.0.0.1:6379/2",
  "rediss://[::1]:6379",
  "redis+unix:///run/redis.sock?db=1",
  "redis+sentinel://:secret@a:26379,b:26379,c:26379/main",
  "rediss+cluster://a:7000,b:7000",
];
for (const url of storeUrls) {
  void t.test(`${url} is a store`, (t) => {
    t.equal(resolved({ store: { url } }).store.url, url);
    t.end();
  });
}

void t.test("routes that leave something to each other are all kept", (t) => {
  const paths = ["/a/b", "/a/:id", "/a/:id/c", "/a/", "/a/*", "/:any", "/", "/:any/"];
  const routes = paths.map((path, index) => ({ name: `r${index}`, match: { path } }));
  t.strictSame(
    resolved({ routes }).routes.map(({ path }) => path),
    paths,
  );
  const methods = [["POST"], ["PUT"], [], ["GET"]].map((list, index) => ({
    name: `r${index}`,
    match: { path: "/a", methods: list },
  }));
  t.strictSame(
    resolved({ routes: methods }).routes.map((route) => route.methods),
    [["POST"], ["PUT"], [], ["GET"]],
  );
  t.end();
});

void t.test("pointers that differ only in case are two pointers", (t) => {
  const policy = routeOf({}, { key: { from: "body", pointers: ["/id", "/ID"] } });
  t.strictSame(policy.key.source, { from: "body", pointers: ["/id", "/ID"] });
  t.end();
});

void t.test("every key of status sets the status of one problem", (t) => {
  const keys = keyPaths()
    .filter((path) => path.startsWith("defaults.status."))
    .map((path) => path.slice("defaults.status.".length));
  t.strictSame(
    STATUS_KEYS.map(([key]) => key),
    keys,
  );
  for (const [key, code] of STATUS_KEYS) {
    t.strictSame(resolved({ defaults: { status: { [key]: 418 } } }).defaults.status, {
      [code]: 418,
    });
  }
  t.end();
});

void t.test("checking does not change what was read", (t) => {
  const tree = Object.freeze({ listen: Object.freeze({ port: "x" }), other: 1 });
  checkShape(tree);
  t.strictSame(tree, { listen: { port: "x" }, other: 1 });
  t.ok(fileSchema.safeParse({}).success);
  t.end();
});
