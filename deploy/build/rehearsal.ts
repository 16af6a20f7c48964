/**
 * Runs the built gateway once, from its start over a first execution and its replay to its stop, so that what they need
 * is compiled and kept. Also the proof that what was built starts at all.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const KEEPER = fileURLToPath(new URL("./keeper.ts", import.meta.url));
const DEADLINE_MS = 60_000;

/**
 * `program`: the bundle, with what it looks for around it; `place`: where it will be.
 * @throws Error where it does not start, answer and stop as it should
 */
export async function rehearse(program: string, place: string): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "idempotency-gateway-build-"));
  let executions = 0;
  const upstream = createServer((_request, response) => {
    executions++;
    response.end("{}");
  }).listen(0, "127.0.0.1");
  try {
    await once(upstream, "listening");
    const { port } = upstream.address() as AddressInfo;
    const args = ["--upstream", `http://127.0.0.1:${port}`, "--store", `file:${dir}`];
    await play([program, place, ...args], dir);
    if (executions !== 1) throw new Error(`the upstream was called ${executions} times, not once`);
  } finally {
    upstream.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function play(words: readonly string[], cwd: string): Promise<void> {
  const ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
  const gateway = spawn(process.execPath, [...process.execArgv, KEEPER, ...words, ...ports], {
    // Nothing that is set for a gateway of the one who builds.
    env: { PATH: process.env["PATH"] },
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
    timeout: DEADLINE_MS,
  });
  const ended = once(gateway, "close") as Promise<[number | null]>;
  try {
    for await (const line of createInterface({ input: gateway.stdout })) {
      const { msg, address } = JSON.parse(line) as { msg?: string; address?: string };
      if (msg !== "listening" || address === undefined) continue;
      await ask(`${address}/first`);
      await ask(`${address}/first`);
      gateway.kill("SIGTERM");
    }
  } finally {
    // Where it failed; one that has ended is not there any more.
    gateway.kill("SIGKILL");
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`what was built ended with ${code}, not with 0`);
}

async function ask(url: string): Promise<void> {
  const headers = { "Idempotency-Key": "first", "Content-Type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: '{"amount":1}' });
  if (!answer.ok)
    throw new Error(`what was built answered ${answer.status}: ${await answer.text()}`);
  await answer.arrayBuffer();
}
