/**
 * The alert and recording rules and the scrape configuration, by promtool; each alert has cases in `rules.test.yaml`
 * in which it fires and in which it does not, and a section in docs/alerts.md. Whether the rules find the gateway's real
 * series is `dashboard.test.ts`.
 */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { parse } from "yaml";
import { createMetrics } from "../../src/observe/metrics.ts";
import { withReadiness } from "../../src/observe/readiness.ts";
import { createReloadMetrics } from "../../src/observe/reloads.ts";
import { createWebhookMetrics } from "../../src/observe/webhook.ts";
import { ROOT } from "../support/bundled.ts";

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Case {
  readonly alert_rule_test: readonly {
    readonly alertname: string;
    readonly exp_alerts: readonly unknown[];
  }[];
}

const RULES = "deploy/prometheus/rules.yaml";
const CASES = "test/deploy/rules.test.yaml";
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const run = promisify(execFile);
const promtool = (...args: string[]) => run("promtool", args, { cwd: ROOT });

const rules = (
  parse(read(RULES)) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
).groups.flatMap((group) => group.rules);
const alerts = rules.filter((rule) => rule.alert !== undefined);

t.before(() => {
  execFileSync(join(ROOT, "test/support/ensure-promtool.sh"), {
    stdio: ["ignore", "ignore", "inherit"],
  });
});

t.test("promtool accepts the rules and the scrape configuration", async (t) => {
  const checked = await promtool("check", "rules", "--lint=all", "--lint-fatal", RULES);
  t.match(checked.stdout, `SUCCESS: ${rules.length} rules found`);
  t.match(
    (await promtool("check", "config", "deploy/prometheus/prometheus.yaml")).stdout,
    "valid prometheus config file",
  );
});

t.test("every alert fires and stays quiet where its cases say so", async (t) => {
  const { stdout } = await promtool("test", "rules", CASES);
  t.match(stdout, "SUCCESS");
  const { tests } = parse(read(CASES)) as { readonly tests: readonly Case[] };
  const asked = tests.flatMap((each) => each.alert_rule_test);
  for (const { alert = "" } of alerts) {
    const own = asked.filter((each) => each.alertname === alert);
    t.ok(
      own.some((each) => each.exp_alerts.length > 0),
      `${alert} has a case in which it fires`,
    );
    t.ok(
      own.some((each) => each.exp_alerts.length === 0),
      `${alert} has a case in which it does not`,
    );
  }
});

t.test("the cases would notice a rule that never fires", async (t) => {
  const dir = t.testdir();
  writeFileSync(
    join(dir, "rules.yaml"),
    read(RULES).replace("ratio_rate5m > 0.1\n", "ratio_rate5m > 1\n"),
  );
  writeFileSync(
    join(dir, "rules.test.yaml"),
    read(CASES).replace(`../../${RULES}`, join(dir, "rules.yaml")),
  );
  const failed = await promtool("test", "rules", join(dir, "rules.test.yaml")).then(
    () => "promtool was content",
    (error: unknown) => (error as { readonly stderr: string }).stderr,
  );
  t.match(failed, /FAILED[^]*IdempotencyGatewayStoreFailing/);
});

t.test("every alert says how bad it is and where the guide to it stands", async (t) => {
  const guide = read("docs/alerts.md");
  const sections = [...guide.matchAll(/^## (\S+)$/gm)].map((match) => match[1]);
  t.same(
    sections,
    alerts.map((rule) => rule.alert),
    "one section per alert, in their order",
  );
  for (const { alert = "", labels, annotations } of alerts) {
    t.match(labels?.["severity"], /^(critical|warning)$/, alert);
    t.equal(annotations?.["runbook_url"], `docs/alerts.md#${alert.toLowerCase()}`);
    t.ok(annotations?.["summary"] && annotations["description"], alert);
    const text = guide.split(`\n## ${alert}\n`)[1]?.split("\n## ")[0] ?? "";
    for (const part of ["**It means**", "**Look at**", "**Do**"]) {
      t.match(text, part, `${alert}: ${part}`);
    }
  }
});

t.test("the page's command makes links of every runbook_url", async (t) => {
  const [, command = ""] =
    /^ *(sed -i \S+.*runbook_url.*) rules\.yaml$/m.exec(read("docs/deploying.md")) ?? [];
  const dir = t.testdir();
  writeFileSync(join(dir, "rules.yaml"), read(RULES));
  await run("sh", ["-c", `${command} rules.yaml`], { cwd: dir });
  const linked = readFileSync(join(dir, "rules.yaml"), "utf8");
  t.equal(
    linked.match(/runbook_url: https:\/\/\S+\/docs\/alerts\.md#\w+$/gm)?.length,
    alerts.length,
  );
  t.match((await promtool("check", "rules", join(dir, "rules.yaml"))).stdout, "SUCCESS");
});

t.test("the rules name no metric that the gateway does not have", async (t) => {
  const metrics = createMetrics({ version: "1", routes: [] });
  const reloads = await createReloadMetrics().behind(await metrics.exposition());
  const { body } = await withReadiness(await createWebhookMetrics().behind(reloads), true);
  const recorded = new Set(rules.map((rule) => rule.record));
  const named = new Set(
    rules.flatMap(
      (rule) => rule.expr.match(/[a-z_]*:?\b(?:idempotency_gateway|nodejs)_[a-z0-9_:]+/g) ?? [],
    ),
  );
  t.ok(named.size > 10);
  for (const name of named) {
    // Told of several workers only; `dashboard.test.ts` finds it in a real scrape.
    if (recorded.has(name) || name === "idempotency_gateway_workers") continue;
    t.match(body, `# TYPE ${name.replace(/_(bucket|sum|count)$/, "")} `, name);
  }
});
