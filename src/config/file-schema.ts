/**
 * What may stand in the configuration file, key by key: type, range, meaning. Strict, and every key may be left out;
 * defaults are in `defaults.ts`, what contradicts what is in `contradictions.ts`. The descriptions become the JSON
 * Schema that editors show.
 */
import type { z } from "zod";
import * as field from "./fields.ts";
import { pathFault } from "./paths.ts";
import { storeUrlFault, upstreamUrlFault } from "./urls.ts";
import {
  adminTokenFault,
  cidrFault,
  docsUrlFault,
  hostFault,
  keyNameFault,
  keyPrefixFault,
  pointerFault,
  requestHeaderFault,
  responseHeaderFault,
  routeNameFault,
} from "./values.ts";

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

const hostName = (what: string) => field.text(what, "a host name or an IP address", hostFault);
const portNumber = (what: string) => field.count(what, 0, 65_535);

// The order of sections and keys here is the order of the JSON Schema, and of the problems.
const listen = field.group("Where clients connect.", {
  host: hostName("Host name or address to listen on; IPv6 without brackets."),
  port: portNumber("Port to listen on; 0 asks for any free port."),
  trustedProxies: field.list(
    "Address blocks (CIDR) whose X-Forwarded-* fields are kept; everybody else's are replaced.",
    "an address block such as 10.0.0.0/8",
    cidrFault,
  ),
  headersTimeout: field.timer("How long a client may take for the header section of a request."),
  bodyTimeout: field.timer("How long a client may take for the body of a guarded request."),
  idleTimeout: field.timer("A reader that takes nothing of its answer for this long is cut off."),
  maxConnections: field.count("Open connections per process; 0: no limit.", 0, 1_000_000),
});

const upstream = field.group("The server behind the gateway.", {
  url: field.text(
    "Origin of the upstream: http(s)://host:port, without path, query, user or password.",
    "an origin such as http://127.0.0.1:3000",
    upstreamUrlFault,
  ),
  connectTimeout: field.timer("How long connecting may take, TLS included."),
  timeout: field.timer("How long a guarded call may take in all, connecting included."),
  connections: field.count("Connections to the upstream per process.", 1, 65_535),
});

const store = field.group("Where the records are kept.", {
  url: field.text(
    "file:DIR, memory:, redis:, rediss:, redis+unix:, redis(s)+sentinel: or redis(s)+cluster:.",
    "a store URL such as file:./records or redis://127.0.0.1:6379",
    storeUrlFault,
  ),
  timeout: field.timer("How long one call to the store may take."),
  keyPrefix: field.text("Begins every key in Redis.", "text", keyPrefixFault),
  lease: field.timer(
    "How long a claim's owner is presumed alive. Left out: upstream.timeout plus 10s, or the least that is permitted if that is more.",
  ),
  replicas: field.group("Wait for Redis replicas after a claim. Left out: do not wait.", {
    wait: field.count("Replicas that must have the claim before the request is sent.", 1, 16),
    timeout: field.timer("How long to wait for them."),
  }),
});

const admin = field.group("The second port: health, metrics, records.", {
  host: hostName("Host name or address to listen on; IPv6 without brackets."),
  port: portNumber("Port to listen on; 0 asks for any free port."),
  token: field.text(
    "Bearer token for the records API. Empty: the records API answers on loopback only.",
    "text",
    adminTokenFault,
  ),
});

/** Keys of `status`, in the file's spelling; `STATUS_KEYS` in `resolve.ts` maps them to problem codes. */
const statusFields = {
  keyMissing: field.count("A required key is missing.", 400, 599),
  keyInvalid: field.count("The key is malformed.", 400, 599),
  keyReused: field.count("The key was used with another request.", 400, 599),
  inFlight: field.count("The first request is still running.", 400, 599),
  outcomeUnknown: field.count("Nobody knows whether the first request ran.", 400, 599),
  notReplayable: field.count("The first request ran, but its answer was not kept.", 400, 599),
  bodyTooLarge: field.count("The body is over limits.requestBytes.", 400, 599),
  storeUnavailable: field.count("The store does not answer.", 400, 599),
  bodyInvalid: field.count("The body is not what the route needs it to be.", 400, 599),
};

