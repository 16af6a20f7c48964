/**
 * The dashboard and the recording rules against a real Prometheus, which scrapes a real gateway with two workers by the
 * scrape configuration that is shipped: every query finds data, and a lost answer raises the alert. Grafana itself is
 * not run; that the dashboard holds together is checked on its JSON.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { ROOT } from "../support/bundled.ts";
import { call } from "../support/client.ts";
import { configured, startGatewayProcess } from "../support/gateway-process.ts";
import { tempDir } from "../support/gateway.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/redis-server.ts";
import { startUpstream } from "../support/upstream.ts";
import { dashboard, filled, type Grid } from "./dashboard.ts";
import { startPrometheus, type Sample } from "./prometheus.ts";

interface Rule {
  readonly record?: string;
}

const DEADLINE_MS = 15_000;
const CLIENTS = 6;
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const rules = parse(read("deploy/prometheus/rules.yaml")) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};

t.before(() => {
  for (const script of ["ensure-promtool.sh", "ensure-packages.sh"]) {
    execFileSync(join(ROOT, "test/support", script), { stdio: ["ignore", "ignore", "inherit"] });
  }
});

/** Every query of the dashboard as Grafana would send it, by what it is for. */
function queries(): Map<string, string> {
  const found = new Map<string, string>();
  for (const { title, targets = [] } of dashboard.panels) {
    for (const { expr, legendFormat } of targets) {
      found.set(`${title} (${legendFormat}): ${expr}`, filled(expr, "10s", "1m"));
    }
  }
  for (const { name, definition } of dashboard.templating.list) {
    const [, metric = ""] = /^label_values\((\w+), (\w+)\)$/.exec(definition) ?? [];
    found.set(`variable ${name}`, metric);
  }
  for (const { name, expr } of dashboard.annotations.list) found.set(`annotation ${name}`, expr);
  for (const { record } of rules.groups.flatMap((group) => group.rules)) {
    if (record !== undefined) found.set(`recording rule ${record}`, record);
  }
  return found;
}

const isData = (samples: readonly Sample[]): boolean =>
  samples.some(({ value }) => value[1] !== "NaN");

