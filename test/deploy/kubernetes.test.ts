/**
 * The sidecar's base and the Helm chart, rendered by kubectl and helm: every object has the fields of the Kubernetes API or
 * of the Prometheus operator and no others (by the compiler, with their types), selectors and ports find each other, and
 * the gateway's configuration inside is valid. No cluster is asked.
 */
import { execFile, execFileSync } from "node:child_process";
import { readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { parse, parseAllDocuments, stringify } from "yaml";
import { loadConfig } from "../../src/config/load.ts";
import { BARE } from "../support/bare-node.ts";
import { ROOT } from "../support/bundled.ts";
import { configValues } from "./chart-schema.ts";

type Labels = Readonly<Record<string, string>>;

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly restartPolicy?: string;
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly lifecycle?: {
    readonly preStop: {
      readonly sleep?: { readonly seconds: number };
      readonly exec?: { readonly command: readonly string[] };
    };
  };
  readonly resources: unknown;
  readonly securityContext: unknown;
}

/** As far as something is asked of it here. */
interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Labels };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly selector: Labels & { readonly matchLabels: Labels };
    readonly podSelector: { readonly matchLabels: Labels };
    readonly ports: readonly { readonly name: string; readonly targetPort: string }[];
    readonly endpoints: readonly { readonly port: string }[];
    readonly ingress: readonly { readonly ports: readonly { readonly port: string }[] }[];
    readonly scaleTargetRef: { readonly name: string };
    readonly replicas?: number;
    readonly groups: unknown;
    readonly template: {
      readonly metadata: { readonly labels: Labels };
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly securityContext: unknown;
        readonly initContainers?: readonly Container[];
        readonly containers: readonly Container[];
      };
    };
  };
}

const CHART = join(ROOT, "deploy/kubernetes/chart");
const SIDECAR = join(ROOT, "deploy/kubernetes/sidecar");
const EVERYTHING = ["autoscaling", "serviceMonitor", "prometheusRule", "dashboard"].flatMap(
  (part) => ["--set", `${part}.enabled=true`],
);
const run = promisify(execFile);
const read = (...path: string[]): string => readFileSync(join(ROOT, ...path), "utf8");
const values = parse(read("deploy/kubernetes/chart/values.yaml")) as Readonly<
  Record<string, unknown>
>;

let bin = "";

t.before(() => {
  const stdio: ["ignore", "pipe", "inherit"] = ["ignore", "pipe", "inherit"];
  execFileSync(join(ROOT, "test/support/ensure-packages.sh"), { stdio });
  bin = execFileSync(join(ROOT, "test/support/ensure-helm.sh"), { stdio, encoding: "utf8" }).trim();
});

const tool = (name: string, ...args: string[]) => run(join(bin, name), args);

function manifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

async function sidecar(): Promise<readonly Manifest[]> {
  return manifests((await tool("kubectl", "kustomize", SIDECAR)).stdout);
}

async function chart(...args: string[]): Promise<readonly Manifest[]> {
  return manifests((await tool("helm", "template", "demo", CHART, ...args)).stdout);
}

function one(all: readonly Manifest[], kind: string, suffix = ""): Manifest {
  const found = all.filter((each) => each.kind === kind && each.metadata.name.endsWith(suffix));
  if (found[0] === undefined) throw new Error(`no ${kind}`);
  return found[0];
}

function gatewayOf(deployment: Manifest): Container {
  const { initContainers = [], containers } = deployment.spec.template.spec;
  const found = [...initContainers, ...containers].find(({ name }) => name === "gateway");
  if (found === undefined) throw new Error("no container gateway");
  return found;
}

/** What the compiler has against the manifests as objects of the API's types. */
async function typeErrors(dir: string, all: readonly Manifest[]): Promise<string> {
  const lines = all.map((each, i) => {
    const group = each.apiVersion.includes("/") ? each.apiVersion : `core/${each.apiVersion}`;
    const [name, version] = group.split("/");
    const [type, from] =
      name === "monitoring.coreos.com"
        ? [`I${each.kind}`, `@kubernetes-models/prometheus-operator/${group}/${each.kind}`]
        : [each.kind, `kubernetes-types/${name?.replace(".k8s.io", "")}/${version}.js`];
    return `import type { ${type} as T${i} } from "${from}";
export const o${i}: T${i} = ${JSON.stringify(each, undefined, 1)};`;
  });
  writeFileSync(join(dir, "manifests.ts"), lines.join("\n"));
  const options = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck"];
  const args = [...options, "--module", "nodenext", "--types", "", join(dir, "manifests.ts")];
  return run("env", [...BARE, join(ROOT, "node_modules/.bin/tsc"), ...args]).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: unknown) => {
      const { stdout, stderr } = error as { readonly stdout: string; readonly stderr: string };
      return `failed: ${stdout}${stderr}`;
    },
  );
}

