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
    scopeJwt: undefined,
    fingerprint: { body: "raw", headers: [], ignore: [] },
    duplicates: { report: false, windowMs: 10_000 },
    onInFlight: "reject",
    waitTimeoutMs: 30_000,
    onStoreError: "reject",
    onUnknown: "by-method",
    probe: undefined,
    retention: { completedMs: 86_400_000, unknownMs: 259_200_000 },
    limits: { requestBytes: 1_048_576, responseBytes: 1_048_576 },
    respond: {
      release: [401, 407, 408, 421, 425, 429, 503],
      unknown: [502, 504],
      keepsAnswer: true,
    },
    replay: {
      dropHeaders: [],
      status: new Map(),
      as: "recorded",
      conflict: { status: 409, body: "problem" },
      whenChanged: "replay",
      authorize: undefined,
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
  const release = [401, 407, 408, 421, 425, 500, 502];
  t.strictSame(moved.respond, { release, unknown: [503], keepsAnswer: true });
  const never = routeOf({ respond: { record: [429] } }, { respond: { record: "never" } });
  t.match(never.respond, { release: [401, 407, 408, 421, 425, 429, 503], keepsAnswer: false });
  t.end();
});

void t.test("header names are compared in lower case, a key's name is kept as written", (t) => {
  const policy = routeOf({}, { key: { name: "X-Key" }, scope: { headers: ["X-TENANT"] } });
  t.strictSame(policy.key.source, { from: "header", name: "X-Key" });
  t.strictSame(policy.scopeHeaders, ["x-tenant"]);
  t.end();
});

