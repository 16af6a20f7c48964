/**
 * The compose file: what it names exists, images carry a version, nobody starts before what it needs is healthy; and
 * its commands, run here as processes, execute a charge once. No container is run, and images are not pulled.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { BARE_NODE, RUNS_TYPESCRIPT } from "../support/bare-node.ts";
import { endWith } from "../support/child.ts";
import { ROOT } from "../support/bundled.ts";
import { call } from "../support/client.ts";
import { startGatewayProcess, configured } from "../support/gateway-process.ts";
import { freePort, startRedis, until } from "../support/redis-server.ts";

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
const { services, volumes } = parse(readFileSync(join(DIR, "docker-compose.yaml"), "utf8")) as {
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

t.test("the services are there, each of a pinned image", async (t) => {
  t.same(Object.keys(services).toSorted(), [
    ...["blackbox", "gateway", "grafana", "prometheus", "redis", "upstream"],
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
  t.ok(named.length >= 5);
  for (const path of named) t.ok(existsSync(path), path);
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
