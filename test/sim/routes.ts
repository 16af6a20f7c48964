/**
 * The routes of the simulated gateways, one for each way that requests are treated differently, and the limits that all
 * of them keep to. The same for every seed; which of them a seed uses, its plan says.
 */
import type { Policy, ProbePolicy, ResourcePolicy, Route } from "../../src/core/policy.ts";
import { readsFinder, routeFinder } from "../../src/core/route.ts";
import { newPolicy } from "../support/policy.ts";

export const DEADLINE_MS = 2000;
export const STORE_TIMEOUT_MS = 250;
export const WAIT_MS = 1500;
/** As the gateway's configuration demands it: wait, read, send, and what the store takes around them. */
export const LEAST_LEASE_MS = WAIT_MS + 2 * DEADLINE_MS + 6 * STORE_TIMEOUT_MS + 1000;
/** As the composition root computes it. */
export const LOCK_LEASE_MS = 2 * DEADLINE_MS + 4 * STORE_TIMEOUT_MS + 1000;

const RESOURCE: ResourcePolicy = {
  id: { from: "path" },
  serialize: "wait",
  precondition: "off",
  put: "upsert",
  once: false,
  afterDelete: undefined,
};

const HOUR_MS = 3_600_000;

function route(path: string, policy: Partial<Policy> = {}): Route {
  const name = path.split("/")[1] ?? "";
  return {
    methods: ["POST", "PUT", "DELETE"],
    path,
    policy: newPolicy({
      route: name,
      key: {
        source: { from: "header", name: "Idempotency-Key" },
        required: true,
        format: "any",
      },
      scopeHeaders: ["authorization"],
      waitTimeoutMs: WAIT_MS,
      limits: { requestBytes: 256, responseBytes: 256 },
      ...policy,
    }),
  };
}

function resource(path: string, rules: Partial<ResourcePolicy>): Route {
  return route(path, { resource: { ...RESOURCE, ...rules } });
}

/** Whom the simulated upstream tells what became of a key. */
export const STATUS_PATH = "/status";
/** Of a request that somebody in between holds back after its connection has broken. */
export const LONGEST_HELD_MS = 2500;

function probing(path: string, as: ProbePolicy["as"]): Route {
  const probe = {
    path: `${STATUS_PATH}?key={key}`,
    as,
    timeoutMs: 1000,
    releaseAfterMs: LONGEST_HELD_MS + 500,
    headers: [],
  };
  return route(path, { onUnknown: "probe", probe });
}

const ROUTES: readonly Route[] = [
  route("/charges"),
  route("/orders", { onInFlight: "wait" }),
  route("/messages", { onUnknown: "resend" }),
  route("/profiles/:id"),
  route("/accounts/:id", { onUnknown: "block", onInFlight: "wait" }),
  route("/notes", { onStoreError: "bypass" }),
  probing("/payments", "caller"),
  probing("/transfers", "gateway"),
  resource("/counters/:id", {}),
  resource("/things/:id", { afterDelete: { rememberMs: HOUR_MS, put: 410, delete: "replay" } }),
  resource("/lamps/:id", {
    put: "update-only",
    serialize: "reject",
    afterDelete: { rememberMs: HOUR_MS, put: 404, delete: "pass" },
  }),
  resource("/items/:id", {
    put: "create-only",
    afterDelete: { rememberMs: HOUR_MS, put: 409, delete: "pass" },
  }),
  resource("/slots/:id", { once: true }),
  resource("/rooms/:id", { once: true, serialize: "reject" }),
  resource("/docs/:id", { precondition: "required" }),
  resource("/pages/:id", { precondition: "honour", put: "update-only" }),
];

export const findRoute = routeFinder(ROUTES, newPolicy());
export const findReads = readsFinder(ROUTES);

/** @throws where no route matches: the plan asks for nothing else. */
export function policyOf(method: string, target: string): Policy {
  const known = found.get(target)?.get(method);
  if (known !== undefined) return known;
  const match = findRoute(method, target);
  if (match === undefined || match.pattern === undefined) throw new Error(`no route: ${target}`);
  found.set(target, (found.get(target) ?? new Map<string, Policy>()).set(method, match.policy));
  return match.policy;
}

/** By target and method: a handful of them, asked for several times with each request. */
const found = new Map<string, Map<string, Policy>>();

/** How often a plan takes which, and what it asks for there. */
export const OPERATIONS: readonly {
  readonly path: string;
  readonly methods: readonly string[];
  readonly share: number;
}[] = [
  { path: "/charges", methods: ["POST"], share: 5 },
  { path: "/orders", methods: ["POST"], share: 4 },
  { path: "/messages", methods: ["POST"], share: 6 },
  { path: "/profiles/1", methods: ["PUT", "DELETE"], share: 5 },
  { path: "/accounts/1", methods: ["PUT"], share: 2 },
  { path: "/notes", methods: ["POST"], share: 1 },
  { path: "/payments", methods: ["POST"], share: 8 },
  { path: "/transfers", methods: ["POST"], share: 8 },
  { path: "/counters/1", methods: ["POST"], share: 2 },
  { path: "/things/1", methods: ["PUT", "PUT", "DELETE", "POST"], share: 3 },
  { path: "/lamps/1", methods: ["PUT", "PUT", "DELETE", "POST"], share: 3 },
  { path: "/items/1", methods: ["PUT", "PUT", "DELETE"], share: 2 },
  { path: "/slots/1", methods: ["POST", "POST", "DELETE"], share: 3 },
  { path: "/rooms/1", methods: ["POST", "POST", "DELETE"], share: 2 },
  { path: "/docs/1", methods: ["PUT", "PUT", "DELETE"], share: 2 },
  { path: "/pages/1", methods: ["PUT", "PUT", "DELETE", "POST"], share: 2 },
];