t.test("every query of the dashboard and every recording rule finds data", async (t) => {
  const port = await freePort();
  const oncall = await startUpstream(t);
  const settings = [
    ...configured(t, {
      upstream: { url: `http://127.0.0.1:${port}` },
      store: { url: `file:${tempDir(t)}` },
      workers: 2,
      notify: { webhook: { url: oncall.url, secrets: [{ env: "SIGNING" }] } },
      routes: [
        { name: "watched", match: { path: "/watched" }, mode: "shadow" },
        { name: "keyless", match: { path: "/keyless" }, duplicates: { report: true } },
        { name: "charges", match: { path: "/*" } },
      ],
    }),
  ];
  const gateway = await startGatewayProcess(t, settings, {
    SIGNING: `whsec_${Buffer.alloc(32, 1).toString("base64")}`,
  });
  const prometheus = await startPrometheus(t, [gateway.admin]);
  const query = (expr: string): Promise<readonly Sample[]> => prometheus.query(expr);

  const post = async (path: string, key: string, body: string): Promise<string | undefined> => {
    const headers = { "Idempotency-Key": key };
    const answer = await call(`${gateway.url}${path}`, { method: "POST", headers, body });
    return answer.header("idempotency-status");
  };
  t.equal(await post("/charge", "early", "1"), "upstream-unreachable");
  const upstream = await startUpstream(t, { port });
  upstream.respond((request, _req, res) => {
    if (request.url === "/lost") res.destroy();
    else res.end("done");
  });
  let rounds = 0;
  const told = new Set<string>();
  const round = async (): Promise<void> => {
    rounds += 1;
    const key = `key-${rounds}`;
    const twins = [post("/charge", key, "1"), post("/charge", key, "1")];
    const [shadowed] = await Promise.all([
      post("/watched", key, "1"),
      call(`${gateway.url}/keyless`, { method: "POST", body: "1" }),
    ]);
    const both = (await Promise.all(twins)).toSorted().join();
    t.match(both, /^(executed,in-flight|executed,replayed)$/, "one of two at once");
    const again = await post("/charge", key, "1");
    const other = await post("/charge", key, "2");
    told.add([again, other, shadowed].join());
  };

  // The counters are seen at 0 first: what happens before a first scrape is no increase.
  await until(async () => isData(await query("idempotency_gateway_unknown_outcomes_total")));
  t.equal(await post("/lost", "lost", "1"), "outcome-unknown");
  await oncall.arrived(1);
  await call(`${gateway.admin}/v1/reload`, { method: "POST" });

  const asked = queries();
  t.ok(asked.size > 35, `${asked.size} queries`);
  const waiting = new Map(asked);
  const deadlineMs = performance.now() + DEADLINE_MS;
  await until(async () => {
    await Promise.all(Array.from({ length: CLIENTS }, round));
    for (const [what, expr] of waiting) {
      if (isData(await query(expr))) waiting.delete(what);
      // One that finds nothing is the reason why the others wait.
      else break;
    }
    return waiting.size === 0 || performance.now() > deadlineMs;
  });
  t.same([...waiting.keys()], [], "queries that found nothing");

  t.same([...told], ["replayed,key-reused,shadow"]);
  const outcomes = await query("sum by (outcome) (idempotency_gateway_requests_total)");
  const counted = new Set(outcomes.map(({ metric }) => metric["outcome"]));
  // Whether a twin came before its answer is the machine's to say.
  counted.delete("in-flight");
  t.same(
    counted,
    new Set([
      ...["executed", "replayed", "key-reused", "shadow"],
      ...["outcome-unknown", "upstream-unreachable", "passed"],
    ]),
  );
  await until(async () => (await prometheus.alerts()).length > 0);
  t.same(new Set(await prometheus.alerts()), new Set(["IdempotencyGatewayUnknownOutcomes"]));
  t.equal(
    upstream.count(),
    1 + 3 * rounds,
    "each key once, each shadowed request, each without a key, and the lost one",
  );
  const value = async (expr: string): Promise<number> => Number((await query(expr))[0]?.value[1]);
  const keyless = "sum(idempotency_gateway_keyless_";
  await until(async () => (await value(`${keyless}requests_total)`)) === rounds);
  // Each of the two workers has had a first one, if it had any.
  const duplicates = await value(`${keyless}duplicates_total)`);
  t.ok(duplicates === rounds - 1 || duplicates === rounds - 2, `${duplicates} of ${rounds}`);
  t.equal(await value('idempotency_gateway_webhook_outcomes_total{result="delivered"}'), 1);
  t.equal(await value("idempotency_gateway_ready"), 1, "one for all workers");
  t.equal(await value('idempotency_gateway_config_reloads_total{result="unchanged"}'), 1);
});

const overlap = (a: Grid, b: Grid): boolean =>
  a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

t.test(
  "the dashboard's panels stand beside each other and use the provisioned source",
  async (t) => {
    const { datasources } = parse(
      read("deploy/grafana/provisioning/datasources/prometheus.yaml"),
    ) as {
      readonly datasources: readonly { readonly uid: string }[];
    };
    for (const panel of dashboard.panels) {
      const { type, title, datasource, gridPos } = panel;
      if (type !== "row") t.equal(datasource?.uid, datasources[0]?.uid, title);
      t.ok(gridPos.x + gridPos.w <= 24, title);
      const under = dashboard.panels.filter(
        (other) => other !== panel && overlap(gridPos, other.gridPos),
      );
      t.same(under, [], `${title} lies over no other`);
    }
    const ids = dashboard.panels.map((panel) => panel.id);
    t.equal(new Set(ids).size, ids.length);
  },
);

t.test("the pictures in the pages are of this dashboard, and say how they were made", (t) => {
  const shown = new Map(
    ["dashboard", "dashboard-top"].map((name) => {
      const svg = read(`docs/images/${name}.svg`);
      t.match(svg, "not by Grafana", name);
      t.notMatch(svg, /<script|<image|href/, `${name} asks for nothing`);
      const titles = [...svg.matchAll(/class="b">(?:▾ )?([^<]*)</g)].map(([, title]) => title);
      return [name, titles];
    }),
  );
  const titles = dashboard.panels.map(({ title }) => title);
  const again = "draw them anew: npm run build && npx tsx test/deploy/picture.ts";
  t.same(shown.get("dashboard"), titles, again);
  t.same(shown.get("dashboard-top"), titles.slice(0, titles.indexOf("Adopting")), again);
  t.end();
});
