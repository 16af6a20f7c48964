/**
 * The gateway in front of a real upstream, told as a story: `npm run demo`. Starts the charges API and the gateway as
 * processes of their own, on free loopback ports and an embedded store in a temporary directory, and ends them again.
 * Exits 0 only if every status and every count came out right. What is told stands in `story.ts`. Takes the path of the
 * gateway's main module, if it is not the one that `npm run build` makes.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Child, textOf } from "./child.ts";
import { tellStory } from "./story.ts";
import { Transcript } from "./transcript.ts";

/** Far longer than the story takes; only a process that hangs gets here. */
const DEADLINE_MS = 60_000;

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const gatewayMain = process.argv[2] ?? here("../../dist/main.js");

const children: Child[] = [];
const directory = await mkdtemp(join(tmpdir(), "idempotency-gateway-demo-"));

function start(name: string, args: readonly string[]): Child {
  const child = new Child(name, args);
  children.push(child);
  return child;
}

async function cleanUp(): Promise<void> {
  await Promise.all(children.map((child) => child.end("SIGKILL")));
  await rm(directory, { recursive: true, force: true });
}

function giveUp(why: string, code: number): void {
  process.stderr.write(`${why}\n`);
  void cleanUp().finally(() => process.exit(code));
}

process.on("SIGINT", () => giveUp("interrupted", 130));
process.on("SIGTERM", () => giveUp("terminated", 143));
setTimeout(() => giveUp(`not done after ${DEADLINE_MS / 1000} s`, 1), DEADLINE_MS).unref();

async function run(): Promise<boolean> {
  const upstream = start("the upstream", ["--import=tsx", here("charges.ts")]);
  const upstreamUrl = textOf(await upstream.line("listening"), "address");

  const startGateway = async () => {
    const gateway = start("the gateway", [
      gatewayMain,
      "--upstream",
      upstreamUrl,
      "--listen",
      "127.0.0.1:0",
      "--admin",
      "127.0.0.1:0",
      "--store",
      `file:${directory}`,
      "--require-key",
    ]);
    return { process: gateway, url: textOf(await gateway.line("listening"), "address") };
  };

  const transcript = new Transcript();
  await tellStory({ upstream, upstreamUrl, startGateway, transcript });
  return transcript.conclude();
}

let right = false;
try {
  right = await run();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
} finally {
  await cleanUp();
}
process.exit(right ? 0 : 1);
