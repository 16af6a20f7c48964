import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { loadConfig } from "../../src/config/load.ts";
import type { GatewayConfig } from "../../src/config/schema.ts";

const directory = mkdtempSync(join(tmpdir(), "gateway-config-"));
t.teardown(() => rmSync(directory, { recursive: true }));
let written = 0;

function fileOf(yaml: string): string {
  written += 1;
  const file = join(directory, `${written}.yaml`);
  writeFileSync(file, yaml);
  return file;
}

function load(
  yaml: string,
  argv: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): GatewayConfig {
  const loaded = loadConfig(["--config", fileOf(yaml), ...argv], env);
  if (loaded.kind !== "run") throw new Error(JSON.stringify(loaded));
  return loaded.config;
}

function problems(argv: readonly string[], env: NodeJS.ProcessEnv = {}): readonly string[] {
  const loaded = loadConfig(argv, env);
  return loaded.kind === "invalid" ? loaded.problems : [];
}

void t.test("a flag overrides the environment, and the environment the file", (t) => {
  const yaml = "workers: 2\nlog: { level: warn }\nupstream: { url: 'http://file:1' }\n";
  const env = { IDEMPOTENCY_GATEWAY_WORKERS: "3", IDEMPOTENCY_GATEWAY_LOG_LEVEL: "error" };
  const config = load(yaml, ["--workers", "4"], env);
  t.equal(config.workers, 4);
  t.equal(config.log.level, "error");
  t.equal(config.upstream.url, "http://file:1");
  t.end();
});

void t.test("every flag sets what it is named after", (t) => {
  const config = load("{}", [
    "--upstream=https://api.example:8443/",
    "--listen=[::1]:0",
    "--admin=ops.internal:9999",
    "--store=rediss+sentinel://user:secret@a:26379,b:26379/main",
    "--require-key",
    "--workers=2",
    "--log-level=silent",
  ]);
  t.equal(config.upstream.url, "https://api.example:8443");
  t.match(config.listen, { host: "::1", port: 0 });
  t.match(config.admin, { host: "ops.internal", port: 9999 });
  t.equal(config.store.url, "rediss+sentinel://user:secret@a:26379,b:26379/main");
  t.equal(config.defaults.key.required, true);
  t.equal(config.workers, 2);
  t.equal(config.log.level, "silent");
  t.end();
});

void t.test("every variable sets what it is named after, an empty one nothing", (t) => {
  const config = load("{}", [], {
    IDEMPOTENCY_GATEWAY_UPSTREAM: "http://[::1]:3001",
    IDEMPOTENCY_GATEWAY_LISTEN: "127.0.0.1:8081",
    IDEMPOTENCY_GATEWAY_ADMIN: "127.0.0.1:0",
    IDEMPOTENCY_GATEWAY_STORE: "memory:",
    IDEMPOTENCY_GATEWAY_REQUIRE_KEY: "true",
    IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: "token-from-the-environment",
    IDEMPOTENCY_GATEWAY_WORKERS: "",
    OTHER_VARIABLE: "x",
  });
  t.equal(config.upstream.url, "http://[::1]:3001");
  t.match(config.listen, { host: "127.0.0.1", port: 8081 });
  t.equal(config.admin.port, 0);
  t.equal(config.store.url, "memory:");
  t.equal(config.defaults.key.required, true);
  t.equal(config.admin.token, "token-from-the-environment");
  t.equal(config.workers, 1);
  t.end();
});

void t.test("IDEMPOTENCY_GATEWAY_CONFIG names the file, and --config another one", (t) => {
  const first = fileOf("workers: 2");
  const second = fileOf("workers: 3");
  const env = { IDEMPOTENCY_GATEWAY_CONFIG: first };
  t.match(loadConfig([], env), { kind: "run", file: first, config: { workers: 2 } });
  t.match(loadConfig(["--config", second, "--check"], env), { kind: "check", file: second });
  t.end();
});