void t.test("a route's own scope takes the place of the one it inherits", (t) => {
  const jwt = { jwks: "file:/keys", issuer: "a", audience: "b" };
  const inherited = { scope: { jwt } };
  const full = { ...jwt, claims: ["sub"], clockToleranceMs: 30_000 };
  t.match(routeOf(inherited, {}), { scopeJwt: full, scopeHeaders: ["authorization"] });
  const narrower = routeOf(inherited, { scope: { jwt: { claims: ["tenant"] } } });
  t.strictSame(narrower.scopeJwt, { ...full, claims: ["tenant"] });
  const byHeader = routeOf(inherited, { scope: { headers: ["X-Tenant"] } });
  t.match(byHeader, { scopeJwt: undefined, scopeHeaders: ["x-tenant"] });
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

void t.test("the lease grows by the slowest of the routes' resources", (t) => {
  const route = (resource: object, more: object = {}) => ({
    routes: [{ name: "a", match: { path: "/a" }, resource: { id: "path", ...resource }, ...more }],
  });
  t.equal(leaseOf(route({})), 41_000, "what is remembered");
  t.equal(leaseOf(route({ serialize: "wait" })), 71_000, "and the wait");
  t.equal(leaseOf(route({ serialize: "wait" }, { waitTimeout: "5s" })), 46_000);
  t.equal(leaseOf(route({ put: "update-only", serialize: "reject" })), 71_000, "or the reading");
  const slow = route({ precondition: "honour" });
  t.equal(leaseOf(slow), 101_000, "or both");
  const routes = [{ name: "b", match: { path: "/b" }, resource: { id: "path" } }, ...slow.routes];
  t.equal(leaseOf({ routes }), 101_000, "the slowest alone counts");
  const least = 30_000 + 30_000 + 30_000 + 6 * 250 + 1000;
  t.equal(leaseOf({ ...slow, store: { lease: `${least}ms` } }), least);
  t.throws(() => leaseOf({ ...slow, store: { lease: `${least - 1}ms` } }), /store\.lease/u);
  t.end();
});

function resourceOf(resource: object, more: object = {}) {
  return routeOf({}, { resource: { id: "path", ...resource }, ...more }).resource;
}

void t.test("a resource is what its route says, over defaults of its own", (t) => {
  t.strictSame(resourceOf({}), {
    id: { from: "path" },
    serialize: "off",
    precondition: "off",
    put: "upsert",
    once: false,
    afterDelete: undefined,
  });
  t.strictSame(resourceOf({ afterDelete: { put: 404 } })?.afterDelete, {
    rememberMs: 86_400_000,
    put: 404,
    delete: "replay",
  });
  t.strictSame(resourceOf({ id: { pointers: ["/date", "/slot"] } })?.id, {
    from: "body",
    pointers: ["/date", "/slot"],
  });
  t.strictSame(resourceOf({ id: { template: "/objects/{id}/v{version}" } })?.id, {
    from: "template",
    template: "/objects/{id}/v{version}",
  });
  t.end();
});

void t.test("what needs the lock waits for it, unless the route says otherwise", (t) => {
  const asking = [
    { precondition: "honour" },
    { precondition: "required" },
    { put: "create-only" },
    { put: "update-only" },
    { once: true },
    { afterDelete: {} },
  ];
  for (const resource of asking) {
    t.equal(resourceOf(resource)?.serialize, "wait", JSON.stringify(resource));
    t.equal(resourceOf({ ...resource, serialize: "reject" })?.serialize, "reject");
  }
  t.equal(resourceOf({ once: false, put: "upsert", precondition: "off" })?.serialize, "off");
  t.equal(resourceOf({ serialize: "wait" })?.serialize, "wait");
  t.end();
});

void t.test("conditions may be judged on whatever methods a route leaves", (t) => {
  const post = { match: { path: "/a", methods: ["POST", "GET"] } };
  t.equal(resourceOf({ once: true, precondition: "required" }, post)?.once, true);
  const put = { match: { path: "/a", methods: ["PUT"] } };
  t.equal(resourceOf({ once: true, afterDelete: {}, put: "create-only" }, put)?.once, true);
  const patch = { match: { path: "/a", methods: ["PATCH"] } };
  t.ok(resourceOf({ afterDelete: {} }, patch)?.afterDelete, "a PATCH brings nothing back either");
  const reads = { match: { path: "/a", methods: ["GET"] } };
  t.equal(resourceOf({ precondition: "honour" }, reads)?.precondition, "honour");
  t.end();
});

void t.test("how a conflict is told is inherited by the routes that tell one", (t) => {
  const { replay } = routeOf(
    { replay: { conflictStatus: 422 } },
    {
      replay: { as: "conflict", conflictBody: "recorded", whenChanged: "conflict" },
      resource: { id: "path" },
    },
  );
  t.match(replay, { as: "conflict", conflict: { status: 422, body: "recorded" } });
  t.equal(replay.whenChanged, "conflict");
  t.equal(routeOf({}, { replay: { as: "found" } }).replay.as, "found");
  t.end();
});

const lockNodes: readonly (readonly string[])[] = [
  [],
  ["redis://a"],
  ["redis://a:6379", "redis://a:6380", "redis://a:6381"],
  ["redis+unix:///run/a.sock", "redis+unix:///run/b.sock?db=1", "rediss://u:p%40ss@[::1]:6379/1"],
];
for (const nodes of lockNodes) {
  void t.test(`${nodes.length} servers may hold the locks: ${nodes.join(" ")}`, (t) => {
    t.strictSame(resolved({ locks: { nodes } }).locks.nodes, nodes);
    t.end();
  });
}

void t.test("servers of their own hold the locks of a local store's stateless rules", (t) => {
  const routes = [
    { name: "a", match: { path: "/a" }, resource: { id: "path", precondition: "required" } },
  ];
  const config = resolved({ locks: { nodes: ["redis://a"] }, routes });
  t.equal(config.store.url, "file:./.idempotency");
  const redis = { store: { url: "redis://b" }, locks: { nodes: ["redis://a"] } };
  const once = [{ name: "a", match: { path: "/a" }, resource: { id: "path", once: true } }];
  t.equal(resolved({ ...redis, routes: once }).routes[0]?.policy.resource?.once, true);
  t.end();
});

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

void t.test(
  "a probe is there exactly where onUnknown says so; its release follows the lease",
  (t) => {
    const probe = { path: "/by-key/{key}" };
    t.equal(routeOf({ probe }, {}).probe, undefined);
    const inherited = routeOf({ onUnknown: "probe", probe }, { probe: { timeout: "9s" } }).probe;
    t.strictSame(inherited, {
      path: "/by-key/{key}",
      as: "caller",
      timeoutMs: 9000,
      releaseAfterMs: 40_000,
      headers: [],
    });
    t.equal(routeOf({ onUnknown: "probe", probe }, { onUnknown: "block" }).probe, undefined);
    t.end();
  },
);

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
