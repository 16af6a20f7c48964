import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { loadConfig } from "../../src/config/load.ts";
import { printConfig, withoutSecrets } from "../../src/config/print.ts";
import type { GatewayConfig } from "../../src/config/schema.ts";
import { withoutPassword } from "../../src/config/urls.ts";

const directory = mkdtempSync(join(tmpdir(), "gateway-print-"));
t.teardown(() => rmSync(directory, { recursive: true }));
const file = join(directory, "gateway.yaml");

const KEYS = {
  RECORDS_KEY: "caca".repeat(16),
  PROBE_CREDENTIAL: "Bearer canary-credential",
  SIGNING: `whsec_${Buffer.alloc(24, 0xca).toString("base64")}`,
  OLD_KEY: `${Buffer.alloc(32, 0xca).toString("base64")}\n`.replace("ysr", "ysq"),
};

function load(yaml: string, env: NodeJS.ProcessEnv = {}): GatewayConfig {
  writeFileSync(file, yaml);
  const loaded = loadConfig(["--config", file], { ...KEYS, ...env });
  if (loaded.kind !== "run") throw new Error(JSON.stringify(loaded));
  return loaded.config;
}

const EVERYTHING = `
listen: { host: "::", port: 0, trustedProxies: [10.0.0.0/8], headersTimeout: 1500ms, maxConnections: 10 }
upstream: { url: "https://api.example", timeout: 90s }
store:
  url: "rediss://gateway:canary-password@127.0.0.1:6380/1?sentinelPassword=canary-parameter"
  lease: 5m
  replicas: { wait: 2, timeout: 70ms }
  encryption: { keys: [{ id: b, env: RECORDS_KEY }, { id: a, env: OLD_KEY }], plain: accept }
admin: { token: canary-token }
locks: { nodes: ["redis://a:6379", "redis://b:6379", "redis+unix:///run/c.sock?db=1"] }
log: { level: debug }
quotas: { newKeys: { perSecond: 5 }, liveRecords: 9 }
notify:
  webhook: { url: "https://oncall.example/hook?team=a", secrets: [{ env: SIGNING }], interval: 1m }
workers: 3
defaults:
  mode: shadow
  profile: stripe
  status: { keyMissing: 422, bodyInvalid: 400, preconditionFailed: 409, conflict: 403 }
  key: { from: query, name: idem, required: true }
  duplicates: { report: true, window: 1m }
  onUnknown: block
  respond: { release: [502], unknown: [500], record: [503, 429] }
  docsUrl: https://docs.example/keys?a=b
  replay: { conflictStatus: 422, authorize: "https://auth.example/may?x=1", authorizeTimeout: 300ms }
routes:
  - name: bookings
    match: { methods: [POST], path: /bookings }
    key: { from: body, pointers: [/date, "/a~1b"] }
    fingerprint: { body: json, ignore: [/sentAt] }
    scope: { headers: [] }
    onInFlight: wait
    waitTimeout: 5s
    replay: { status: { 201: 200 }, dropHeaders: [Set-Cookie], authorize: "" }
  - name: objects
    match: { path: "/objects/:id" }
    key: { from: path, name: id, required: false }
    mode: enforce
    replay: { as: conflict, conflictBody: recorded, whenChanged: conflict }
    resource: { id: path, precondition: required, afterDelete: { remember: 90s, delete: pass } }
    limits: { requestBytes: 1000B, responseBytes: 0B }
    onUnknown: resend
    docsUrl: ""
  - name: slots
    match: { path: /slots }
    respond: { record: never }
    key: { required: true }
    scope: { jwt: { jwks: "https://issuer.example/keys", issuer: a, audience: b, claims: [tenant, sub] } }
    mode: enforce
    resource: { id: { pointers: [/date, /slot] }, serialize: reject, once: true }
  - name: things
    match: { methods: [PUT], path: /things }
    mode: enforce
    resource: { id: { template: "/things/{id}" }, put: create-only }
  - name: payments
    match: { methods: [POST], path: /payments }
    key: { from: header }
    onUnknown: probe
    probe:
      path: "/operations?key={key}"
      as: gateway
      releaseAfter: 10m
      headers: [{ name: Authorization, env: PROBE_CREDENTIAL }, { name: Accept, value: text/plain }]
  - name: static
    match: { path: /static }
    mode: off
    duplicates: { report: false }
`;

