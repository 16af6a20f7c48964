/**
 * docs/deploying.md, the way by hand, and docs/adopting.md: their commands are taken out of the pages and run as they stand,
 * in a network of their own, where the usual ports are free; only the directory is another one, and Prometheus scrapes each
 * second. Also, that the links of these and other pages for operators, and those of the index, lead somewhere.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import t, { type Test } from "tap";
import { ROOT } from "../support/bundled.ts";
import { endWith } from "../support/child.ts";
import { tempDir } from "../support/gateway.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const PAGE = read("docs/deploying.md");
const SECTION = PAGE.split("\n## By hand on a bare machine\n")[1]?.split("\n## ")[0] ?? "";

t.before(() => {
  for (const script of ["ensure-redis.sh", "ensure-promtool.sh", "ensure-packages.sh"]) {
    execFileSync(join(ROOT, "test/support", script), { stdio: ["ignore", "ignore", "inherit"] });
  }
});

/** Runs it with process ids of their own: what the shell has started in the background ends with it. */
async function shell(q: Test, script: string): Promise<string> {
  const child = spawn(
    "unshare",
    ["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", script],
    { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] },
  );
  const over = endWith(q, child);
  const said = await text(child.stdout);
  await over;
  return said;
}

/** The commands of the section, without what they print, in order. */
function blocks(): readonly string[] {
  return [...SECTION.matchAll(/^```(sh|console)\n([^]*?)^```$/gm)].map(([, kind, body = ""]) =>
    kind === "sh" ? body : commandsOf(body),
  );
}

/** Lines that begin with `$ `, and those that go on after a backslash. */
function commandsOf(session: string): string {
  const commands: string[] = [];
  let goesOn = false;
  for (const line of session.split("\n")) {
    if (goesOn || line.startsWith("$ ")) {
      commands.push(line.replace(/^\$ /, ""));
      goesOn = line.endsWith("\\");
    }
  }
  return commands.join("\n");
}

t.test("the commands do what the page says, from the start to the retry that runs", async (t) => {
  const [install = "", start = "", first = "", lose = "", look = "", settle = ""] = blocks();
  t.match(install, "npm ci");
  const dir = tempDir(t);
  // In between somebody at a keyboard waits: for the store, for a scrape, for the charge to begin.
  const wait = (condition: string): string => `until ${condition} > /dev/null 2>&1; do :; done`;
  const charges = wait("curl -sf http://127.0.0.1:3000/v1/charges");
  const script = [
    "ip link set lo up",
    start.replace("s/gateway:9091", "s/: 10s/: 1s/; s/gateway:9091"),
    wait("curl -sf http://127.0.0.1:9091/readyz"),
    charges,
    wait("promtool query instant http://127.0.0.1:9090 idempotency_gateway_ready | grep '=> 1'"),
    first,
    lose.replace("sleep 1.5", wait("grep ch_2 /tmp/gateway-demo/charges.log")),
    wait("curl -s http://127.0.0.1:9090/api/v1/alerts | grep firing"),
    look,
    settle.replace("charges.ts 3000 &", `charges.ts 3000 &\n${charges}`),
  ].join("\n");
  const said = await shell(t, script.replaceAll("/tmp/gateway-demo", dir));
  const statuses = [...said.matchAll(/^Idempotency-Status: (\S+)/gm)].map(([, word]) => word);
  t.same(statuses, ["executed", "replayed", "executed"]);
  t.match(said, '{"status":"ready"}');
  t.match(said, '"code":"outcome-unknown"', "the lost one");
  t.match(said, '"alertname":"IdempotencyGatewayUnknownOutcomes"');
  t.match(said, /"records":\[\{"id":"[0-9a-f]{64}","state":"unknown"/);
  t.match(said, '"outcome":"not-executed"}');
  t.match(
    said,
    '{"executions":1,"data":[{"id":"ch_1","amount":9900',
    "by the upstream that came back",
  );
});

/** What differs each time: digests, and how long something took. */
const settled = (printed: string): string =>
  printed.replace(/[0-9a-f]{64}/g, "DIGEST").replace(/(?<=Ms":)[0-9.]+/g, "MS");

t.test("from shadow to enforce: every command prints what the page says", async (t) => {
  const page = read("docs/adopting.md");
  const dir = tempDir(t);
  const [start = ""] = /(?<=^```sh\n)[^]*?(?=^```$)/m.exec(page) ?? [];
  const sessions = [...page.matchAll(/^```console\n([^]*?)^```$/gm)].map(([, body = ""]) => body);
  const commands = sessions.flatMap((body) => commandsOf(body).split("\n"));
  let charges = 0;
  const script = [
    "ip link set lo up",
    start,
    "until curl -sf http://127.0.0.1:9091/readyz > /dev/null; do :; done",
    "until curl -sf http://127.0.0.1:3000/v1/charges > /dev/null; do :; done",
    ...commands.flatMap((command) => {
      const told = [`cat <<'END'\n$ ${command}\nEND`, command];
      if (!command.startsWith("charge")) return told;
      // A shadow reports behind its reply; somebody at a keyboard is slower than that.
      charges += 1;
      const seen = `"$(grep -c '"exchange"' ${dir}/gateway.log)" -ge ${charges}`;
      return [...told, `until [ ${seen} ]; do :; done`];
    }),
  ].join("\n");
  const said = (await shell(t, script.replaceAll("/tmp/gateway-adopt", dir))).replaceAll("\r", "");
  t.equal(settled(said.replaceAll(dir, "/tmp/gateway-adopt")), settled(sessions.join("")));
  t.match(said, '"executions":8', "upstream calls");
});

t.test("every link of the pages leads to a file and a heading", async (t) => {
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, "")
      .replaceAll(" ", "-");
  let links = 0;
  const pages = readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`);
  for (const page of pages) {
    for (const [, path = "", anchor] of read(page).matchAll(/\]\(([^)#:]*)(?:#([^)]+))?\)/g)) {
      links += 1;
      const target = path === "" ? page : join(dirname(page), path);
      t.ok(existsSync(join(ROOT, target)), target);
      if (anchor === undefined) continue;
      const headings = [...read(target).matchAll(/^#+ (.+)$/gm)].map(([, each = ""]) => slug(each));
      t.ok(headings.includes(anchor), `${target}#${anchor}`);
    }
  }
  t.ok(links > 100);
});