t.test(
  "the objects have the fields of the Kubernetes API and the operator, and no others",
  async (t) => {
    const dir = t.testdir();
    const all = [...(await sidecar()), ...(await chart(...EVERYTHING))];
    t.equal(all.length, 16);
    t.equal(await typeErrors(dir, all), "");
    const text = JSON.stringify(all)
      .replace('"terminationGracePeriodSeconds"', '"terminationGraceSeconds"')
      .replace('"relabelings"', '"relabelling"')
      .replace('"alert":', '"alarm":');
    const told = await typeErrors(dir, JSON.parse(text) as readonly Manifest[]);
    for (const field of ["terminationGraceSeconds", "relabelling", "alarm"]) {
      t.match(told, `"${field}"' does not exist in type`, "it would say");
    }
  },
);

for (const [name, render] of [
  ["sidecar", sidecar],
  ["chart", () => chart(...EVERYTHING)],
] as const) {
  t.test(
    `${name}: selectors find the pods, ports and probes find the container's ports`,
    async (t) => {
      const all = await render();
      const deployment = one(all, "Deployment");
      const { template } = deployment.spec;
      const gateway = gatewayOf(deployment);
      t.same(gateway.ports, [
        { name: "http", containerPort: 8080 },
        { name: "admin", containerPort: 9091 },
      ]);
      for (const { kind, spec } of all) {
        if (kind === "Service") {
          t.match(template.metadata.labels, spec.selector, kind);
          for (const port of spec.ports) t.match(port.targetPort, /^(http|admin)$/);
        }
        if (kind === "Deployment" || kind === "PodDisruptionBudget") {
          t.match(template.metadata.labels, spec.selector.matchLabels, kind);
        }
        if (kind === "HorizontalPodAutoscaler") {
          t.equal(spec.scaleTargetRef.name, deployment.metadata.name);
        }
      }
      const { podSelector, ingress } = one(all, "NetworkPolicy").spec;
      t.match(template.metadata.labels, podSelector.matchLabels);
      t.same(
        ingress.flatMap(({ ports }) => ports.map(({ port }) => port)),
        ["http", "admin"],
      );
      t.same(gateway.startupProbe.httpGet, { path: "/livez", port: "admin" });
      t.same(gateway.livenessProbe.httpGet, { path: "/livez", port: "admin" });
      t.same(gateway.readinessProbe.httpGet, { path: "/readyz", port: "admin" });
    },
  );

  t.test(
    `${name}: the gateway is nobody's root, writes nothing, and has time to stop`,
    async (t) => {
      const deployment = one(await render(), "Deployment");
      const { spec } = deployment.spec.template;
      t.match(spec.securityContext, { runAsNonRoot: true });
      t.match(gatewayOf(deployment).securityContext, {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ["ALL"] },
      });
      for (const { lifecycle } of spec.containers) {
        const { sleep, exec } = lifecycle?.preStop ?? {};
        t.ok(sleep?.seconds === 10 || exec?.command.at(-1)?.includes("10000") === true, "preStop");
      }
      // As a sidecar it is stopped behind the app, which may take as long.
      const stopsS = name === "sidecar" ? 30 + 30 : 30;
      t.ok(spec.terminationGracePeriodSeconds > stopsS + 10, "upstream.timeout and preStop");
      t.match(gatewayOf(deployment).resources, {
        requests: { cpu: /m$/u, memory: /Mi$/u },
        limits: { memory: /Mi$/u },
      });
      const { version } = JSON.parse(read("package.json")) as { readonly version: string };
      t.equal(gatewayOf(deployment).image, `idempotency-gateway:${version}`);
    },
  );

  t.test(`${name}: the gateway accepts its configuration`, async (t) => {
    const { data } = one(await render(), "ConfigMap", "gateway");
    const dir = t.testdir({ "gateway.yaml": data?.["gateway.yaml"] ?? "" });
    const loaded = loadConfig(["--config", join(dir, "gateway.yaml")], {
      IDEMPOTENCY_GATEWAY_STORE: "redis://redis:6379",
      IDEMPOTENCY_GATEWAY_ADMIN_TOKEN: "token",
    });
    t.match(loaded, {
      kind: "run",
      config: { listen: { port: 8080 }, admin: { host: "0.0.0.0", port: 9091 } },
    });
  });
}