void t.test("what is printed is read back to the same configuration", (t) => {
  for (const yaml of ["{}", EVERYTHING]) {
    const config = load(yaml);
    // Secrets are hidden in print; they come from the environment, as they should.
    const again = load(printConfig(config), {
      IDEMPOTENCY_GATEWAY_STORE: config.store.url,
      IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: config.admin.token,
    });
    t.strictSame(again, config);
    t.equal(printConfig(again), printConfig(config));
  }
  t.end();
});

void t.test("--print-config prints the file's own words, flags and environment applied", (t) => {
  writeFileSync(file, EVERYTHING);
  const loaded = loadConfig(["--config", file, "--print-config", "--workers=5"], KEYS);
  if (loaded.kind !== "print") return t.fail(JSON.stringify(loaded));
  t.match(loaded.text, "\nworkers: 5\n");
  t.match(loaded.text, "\n  timeout: 90s\n");
  t.match(loaded.text, "\n  headersTimeout: 1500ms\n");
  t.match(loaded.text, "\n      requestBytes: 1000B\n");
  return t.end();
});

void t.test("no secret is in what is printed, and it says where one is hidden", (t) => {
  const config = load(EVERYTHING);
  const text = printConfig(config) + JSON.stringify(withoutSecrets(config));
  t.notMatch(text, /canary|caca|ysq|ysr/u);
  t.match(text, "        env: RECORDS_KEY\n", "where a key is, is no secret");
  t.match(text, "      - env: SIGNING\n");
  const hook = {
    webhook: { url: "https://a.example/?token=canary-1", secrets: [{ env: "SIGNING" }] },
  };
  const hooked = printConfig(load(JSON.stringify({ notify: hook })));
  t.match(hooked, "https://a.example/?token=********\n");
  t.notMatch(hooked, "canary");
  t.equal(config.store.encryption?.keys[0]?.secret, KEYS.RECORDS_KEY);
  t.match(text, "          env: PROBE_CREDENTIAL\n", "nor where a credential is");
  const probed = config.routes.find(({ policy }) => policy.route === "payments")?.policy.probe;
  t.match(probed, {
    as: "gateway",
    timeoutMs: 2000,
    releaseAfterMs: 600_000,
    headers: [{ value: KEYS.PROBE_CREDENTIAL }, { value: "text/plain" }],
  });
  t.match(text, "rediss://gateway:********@127.0.0.1:6380/1?sentinelPassword=********");
  t.match(text, /token: "?\*{8}"?\n/u);
  t.match(config.admin.token, "canary-token", "the configuration itself keeps it");
  t.match(printConfig(load("{}")), /\n {2}token: ""\n/u, "and none is none");
  t.end();
});

void t.test("no password of a lock's server is in what is printed", (t) => {
  const config = load(`locks:
  nodes:
    - rediss://gateway:canary1@a:6379
    - redis://:canary2@b:6379/1
    - redis+unix:///run/c.sock?password=canary3
`);
  const text = printConfig(config) + JSON.stringify(withoutSecrets(config));
  t.notMatch(text, /canary/u);
  t.match(text, "    - rediss://gateway:********@a:6379\n    - redis://:********@b:6379/1\n");
  t.match(config.locks.nodes[0], "canary1", "the configuration itself keeps it");
  writeFileSync(file, printConfig(config));
  const again = loadConfig(["--config", file], {});
  t.equal(again.kind, "invalid", "the placeholder is not taken for a password");
  t.end();
});

const maskings: readonly (readonly [url: string, shown: string])[] = [
  ["file:./a:b@c", "file:./a:b@c"],
  ["redis://127.0.0.1:6379", "redis://127.0.0.1:6379"],
  ["redis://user@127.0.0.1:6379", "redis://user@127.0.0.1:6379"],
  ["redis://:secret@127.0.0.1", "redis://:********@127.0.0.1"],
  ["redis://u:se:cr%40et@h:1/0", "redis://u:********@h:1/0"],
  ["rediss+sentinel://u:p@a:1,b:2/main?x=1", "rediss+sentinel://u:********@a:1,b:2/main?x=1"],
  ["redis+unix:///s?db=1&password=p%26q", "redis+unix:///s?db=1&password=********"],
];
for (const [url, shown] of maskings) {
  void t.test(`${url} is shown as ${shown}`, (t) => {
    t.equal(withoutPassword(url), shown);
    t.end();
  });
}
