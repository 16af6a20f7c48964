/**
 * The unit, read by systemd itself: nothing in it is unknown or wrong, and the process is shut in. It is not started
 * here, since a test has no service manager; that the gateway takes the arguments is checked by giving them to it.
 */
import { execFile, execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { ROOT } from "../support/bundled.ts";
import { spawnGateway } from "../support/gateway-process.ts";

const UNIT = readFileSync(join(ROOT, "deploy/systemd/idempotency-gateway.service"), "utf8");
const NAME = "idempotency-gateway.service";
const run = promisify(execFile);

/** The values of a setting, in order. */
const settings = (name: string): string[] =>
  [...UNIT.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value = ""]) => value);

t.before(() => {
  execFileSync(join(ROOT, "test/support/ensure-packages.sh"), {
    stdio: ["ignore", "ignore", "inherit"],
  });
});

/** What systemd says of a unit; the test's Node stands for the one that the unit names. */
async function verified(dir: string, unit: string): Promise<string> {
  const file = join(dir, NAME);
  writeFileSync(file, unit.replaceAll("/usr/bin/node", process.execPath));
  return run("systemd-analyze", ["verify", "--man=no", file]).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: unknown) => (error as { readonly stderr: string }).stderr,
  );
}

t.test("systemd has nothing against the unit, and would say", async (t) => {
  const dir = t.testdir();
  t.equal(await verified(dir, UNIT), "");
  t.match(
    await verified(dir, UNIT.replace("ProtectSystem=strict", "ProtectSytem=strict")),
    "'ProtectSytem' in section",
  );
});

t.test("the process is shut in: systemd rates its exposure as ok or better", async (t) => {
  const dir = t.testdir({ [NAME]: UNIT });
  const { stdout } = await run("systemd-analyze", [
    ...["security", "--offline=true", "--no-pager", "--threshold=20"],
    join(dir, NAME),
  ]);
  const exposure = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1];
  t.ok(Number(exposure) <= 2, `exposure ${exposure}`);
});

t.test("the gateway takes the arguments and the environment of the unit", async (t) => {
  const [node, main, flag, file] = settings("ExecStart")[0]?.split(" ") ?? [];
  t.same(
    [node, main, flag],
    ["/usr/bin/node", "/opt/idempotency-gateway/dist/main.js", "--config"],
  );
  t.equal(file, "/etc/idempotency-gateway/gateway.yaml");
  const environment = settings("Environment").map((pair) => pair.split("="));
  const gateway = spawnGateway(
    t,
    ["--config", join(ROOT, "config/gateway.yaml"), "--print-config"],
    Object.fromEntries(environment) as Record<string, string>,
  );
  t.equal(await gateway.ended, 0);
  t.match(gateway.output.join("\n"), `file:/var/lib/${settings("StateDirectory")[0]}`);
});

t.test(
  "a stop waits longer than a call may take, and a wrong configuration is not retried",
  async (t) => {
    t.ok(Number(settings("TimeoutStopSec")[0]) > 30, "upstream.timeout");
    const gateway = spawnGateway(t, ["--workers", "none"]);
    t.equal(await gateway.ended, Number(settings("RestartPreventExitStatus")[0]));
  },
);