void t.test(
  "--require-key is inherited by routes, and a route that says otherwise keeps its word",
  (t) => {
    const yaml = `routes:
  - { name: a, match: { path: /a } }
  - { name: b, match: { path: /b }, key: { required: false } }
`;
    const config = load(yaml, ["--require-key"]);
    t.strictSame(
      config.routes.map(({ policy }) => policy.key.required),
      [true, false],
    );
    const optional = load("defaults: { key: { required: true } }", [], {
      IDEMPOTENCY_GATEWAY_REQUIRE_KEY: "false",
    });
    t.equal(optional.defaults.key.required, false);
    t.end();
  },
);

const flagFaults: readonly (readonly [argv: readonly string[], problem: string])[] = [
  [["--upsteam", "http://x:1"], '--upsteam: unknown flag; did you mean "--upstream"?'],
  [["--zzzzzzzz"], "--zzzzzzzz: unknown flag; --help lists them"],
  [["-x"], "-x: unknown flag; --help lists them"],
  [
    ["--admin-token=canary"],
    "--admin-token: not a flag: a secret does not belong there; set IDEMPOTENCY_GATEWAY_ADMIN_TOKEN",
  ],
  [["--upstream"], "--upstream: needs a value: --upstream URL"],
  [["--store", "--check"], "--store: needs a value: --store URL"],
  [["--store="], "--store: needs a value: --store URL"],
  [["--check=canary"], "--check: takes no value"],
  [["--require-key=canary"], "--require-key: takes no value"],
  [["--workers", "1", "--workers", "2"], "--workers: is given twice"],
  [["--workers", "two"], "--workers: must be a whole number between 1 and 256, not text"],
  [["--listen", "8080"], "--listen: must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"],
  [["--listen", "::1:8080"], "--listen: must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"],
  [["--listen", "a:70000"], "--listen: must be a whole number between 0 and 65535"],
  [
    ["--log-level", "warning"],
    '--log-level: must be one of trace, debug, info, warn, error, fatal, silent; did you mean "warn"?',
  ],
  [["http://canary:1"], "argument 1: not a flag; flags begin with --"],
  [
    ["--store", "memory:", "--workers", "2"],
    "--store: must not be memory: with more than one worker: each would keep records of its own and a retry could run again; use file: or redis:, or workers 1",
  ],
];
for (const [argv, problem] of flagFaults) {
  void t.test(`${argv.join(" ")}: is refused in one line that quotes no value`, (t) => {
    t.strictSame(problems(argv), [problem]);
    t.end();
  });
}

const variableFaults: readonly (readonly [name: string, value: string, problem: string])[] = [
  ["WORKER", "2", 'unknown variable; did you mean "IDEMPOTENCY_GATEWAY_WORKERS"?'],
  ["ADMIN_TOKN", "canary", 'unknown variable; did you mean "IDEMPOTENCY_GATEWAY_ADMIN_TOKEN"?'],
  [
    "RETENTION_COMPLETED",
    "24h",
    "unknown variable; known: IDEMPOTENCY_GATEWAY_CONFIG, IDEMPOTENCY_GATEWAY_UPSTREAM, IDEMPOTENCY_GATEWAY_LISTEN, IDEMPOTENCY_GATEWAY_ADMIN, IDEMPOTENCY_GATEWAY_STORE, IDEMPOTENCY_GATEWAY_REQUIRE_KEY, IDEMPOTENCY_GATEWAY_WORKERS, IDEMPOTENCY_GATEWAY_LOG_LEVEL, IDEMPOTENCY_GATEWAY_ADMIN_TOKEN",
  ],
  ["CHECK", "true", "not a setting; use the flag --check"],
  ["REQUIRE_KEY", "yes", "must be true or false"],
  ["WORKERS", "0", "must be a whole number between 1 and 256"],
  ["LISTEN", "canary", "must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"],
  ["ADMIN_TOKEN", "canary token", "must be at most 512 visible ASCII characters, without spaces"],
];
for (const [name, value, problem] of variableFaults) {
  void t.test(`IDEMPOTENCY_GATEWAY_${name}=${value} is refused without quoting it`, (t) => {
    const variable = `IDEMPOTENCY_GATEWAY_${name}`;
    t.strictSame(problems([], { [variable]: value }), [`${variable}: ${problem}`]);
    t.end();
  });
}

