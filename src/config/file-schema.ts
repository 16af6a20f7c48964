/**
 * What may stand in the configuration file, key by key: type, range, meaning. Strict, and every key may be left out;
 * a policy's keys are in `policy-schema.ts`, defaults in `defaults.ts`, what contradicts what in `contradictions.ts`.
 * The descriptions become the JSON Schema that editors show.
 */
import type { z } from "zod";
import * as field from "./fields.ts";
import { pathFault } from "./paths.ts";
import { policyFields } from "./policy-schema.ts";
import {
  lockNodeFault,
  lockNodeServer,
  storeUrlFault,
  tracesUrlFault,
  upstreamUrlFault,
  webhookUrlFault,
} from "./urls.ts";
import {
  adminTokenFault,
  cidrFault,
  encryptionKeyIdFault,
  hostFault,
  keyPrefixFault,
  routeNameFault,
  secretFileFault,
  serviceNameFault,
  variableNameFault,
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
  encryption: field.group("Encrypt recorded answers (AES-256-GCM). Left out: do not.", {
    keys: field.listOf(
      "The first one writes, all of them read.",
      field.group("A key of 32 bytes, as 64 hex digits or as base64, in one of two places.", {
        id: field.text(
          "Names the key in the records; a new key needs a new name.",
          "a name",
          encryptionKeyIdFault,
        ),
        file: field.text("File that holds the key and nothing else.", "a path", secretFileFault),
        env: field.text(
          "Environment variable that holds the key.",
          "the name of a variable",
          variableNameFault,
        ),
      }),
    ),
    plain: field.choice(
      "A recorded answer that is not encrypted: an alarm, or replayed like any other (while records from before are live).",
      ["refuse", "accept"],
    ),
  }),
});

const locks = field.group("Who holds the locks of resources.", {
  nodes: field.servers(
    "Independent Redis servers, an odd number of them, that hold locks together (redlock). Empty: the store holds them.",
    9,
    lockNodeFault,
    lockNodeServer,
  ),
});

const quotas = field.group("What one caller may take.", {
  newKeys: field.group("New keys, per process. Left out: no limit.", {
    perSecond: field.count("How many a second.", 1, 1_000_000),
    burst: field.count("How many at once after a pause. Left out: perSecond.", 1, 1_000_000),
  }),
  liveRecords: field.count(
    "Records that a caller may have in the store at once, over all gateways. Left out: no limit.",
    1,
    1_000_000,
  ),
});

const admin = field.group("The second port: health, metrics, records, console.", {
  host: hostName("Host name or address to listen on; IPv6 without brackets."),
  port: portNumber("Port to listen on; 0 asks for any free port."),
  token: field.text(
    "Bearer token for the records API. Empty: the records API answers on loopback only.",
    "text",
    adminTokenFault,
  ),
  showAnswers: field.flag(
    "Whether who holds the token may see recorded answers and whole targets, queries included.",
  ),
});

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

const tracing = field.group("Traces, by OpenTelemetry.", {
  endpoint: field.text(
    "Where a collector takes OTLP over HTTP, with the path. Empty: no traces.",
    "a URL such as http://127.0.0.1:4318/v1/traces",
    tracesUrlFault,
  ),
  sample: field.ratio(
    "The part of the traces that begin here that is kept. Where a caller's traceparent decides, it is followed.",
  ),
  serviceName: field.text("What traces call the gateway.", "text", serviceNameFault),
});

const notify = field.group("Whom the gateway tells of what somebody has to look at.", {
  webhook: field.group(
    "Called with new unknown outcomes, signed as Standard Webhooks says. Left out: nobody is called.",
    {
      url: field.text(
        "Where to post to; no redirect is followed.",
        "a URL such as https://oncall.example/hooks/gateway",
        webhookUrlFault,
      ),
      secrets: field.listOf(
        "What the calls are signed with, by each of them: two while one replaces the other.",
        field.group("A secret of 24 to 64 bytes, whsec_ and base64, in one of two places.", {
          file: field.text(
            "File that holds the secret and nothing else.",
            "a path",
            secretFileFault,
          ),
          env: field.text(
            "Environment variable that holds the secret.",
            "the name of a variable",
            variableNameFault,
          ),
        }),
      ),
      name: field.text("What calls name the gateway.", "text", serviceNameFault),
      timeout: field.timer("How long one call may take."),
      interval: field.timer("Between two calls at least; what happens meanwhile is told together."),
      retryFor: field.timer("How long a call that fails is tried again."),
    },
  ),
});

/** The whole file. Every group may be left out, and so may every key in it. */
export const fileSchema = field.root({
  listen,
  upstream,
  store,
  locks,
  quotas,
  admin,
  log,
  tracing,
  notify,
  workers: field.count("Processes that share the port.", 1, 256),
  defaults: field.group("The policy that every route inherits, key by key.", policyFields),
  routes: field.listOf("In order: the first match decides.", route),
});

/** The file as people wrote it: checked key by key, nothing filled in. */
export type FileConfig = z.infer<typeof fileSchema>;
export type PolicySettings = NonNullable<FileConfig["defaults"]>;
export type RouteSettings = NonNullable<FileConfig["routes"]>[number];