/** The policy as `defaults` and each route write it: one table, so that neither has a key that the other lacks. */
const policyFields = {
  mode: field.choice(
    "enforce: guard. shadow: observe and report, change nothing. off: pass everything through.",
    ["enforce", "shadow", "off"],
  ),
  profile: field.choice(
    "Whose statuses refusals carry: the gateway's, those of the IETF draft (07), or Stripe's.",
    ["default", "ietf", "stripe"],
  ),
  status: field.group("Statuses of single refusals, over the profile's.", statusFields),
  key: field.group("Where the idempotency key comes from.", {
    from: field.choice("header, query, path (a parameter of match.path) or body (see pointers).", [
      "header",
      "query",
      "path",
      "body",
    ]),
    name: field.text(
      "Name of the header, query parameter or path parameter. Left out with from: header: Idempotency-Key.",
      "a name",
      keyNameFault,
    ),
    pointers: field.list(
      "JSON Pointers into a JSON body; together they are the key. Only with from: body.",
      "a JSON Pointer such as /date",
      pointerFault,
    ),
    required: field.flag("Refuse unsafe requests without a key."),
    format: field.choice("any: 1 to 255 visible ASCII characters. uuid: a UUID and nothing else.", [
      "any",
      "uuid",
    ]),
  }),
  scope: field.group("Who a key belongs to.", {
    headers: field.headers(
      "Request headers whose values name the caller. Empty: all callers share one scope (single tenant).",
      requestHeaderFault,
    ),
  }),
  fingerprint: field.group("What makes two requests the same request.", {
    body: field.choice("raw: compare bytes. json: compare JSON by meaning.", ["raw", "json"]),
    headers: field.headers(
      "Further request headers that are part of what is asked for.",
      requestHeaderFault,
    ),
    ignore: field.list(
      "JSON Pointers left out of the comparison. Only with body: json.",
      "a JSON Pointer such as /sentAt",
      pointerFault,
    ),
  }),
  onInFlight: field.choice(
    "A duplicate of a running request: refuse it, or hold it until the answer is there.",
    ["reject", "wait"],
  ),
  waitTimeout: field.timer("How long onInFlight: wait holds a duplicate at most."),
  onStoreError: field.choice(
    "The store does not answer: refuse, or send without a claim (a retry may then run twice).",
    ["reject", "bypass"],
  ),
  onUnknown: field.choice(
    "A retry of an unknown outcome: refuse it, send it again, or decide by method (send PUT and DELETE again).",
    ["by-method", "block", "resend"],
  ),
  retention: field.group("How long records are kept.", {
    completed: field.retention("Recorded answers."),
    unknown: field.retention("Unknown outcomes."),
  }),
  limits: field.group("How much is held in memory and recorded.", {
    requestBytes: field.size("Largest body of a guarded request."),
    responseBytes: field.size(
      "Largest answer that is kept for replay; a larger one is streamed and not kept.",
    ),
  }),
  respond: field.group("What the upstream's statuses mean.", {
    release: field.statuses(
      "Not processed: the key is free again. Adds to 401, 407, 408, 421, 425, 429, 503.",
    ),
    unknown: field.statuses("The outcome is unknown. Adds to 502, 504."),
    record: field.statuses("An answer like any other, although the built-in lists say otherwise."),
  }),
  replay: field.group("How a recorded answer is told again.", {
    dropHeaders: field.headers("Response headers that are not recorded.", responseHeaderFault),
    status: field.statusMap('Recorded status to the status of the replay: {"201": 200}.'),
    as: field.choice(
      "recorded: the answer again. see-other: 303 to its Location. conflict: 409 that tells of the original.",
      ["recorded", "see-other", "conflict"],
    ),
  }),
  docsUrl: field.text(
    "Documentation for callers, linked from every refusal. Empty: no link.",
    "text",
    docsUrlFault,
  ),
};

/** Both keys may be left out here; that a route needs a path is told with the other contradictions. */
const match = field.group("Which requests the route is for.", {
  methods: field.methods(
    "Upper-case methods; a safe one is guarded only where it is listed. Empty or left out: every unsafe method.",
  ),
  path: field.text(
    "/v1/charges, /deployments/:uuid (one segment), /files/* (the rest).",
    'a path that begins with "/"',
    pathFault,
  ),
});

const route = field.group("A match and what differs from defaults.", {
  name: field.text("Names the route in metrics, logs and records.", "a name", routeNameFault),
  match,
  ...policyFields,
});

const log = field.group("The log on standard output.", {
  level: field.choice("Least severe level that is written.", LOG_LEVELS),
});

/** The whole file. Every group may be left out, and so may every key in it. */
export const fileSchema = field.root({
  listen,
  upstream,
  store,
  admin,
  log,
  workers: field.count("Processes that share the port.", 1, 256),
  defaults: field.group("The policy that every route inherits, key by key.", policyFields),
  routes: field.listOf("In order: the first match decides.", route),
});

/** The file as people wrote it: checked key by key, nothing filled in. */
export type FileConfig = z.infer<typeof fileSchema>;
export type PolicySettings = NonNullable<FileConfig["defaults"]>;
export type RouteSettings = NonNullable<FileConfig["routes"]>[number];
