/** The demo of the README, run as a newcomer runs it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";

const demo = fileURLToPath(new URL("../../deploy/demo/demo.ts", import.meta.url));

/** A gateway without idempotency: the demo has to notice. */
const PASS_ON = `
import http from "node:http";
const upstream = process.argv[process.argv.indexOf("--upstream") + 1];
const server = http.createServer((request, response) => {
  const { method, headers, url } = request;
  const onward = http.request(upstream + url, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.pipe(onward);
});
server.listen(0, "127.0.0.1", () => {
  const address = "http://127.0.0.1:" + server.address().port;
  console.log(JSON.stringify({ message: "listening", address }));
});
process.once("SIGTERM", () => process.exit(0));
`;

async function runDemo(t: Test, tmp: string, ...args: readonly string[]) {
  const child = spawn(process.execPath, ["--import=tsx", demo, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: tmp },
  });
  t.teardown(() => child.kill("SIGKILL"));
  const closed = once(child, "close");
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await closed) as [number | null];
  return { code, out, err };
}

/** What the demo has left in the temporary directory; tsx keeps a cache of its own there. */
function storesIn(tmp: string): string[] {
  return readdirSync(tmp).filter((name) => name.startsWith("idempotency-gateway-demo-"));
}

t.test("the demo exits 0, its counts are right, and it leaves nothing behind", async (t) => {
  const tmp = t.testdir();
  const { code, out, err } = await runDemo(t, tmp);
  t.equal(err, "");
  t.equal(code, 0, "exit code");
  if (code !== 0) t.comment(out);

  const counts = [...out.matchAll(/upstream executions: (\d+) (✓|✗)/g)];
  t.same(
    counts.map(([, count, mark]) => `${count} ${mark}`),
    ["1 ✓", "1 ✓", "1 ✓", "1 ✓", "1 ✓", "2 ✓", "3 ✓", "3 ✓", "4 ✓"],
  );
  t.match(out, /\d+ checks right, 0 wrong\n$/);
  t.notMatch(out, "\u001b", "no colour without a terminal");
  t.same(storesIn(tmp), [], "the store is deleted");
});

t.test("the demo exits 1 in front of a gateway that only passes on", async (t) => {
  const tmp = t.testdir({ "pass-on.mjs": PASS_ON });
  const main = join(tmp, "pass-on.mjs");
  const { code, out } = await runDemo(t, tmp, main);
  t.equal(code, 1);
  t.match(out, "upstream executions: 3 ✗ expected 1");
  t.match(out, /\d+ checks right, [1-9]\d* wrong\n$/);
});

t.test("the demo exits 1 and says why when the gateway does not start", async (t) => {
  const tmp = t.testdir();
  const { code, err } = await runDemo(t, tmp, join(tmp, "missing.mjs"));
  t.equal(code, 1);
  t.match(err, /the gateway ended \(exit code 1\) before it said "listening"[^]*missing\.mjs/);
  t.same(storesIn(tmp), [], "the store is deleted");
});
