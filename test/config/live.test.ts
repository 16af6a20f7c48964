/**
 * What a running gateway takes of a changed configuration. The rule that matters is held against the flow itself: where
 * a change is taken, no request that was guarded and still is gets another record id.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import t, { type Test } from "tap";
import { stringify } from "yaml";
import { changeOf } from "../../src/config/live.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { GatewayConfig } from "../../src/config/schema.ts";
import type { KeySource, Mode, Route } from "../../src/core/policy.ts";
import { readsFinder, routeFinder } from "../../src/core/route.ts";
import { admit } from "../../src/flow/admit.ts";
import { readJson } from "../../src/http/json.ts";

type Settings = Readonly<Record<string, unknown>>;

function read(q: Test, settings: Settings): GatewayConfig {
  const file = join(q.testdir(), "gateway.yaml");
  writeFileSync(file, stringify(settings));
  const loaded = loadConfig(["--config", file], {});
  if (loaded.kind !== "run") throw new Error(readFileSync(file, "utf8") + JSON.stringify(loaded));
  return loaded.config;
}

const route = (name: string, path: string, more: Settings = {}): Settings => ({
  name,
  match: { methods: ["POST"], path },
  ...more,
});
const routes = (...list: readonly Settings[]): Settings => ({ routes: list });
const CHARGES = route("charges", "/v1/charges");
const BY_USER = { scope: { headers: ["X-User"] } };
const JWT = { jwks: "file:/a", issuer: "https://issuer", audience: "us", claims: ["sub"] };
const SLOT = { resource: { id: "path", serialize: "wait" } };

/** `refused` are the paths that are told; `changed` what is different where nothing is refused. */
const cases: readonly {
  readonly claim: string;
  readonly from: Settings;
  readonly to: Settings;
  readonly refused?: readonly string[];
  readonly changed?: readonly string[];
  readonly unguarded?: readonly string[];
}[] = [
  { claim: "nothing", from: routes(CHARGES), to: routes(CHARGES), changed: [] },
  {
    claim: "time-outs, and the lease that follows from them",
    from: {},
    to: { upstream: { timeout: "5s" }, log: { level: "warn" }, admin: { token: "secret" } },
    changed: ["upstream.timeout", "store.lease", "admin.token", "log.level"],
  },
  {
    claim: "how many live records a caller may have: the store counts them",
    from: { quotas: { liveRecords: 5 } },
    to: { quotas: { liveRecords: 7 } },
    changed: ["quotas.liveRecords"],
  },
  {
    claim: "from no quota of live records to one",
    from: {},
    to: { quotas: { liveRecords: 7 } },
    changed: ["quotas.liveRecords"],
  },
  {
    claim: "how many new keys: each process has its buckets",
    from: { quotas: { newKeys: { perSecond: 5 } } },
    to: { quotas: { newKeys: { perSecond: 7 } } },
    refused: ["quotas.newKeys"],
  },
  {
    claim: "what the defaults say beyond names",
    from: {},
    to: { defaults: { profile: "ietf", retention: { completed: "1h" }, onUnknown: "block" } },
    changed: ["defaults"],
  },
  {
    claim: "sockets, stores, locks and processes need a restart",
    from: { store: { url: "redis://:old-secret@127.0.0.1" } },
    to: {
      listen: { port: 9000, bodyTimeout: "3s" },
      store: { url: "redis://:new-secret@127.0.0.1", timeout: "100ms" },
      locks: { nodes: ["redis://127.0.0.2"] },
      admin: { port: 9001, host: "127.0.0.2" },
      workers: 2,
    },
    refused: [
      "listen.port", "listen.bodyTimeout", "store.url", "store.timeout", "locks.nodes", "admin.host", "admin.port",
      "workers",
    ], // prettier-ignore
  },
  {
    claim: "a route is added where names stay: what the defaults guarded keeps its records",
    from: {},
    to: routes(route("charges", "/v1/charges", { key: { required: true } })),
    changed: ["routes.charges"],
  },
  {
    claim: "a route is taken away where names stay",
    from: routes(CHARGES, route("orders", "/v1/orders")),
    to: routes(CHARGES),
    changed: ["routes.orders"],
  },
  {
    claim: "routes change places",
    from: routes(CHARGES, route("orders", "/v1/:any")),
    to: routes(route("orders", "/v1/orders"), CHARGES),
    changed: ["routes.orders", "routes"],
  },
  {
    claim: "another scope",
    from: routes(CHARGES),
    to: routes({ ...CHARGES, ...BY_USER }),
    refused: ["routes[0].scope.headers"],
  },
  {
    claim: "another scope for a part of what another route guarded",
    from: routes(route("all", "/v1/*", BY_USER)),
    to: routes(CHARGES, route("all", "/v1/*", BY_USER)),
    refused: ["routes[0].scope.headers"],
  },
  {
    claim: "another scope on a path that was not guarded",
    from: routes(route("off", "/v1/*", { mode: "off" })),
    to: routes({ ...CHARGES, ...BY_USER }, route("off", "/v1/*", { mode: "off" })),
    changed: ["routes.charges"],
  },
  {
    claim: "a route that is called otherwise, where its name is part of the record's",
    from: routes(route("a", "/v1/:id", { key: { from: "path", name: "id" } })),
    to: routes(route("b", "/v1/:id", { key: { from: "path", name: "id" } })),
    refused: ["routes[0].name"],
  },
  {
    claim: "a parameter that is called otherwise, in the same place",
    from: routes(route("a", "/v1/:id", { key: { from: "path", name: "id" } })),
    to: routes(route("a", "/v1/:key", { key: { from: "path", name: "key" } })),
    changed: ["routes.a"],
  },
  {
    claim: "a key from another place, and another format",
    from: routes(CHARGES),
    to: routes(
      { ...CHARGES, key: { name: "X-Key" } },
      route("o", "/o", { key: { format: "uuid" } }),
    ),
    refused: ["routes[0].key", "routes[1].key.format"],
  },
  {
    claim: "another resource by the same route",
    from: routes({ ...CHARGES, ...SLOT }),
    to: routes({ ...CHARGES, resource: { id: { pointers: ["/slot"] }, serialize: "wait" } }),
    refused: ["routes[0].resource.id"],
  },
  {
    claim: "a resource, and then none, is taken and told",
    from: routes({ ...CHARGES, ...SLOT }),
    to: routes(CHARGES),
    changed: ["store.lease", "routes.charges"],
    unguarded: ["charges"],
  },
  {
    claim: "from enforce to shadow and off is taken and told",
    from: routes(CHARGES, route("orders", "/v1/orders")),
    to: routes({ ...CHARGES, mode: "shadow" }, route("orders", "/v1/orders", { mode: "off" })),
    changed: ["routes.charges", "routes.orders"],
    unguarded: ["charges", "orders"],
  },
  {
    claim: "a guarded read that is no route's any more",
    from: routes({ name: "report", match: { methods: ["GET"], path: "/report" } }),
    to: {},
    changed: ["routes.report"],
    unguarded: ["report"],
  },
  {
    claim: "callers by another claim of their tokens, which are other callers",
    from: routes({ ...CHARGES, scope: { jwt: JWT } }),
    to: routes({ ...CHARGES, scope: { jwt: { ...JWT, claims: ["sub", "org"] } } }),
    refused: ["routes[0].scope.jwt"],
  },
  {
    claim: "other keys for the same tokens",
    from: routes({ ...CHARGES, scope: { jwt: JWT } }),
    to: routes({ ...CHARGES, scope: { jwt: { ...JWT, audience: "others", jwks: "file:/b" } } }),
    changed: ["routes.charges"],
  },
  {
    claim: "the first route that asks about its callers",
    from: {},
    to: routes(
      { ...CHARGES, replay: { authorize: "http://127.0.0.1:9/may" } },
      {
        ...route("tokens", "/v1/tokens"),
        match: { methods: ["GET"], path: "/v1/tokens" },
        scope: { jwt: JWT },
      },
    ),
    refused: ["scope.jwt", "replay.authorize"],
  },
  {
    claim: "from shadow to enforce, with another scope",
    from: routes({ ...CHARGES, mode: "shadow" }),
    to: routes({ ...CHARGES, ...BY_USER }),
    changed: ["routes.charges"],
  },
];

