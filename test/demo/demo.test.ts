/** The demo of the README, run as a newcomer runs it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import t from "tap";

const demo = fileURLToPath(new URL("../../deploy/demo/demo.ts", import.meta.url));

async function runDemo(tmp: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, ["--import=tsx", demo], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: tmp, ...env },
  });
  t.teardown(() => child.kill("SIGKILL"));
  const closed = once(child, "close");
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await closed) as [number | null];
  return { code, out, err };
}

t.test("the demo exits 0, its counts are right, and it leaves nothing behind", async (t) => {
  const tmp = t.testdir();
  const { code, out, err } = await runDemo(tmp);
  t.equal(err, "");
  t.equal(code, 0, out);

  const counts = [...out.matchAll(/upstream executions: (\d+) (✓|✗)/g)];
  t.same(
    counts.map(([, count, mark]) => `${count} ${mark}`),
    ["1 ✓", "1 ✓", "1 ✓", "1 ✓", "1 ✓", "2 ✓", "3 ✓", "3 ✓", "4 ✓"],
  );
  t.match(out, /\d+ checks right, 0 wrong\n$/);
  t.notMatch(out, "\u001b", "no colour without a terminal");
  t.same(readdirSync(tmp), [], "the store is deleted");
});