void t.test(
  "the variables that Kubernetes sets for a service of that name are passed over",
  (t) => {
    const env = {
      IDEMPOTENCY_GATEWAY_SERVICE_HOST: "10.0.0.1",
      IDEMPOTENCY_GATEWAY_SERVICE_PORT: "8080",
      IDEMPOTENCY_GATEWAY_SERVICE_PORT_HTTP: "8080",
      IDEMPOTENCY_GATEWAY_PORT: "tcp://10.0.0.1:8080",
      IDEMPOTENCY_GATEWAY_PORT_8080_TCP: "tcp://10.0.0.1:8080",
      IDEMPOTENCY_GATEWAY_PORT_8080_TCP_ADDR: "10.0.0.1",
    };
    t.strictSame(problems([], env), []);
    t.not(problems([], { IDEMPOTENCY_GATEWAY_PORT: "8080" }).length, 0, "a person's own is told");
    t.end();
  },
);

void t.test(
  "mistakes on the command line, in the environment and in the file are told together",
  (t) => {
    const file = fileOf("workers: 0\nlog:\n  level: [info\n");
    const told = problems(["--config", file, "--upstreem=x", "--store=ftp:"], {
      IDEMPOTENCY_GATEWAY_WORKR: "1",
    });
    t.equal(told.length, 4, told.join("\n"));
    t.match(told[0], /^IDEMPOTENCY_GATEWAY_WORKR: /u);
    t.match(told[1], /^--upstreem: /u);
    t.match(told[2], new RegExp(`^${file}:\\d+:\\d+: `, "u"));
    t.match(told[3], /^--store: must begin with one of file:/u);
    t.end();
  },
);

void t.test("--help and --version are answered whatever else is wrong", (t) => {
  const help = loadConfig(["--help", "--nonsense"], {});
  t.match(help, { kind: "help", text: /^Usage: idempotency-gateway/u });
  t.match(loadConfig(["-h"], {}), { kind: "help" });
  t.match(loadConfig(["--version"], {}), { kind: "version", text: /^\d+\.\d+\.\d+\n$/u });
  t.end();
});

void t.test("--help names every flag, every variable and every exit status", (t) => {
  const help = loadConfig(["--help"], {});
  if (help.kind !== "help") return t.fail("no help");
  const flags =
    "config upstream listen admin store require-key workers log-level check print-config help version";
  for (const flag of flags.split(" ")) t.match(help.text, new RegExp(`^  --${flag}\\b`, "mu"));
  const variables = "CONFIG UPSTREAM LISTEN ADMIN STORE REQUIRE_KEY WORKERS LOG_LEVEL ADMIN_TOKEN";
  for (const name of variables.split(" ")) t.match(help.text, `  IDEMPOTENCY_GATEWAY_${name}=`);
  t.match(help.text, /\n  0 .*\n  1 .*\n  2 .*\n/u);
  t.notOk(help.text.includes("--admin-token"), "a secret has no flag");
  return t.end();
});

function refusesWriting(t: Test, value: unknown, path: string): void {
  if (typeof value !== "object" || value === null) return;
  t.ok(Object.isFrozen(value), `${path} is frozen`);
  for (const [name, member] of Object.entries(value)) refusesWriting(t, member, `${path}.${name}`);
}

void t.test("the configuration cannot be changed, down to the last list and map", (t) => {
  const config = load(`store: { url: "redis://a:1", replicas: {} }
routes:
  - { name: a, match: { path: /a, methods: [PUT] }, replay: { status: { 201: 200 } } }
`);
  refusesWriting(t, config, "config");
  const status = config.routes[0]?.policy.replay.status;
  if (!(status instanceof Map)) return t.fail("no map");
  t.throws(() => status.set(201, 500), TypeError);
  t.throws(() => status.clear(), TypeError);
  t.throws(() => status.delete(201), TypeError);
  t.strictSame([...status], [[201, 200]]);
  return t.end();
});