t.test("the sidecar starts before the app and stops after it", async (t) => {
  const { initContainers = [] } = one(await sidecar(), "Deployment").spec.template.spec;
  t.same(
    initContainers.map(({ name, restartPolicy }) => [name, restartPolicy]),
    [["gateway", "Always"]],
  );
});

t.test("an overlay changes the image, the names and the configuration", async (t) => {
  const dir = t.testdir({ "gateway.yaml": "upstream: { url: 'http://127.0.0.1:4000' }\n" });
  const [base, map] = [relative(realpathSync(dir), SIDECAR), "charges-gateway"];
  const overlay = {
    resources: [base],
    namePrefix: "eu-",
    images: [{ name: "idempotency-gateway", newName: "registry.example/gateway", newTag: "2.0.0" }],
    configMapGenerator: [{ name: map, behavior: "replace", files: ["gateway.yaml"] }],
    generatorOptions: { disableNameSuffixHash: true },
  };
  writeFileSync(join(dir, "kustomization.yaml"), stringify(overlay));
  const all = manifests((await tool("kubectl", "kustomize", dir)).stdout);
  const deployment = one(all, "Deployment");
  t.equal(deployment.metadata.name, "eu-charges");
  t.equal(gatewayOf(deployment).image, "registry.example/gateway:2.0.0");
  t.match(one(all, "ConfigMap", map).data?.["gateway.yaml"], /4000/);
});

