/** The README against the code: what it lists is what there is, and every file it names exists. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { loadConfig } from "../../src/config/load.ts";
import { PROBLEM_CODES } from "../../src/core/outcome.ts";
import type { Profile } from "../../src/core/policy.ts";
import { statusOf } from "../../src/core/profile.ts";
import { createMetrics } from "../../src/observe/metrics.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const README = readFileSync(join(ROOT, "README.md"), "utf8");

/** The cells of every table row whose first cells match. */
function rows(pattern: RegExp): string[][] {
  return README.split("\n")
    .filter((line) => pattern.test(line))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

t.test(
  "the table of refusals has every code once, with the statuses of each profile",
  async (t) => {
    const codes = rows(/^\| .* \| `[a-z-]+` +\| [0-9]{3}/);
    t.same(
      codes.map((cells) => cells[1]?.replaceAll("`", "")).toSorted(),
      PROBLEM_CODES.filter((code) => code !== "internal-error").toSorted(),
    );
    const profiles: readonly Profile[] = ["default", "ietf", "stripe"];
    for (const cells of codes) {
      const code = PROBLEM_CODES.find((known) => `\`${known}\`` === cells[1]);
      if (code === undefined) throw new Error(`no such code: ${cells[1]}`);
      for (const [i, profile] of profiles.entries()) {
        const told = Number.parseInt(cells[2 + i] ?? "", 10);
        t.equal(told, statusOf(code, { profile, status: {} }), `${code} in ${profile}`);
      }
    }
  },
);

t.test("the dependency table names exactly the dependencies", async (t) => {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly dependencies: Record<string, string>;
    readonly engines: { readonly node: string };
  };
  const section = README.slice(README.indexOf("## Dependencies"), README.indexOf("## Working"));
  const named = [...section.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]);
  t.same(named.toSorted(), Object.keys(manifest.dependencies).toSorted());
  t.match(README, `Node.js ${manifest.engines.node.replace(">=", "")} or later`);
});

t.test("every file that is linked or run exists", async (t) => {
  const links = [...README.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? "");
  const run = [...README.matchAll(/npx tsx (\S+)/g)].map((match) => match[1] ?? "");
  t.ok(links.length > 4 && run.length > 0);
  for (const path of [...links, ...run]) t.ok(existsSync(join(ROOT, path)), path);
});

t.test("every anchor is a heading", async (t) => {
  for (const file of ["README.md", "src/ARCHITECTURE.md"]) {
    const text = readFileSync(join(ROOT, file), "utf8");
    for (const [, path = "", anchor = ""] of text.matchAll(/\]\(([^)#:]*)#([^)]+)\)/g)) {
      const target = path === "" ? text : readFileSync(join(ROOT, dirname(file), path), "utf8");
      const headings = [...target.matchAll(/^#+ (.+)$/gm)].map((match) => slug(match[1] ?? ""));
      t.ok(headings.includes(anchor), `${file}: #${anchor}`);
    }
  }
});

function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, "")
    .replaceAll(" ", "-");
}

t.test("every metric that is named is one", async (t) => {
  const { body } = await createMetrics({ version: "1", routes: [] }).exposition();
  const named = new Set(README.match(/idempotency_gateway_[a-z_]+/g));
  t.ok(named.size > 0);
  for (const name of named) t.match(body, `# TYPE ${name} `, name);
});

t.test("the configuration example is valid", async (t) => {
  const yaml = /```yaml\n([\s\S]*?)```/.exec(README)?.[1];
  if (yaml === undefined) throw new Error("no YAML example");
  const file = join(t.testdir({ "gateway.yaml": yaml }), "gateway.yaml");
  t.match(loadConfig(["--config", file], {}), { kind: "run" });
});

t.test("the flags are those that --help prints", async (t) => {
  const loaded = loadConfig(["--help"], {});
  if (loaded.kind !== "help") throw new Error("no help");
  const flags = [...loaded.text.matchAll(/^ {2}(--[a-z-]+)/gm)].map((match) => match[1] ?? "");
  const section = README.slice(README.indexOf("## Configuration"), README.indexOf("## Operating"));
  for (const flag of flags) t.ok(section.includes(`  ${flag} `), flag);
});