for (const { claim, from, to, refused = [], changed, unguarded = [] } of cases) {
  t.test(`${refused.length > 0 ? "refused" : "taken"}: ${claim}`, async (q) => {
    const change = changeOf(read(q, from), read(q, to));
    q.same(
      change.refused.map((line) => line.split(": ")[0]),
      refused,
    );
    q.notMatch(change.refused.join("\n"), "secret");
    if (changed !== undefined) q.same(change.changed, changed);
    q.same(change.unguarded, unguarded);
  });
}

const PATHS = ["/", "/a", "/a/b", "/:x", "/a/:x", "/:x/b", "/*", "/a/*"];
const SEGMENTS = ["", "a", "b", "c"];
const ASKED = [
  ...SEGMENTS.map((one) => `/${one}`),
  ...SEGMENTS.slice(1).flatMap((one) => SEGMENTS.map((two) => `/${one}/${two}`)),
  "/a/b/c",
];

const AUTHORIZATION = ["authorization"];

const source = fc.constantFrom<KeySource>(
  { from: "header", name: "Idempotency-Key" },
  { from: "header", name: "idempotency-key" },
  { from: "header", name: "X-Key" },
  { from: "query", name: "q" },
  { from: "path", name: "x" },
);

/** Rows that the file's checks would refuse are among them: what may follow on what must not hang on those. */
function tables(base: GatewayConfig): fc.Arbitrary<GatewayConfig> {
  const policy = fc.record({
    route: fc.constantFrom("one", "two", "three"),
    mode: fc.constantFrom<Mode>("enforce", "enforce", "shadow", "off"),
    key: fc.record({
      source,
      required: fc.constant(false),
      format: fc.constantFrom("any", "uuid"),
    }),
    // As in the defaults, mostly, or hardly a change would be taken.
    scopeHeaders: fc.constantFrom(AUTHORIZATION, AUTHORIZATION, AUTHORIZATION, ["x-user"]),
  });
  const row: fc.Arbitrary<Route> = fc.record({
    methods: fc.constantFrom([], ["POST"], ["PUT", "POST"], ["GET"]),
    path: fc.constantFrom(...PATHS),
    policy: policy.map((own) => ({ ...base.defaults, ...own })),
  });
  return fc.array(row, { maxLength: 4 }).map((list) => ({ ...base, routes: list }));
}