t.test("helm has nothing against the chart, and each part can be had or left out", async (t) => {
  t.match((await tool("helm", "lint", "--strict", CHART)).stdout, "0 chart(s) failed");
  const kinds = (all: readonly Manifest[]) => all.map(({ kind }) => kind).toSorted();
  const core = ["ConfigMap", "Deployment", "Service", "Service", "ServiceAccount"];
  const off = ["networkPolicy", "podDisruptionBudget"];
  const least = await chart(...off.flatMap((part) => ["--set", `${part}.enabled=false`]));
  t.same(kinds(least), core);
  t.equal(one(least, "Deployment").spec.replicas, 2);
  const everything = await chart(...EVERYTHING);
  t.equal(one(everything, "Deployment").spec.replicas, undefined, "the autoscaler's to say");
  t.same(
    kinds(everything),
    [
      ...[...core, "ConfigMap", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"],
      ...["PrometheusRule", "ServiceMonitor"],
    ].toSorted(),
  );
});

t.test(
  "the operator's objects carry the rules, and find the admin service by its port",
  async (t) => {
    const all = await chart(...EVERYTHING);
    const { groups } = parse(read("deploy/prometheus/rules.yaml")) as { readonly groups: unknown };
    t.same(one(all, "PrometheusRule").spec.groups, groups);
    const monitor = one(all, "ServiceMonitor").spec;
    const services = all.filter(({ kind }) => kind === "Service");
    const found = services.filter(({ metadata }) =>
      Object.entries(monitor.selector.matchLabels).every(
        ([label, value]) => metadata.labels[label] === value,
      ),
    );
    t.same(
      found.map(({ spec }) => spec.ports.map(({ name }) => name)),
      [monitor.endpoints.map(({ port }) => port)],
    );
  },
);

t.test("the alerts' runbook_url begins with what the values say", async (t) => {
  const { groups } = parse(read("deploy/prometheus/rules.yaml")) as { readonly groups: unknown };
  const expected = JSON.stringify(groups).replaceAll('"docs/', '"https://git.example/docs/');
  t.match(expected, '"runbook_url":"https://git.example/docs/alerts.md#');
  for (const base of ["https://git.example", "https://git.example/"]) {
    const all = await chart(...EVERYTHING, "--set", `prometheusRule.runbookBase=${base}`);
    t.same(one(all, "PrometheusRule").spec.groups, JSON.parse(expected), base);
  }
});

t.test("what the values may say under config is the gateway's own schema", (t) => {
  const file = join(CHART, "values.schema.json");
  const schema = JSON.parse(readFileSync(file, "utf8")) as {
    readonly properties: Readonly<Record<string, unknown>>;
  };
  const properties = { ...schema.properties, config: configValues() };
  if (process.env["UPDATE"] === "1") {
    writeFileSync(file, `${JSON.stringify({ ...schema, properties }, undefined, 2)}\n`);
  }
  const again = "make it anew: UPDATE=1 npx tap test/deploy/kubernetes.test.ts && npm run format";
  t.same(JSON.parse(readFileSync(file, "utf8")), { ...schema, properties }, again);
  t.end();
});

t.test("the gateway's own examples are configurations that the values accept", async (t) => {
  const dir = t.testdir();
  const examples = readdirSync(join(ROOT, "config/examples"));
  t.ok(examples.length > 5);
  for (const name of examples) {
    const config = parse(read("config/examples", name)) as Record<string, unknown>;
    // The chart's to say.
    for (const own of ["listen", "admin", "store"]) delete config[own];
    config["upstream"] = { url: "http://a:3000", ...(config["upstream"] as object | undefined) };
    writeFileSync(join(dir, "values.yaml"), stringify({ config }));
    await t.resolves(chart("--values", join(dir, "values.yaml")), name);
  }
});

t.test("below another chart, a condition has it or leaves it out", async (t) => {
  const dir = t.testdir({
    charts: { gateway: t.fixture("symlink", CHART) },
    "Chart.yaml": stringify({
      ...{ apiVersion: "v2", name: "shop", version: "1.0.0" },
      dependencies: [
        {
          name: "idempotency-gateway",
          version: "*",
          alias: "gateway",
          condition: "gateway.enabled",
        },
      ],
    }),
  });
  const render = async (enabled: unknown) => {
    const gateway = { enabled, config: { upstream: { url: "http://shop:3000" } } };
    writeFileSync(join(dir, "values.yaml"), stringify({ gateway }));
    return manifests((await tool("helm", "template", "shop", dir)).stdout);
  };
  t.match(one(await render(true), "Deployment").metadata.name, /^shop-/);
  t.same(await render(false), []);
  await t.rejects(render("perhaps"), /enabled.*boolean/);
});

t.test("the chart's copies of rules and dashboard are copies", async (t) => {
  const files = join(CHART, "files");
  t.same(readdirSync(files).toSorted(), ["idempotency-gateway.json", "rules.yaml"]);
  t.equal(read("deploy/kubernetes/chart/files/rules.yaml"), read("deploy/prometheus/rules.yaml"));
  t.equal(
    read("deploy/kubernetes/chart/files/idempotency-gateway.json"),
    read("deploy/grafana/dashboards/idempotency-gateway.json"),
  );
});

t.test(
  "every value that a template uses is in values.yaml, and every one there is used",
  async (t) => {
    const dir = join(CHART, "templates");
    const text = readdirSync(dir).map((file) => readFileSync(join(dir, file), "utf8"));
    const found = text.join("\n").matchAll(/\.Values\.([\w.]+\w)/g);
    const used = new Set([...found].map(([, path = ""]) => path));
    t.ok(used.size > 20);
    for (const path of used) {
      let at: unknown = values;
      for (const name of path.split(".")) at = (at as Record<string, unknown>)[name];
      t.not(at, undefined, path);
    }
    for (const name of Object.keys(values)) {
      t.ok(
        [...used].some((path) => path.split(".")[0] === name),
        name,
      );
    }
  },
);

t.test(
  "values that cannot be right are refused before anything is sent to a cluster",
  async (t) => {
    for (const [set, where] of [
      ["service.port=0", "/service/port"],
      ["replicaCount=two", "/replicaCount"],
      ["config.upstream.url=service:3000", "/config/upstream/url"],
      ["config.admin.port=1", "/config/admin"],
      ["config.store.url=redis://redis", "additional properties 'url' not allowed"],
      ["config.upstraem.url=http://a", "additional properties 'upstraem' not allowed"],
      ["config.upstream.timout=30s", "additional properties 'timout' not allowed"],
      ["config.upstream.timeout=30", "/config/upstream/timeout"],
      ["config.routes[0].name=a,config.routes[0].match.pth=/a", "/config/routes/0/match"],
      ["existingSecret=", "/existingSecret"],
      ["prometheusRule.runbookBase=docs", "/prometheusRule/runbookBase"],
      ["autoscalling.enabled=true", "additional properties 'autoscalling' not allowed"],
    ] as const) {
      const said = await chart("--set", set).then(
        () => "helm was content",
        (error: unknown) => (error as { readonly stderr: string }).stderr,
      );
      t.match(said, where, set);
    }
  },
);