const UUID = "AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA";
const OTHER_UUID = UUID.replaceAll("A", "B");

/** The record that a request is about; `undefined` where it is not guarded, or refused. */
async function recordOf(config: GatewayConfig, method: string, path: string) {
  const admission = await admit(
    {
      method,
      target: `${path}?q=${OTHER_UUID}`,
      headers: [["Authorization", "a"], ["X-User", "u"], ["Idempotency-Key", UUID], ["X-Key", OTHER_UUID]], // prettier-ignore
      forwardHeaders: [],
      readBody: async () => ({ kind: "body", bytes: new Uint8Array() }),
      watchBody: () => Promise.reject(new Error("nothing is watched where shadows pass")),
      gone: new AbortController().signal,
    },
    {
      findRoute: routeFinder(config.routes, config.defaults),
      findReads: readsFinder(config.routes),
      readJson,
    },
  );
  const enforced = admission.kind === "admitted" && admission.policy.mode === "enforce";
  return enforced ? admission.admitted.keyed?.id : undefined;
}

t.test("no change that is taken gives a guarded request another record", async (q) => {
  const base = read(q, { defaults: { scope: { headers: AUTHORIZATION } } });
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(tables(base), tables(base), fc.boolean(), async (from, other, related) => {
      // Tables that have nothing to do with each other are nearly always refused.
      const to = related
        ? { ...from, routes: [...other.routes.slice(0, 1), ...from.routes] }
        : other;
      if (changeOf(from, to).refused.length > 0) return;
      taken += 1;
      for (const method of ["POST", "PUT", "GET"]) {
        for (const path of ASKED) {
          const before = await recordOf(from, method, path);
          const after = await recordOf(to, method, path);
          if (before !== undefined && after !== undefined && before !== after) {
            throw new Error(`${method} ${path} is about another record`);
          }
        }
      }
    }),
    { numRuns: 400 },
  );
  q.ok(taken > 40, `${taken} changes were taken`);
  await fc.assert(
    fc.asyncProperty(tables(base), async (same) => {
      const { refused, unguarded } = changeOf(same, same);
      if (refused.length + unguarded.length > 0) throw new Error("no change is a change");
    }),
    { numRuns: 50 },
  );
});
