/**
 * The built gateway as a process of its own, to be killed, stopped and started again. Runs `dist/main.js`, which is
 * what people get; refuses to run one that is older than its sources.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { BARE } from "./bare-node.ts";
import type { Teardown } from "./teardown.ts";

export type { Teardown };

export type Line = Readonly<Record<string, unknown>>;

export interface GatewayProcess {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly admin: string;
  readonly pid: number;
  /** Everything it has written to standard output and standard error, line by line. */
  readonly output: readonly string[];
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** Resolves with the first log line, past or future, that has this message. */
  line(message: string): Promise<Line>;
  /** Resolves with the log lines that satisfy, once `n` of them are there. */
  lines(n: number, satisfies: (line: Line) => boolean): Promise<readonly Line[]>;
  /** Sends the signal to this one process. */
  signal(signal: NodeJS.Signals): void;
  /** Sends it to the process and its workers at once, as a terminal does on Ctrl-C. */
  signalAll(signal: NodeJS.Signals): void;
  /** Sends the signal and resolves with the exit code (null when the signal ended it). */
  end(signal: "SIGTERM" | "SIGINT" | "SIGKILL"): Promise<number | null>;
  /** Resolves with the exit code when it ends by itself, and no worker of it is left. */
  readonly ended: Promise<number | null>;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = join(ROOT, "dist/main.js");

/** Starts it and waits until it listens. `args` come behind `--listen 127.0.0.1:0 --admin 127.0.0.1:0`. */
export async function startGatewayProcess(
  t: Teardown,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd?: string,
  main?: string,
  node?: string | readonly string[],
): Promise<GatewayProcess> {
  const listen = args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const admin = args.includes("--admin") ? [] : ["--admin", "127.0.0.1:0"];
  const gateway = spawnGateway(t, [...listen, ...admin, ...args], env, cwd, main, node);
  const failed = gateway.ended.then((code) => {
    throw new Error(`the gateway ended with ${code}:\n${gateway.output.join("\n")}`);
  });
  const line = await Promise.race([gateway.line("listening"), failed]);
  failed.catch(() => undefined);
  return { ...gateway, url: String(line["address"]), admin: String(line["admin"]) };
}

/** Writes a configuration file; the result goes before the other arguments. */
export function configured(t: Teardown, settings: Line): readonly string[] {
  const dir = mkdtempSync(join(tmpdir(), "idempotency-gateway-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const file = join(dir, "gateway.yaml");
  writeFileSync(file, stringify(settings));
  return ["--config", file];
}

/**
 * Starts it with exactly these arguments; it may as well end at once. `main`: another program than the built one;
 * `node`: another Node than the one that runs the tests, or a command line that ends with one.
 */
export function spawnGateway(
  t: Teardown,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = ROOT,
  main = MAIN,
  node: string | readonly string[] = process.execPath,
): Omit<GatewayProcess, "url" | "admin"> {
  if (main === MAIN) assertBuilt();
  const child = spawn("env", [BARE, node, main, args].flat(), {
    cwd,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own, for `signalAll` and so that nothing outlives the test.
    detached: true,
  });
  const { pid } = child;
  if (pid === undefined) throw new Error("the gateway could not be started");
  const output: string[] = [];
  const stdout: string[] = [];
  const stderr: string[] = [];
  const log: Line[] = [];
  const waiting = new Set<(line: Line) => void>();
  for (const [input, own] of [
    [child.stdout, stdout],
    [child.stderr, stderr],
  ] as const) {
    createInterface({ input }).on("line", (text) => {
      output.push(text);
      own.push(text);
      if (!text.startsWith("{")) return;
      const line = JSON.parse(text) as Line;
      log.push(line);
      for (const look of waiting) look(line);
    });
  }
  // `close` comes when the last holder of its output is gone, workers included; `exit` may come before.
  let over = false;
  const ended = once(child, "close").then(([code]) => {
    over = true;
    return code as number | null;
  });
  const signalAll = (signal: NodeJS.Signals): void => {
    // Not after the end: the number may be another group's by then.
    if (over) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  running.add(signalAll);
  t.teardown(async () => {
    signalAll("SIGKILL");
    await ended;
    running.delete(signalAll);
  });
  const lines: GatewayProcess["lines"] = (n, satisfies) =>
    new Promise((resolve) => {
      const found = log.filter(satisfies);
      const look = (line?: Line): void => {
        if (line !== undefined && satisfies(line)) found.push(line);
        if (found.length < n) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
    });
  return {
    pid,
    output,
    stdout,
    stderr,
    ended,
    lines,
    line: async (message) => (await lines(1, (line) => line["msg"] === message))[0] ?? {},
    signal: (signal) => void child.kill(signal),
    signalAll,
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

/** A test that crashes, or is ended because it takes too long, runs no teardown. */
const running = new Set<(signal: NodeJS.Signals) => void>();

function killRunning(): void {
  for (const signalAll of running) signalAll("SIGKILL");
}

process.once("exit", killRunning);
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGALRM"] as const) {
  process.once(signal, () => {
    killRunning();
    // Later, so that the test runner can still say what was going on.
    setImmediate(() => process.exit(1));
  });
}

let checked = false;

function assertBuilt(): void {
  if (checked) return;
  checked = true;
  const built = statSync(MAIN, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const src = join(ROOT, "src");
  const newest = Math.max(
    ...readdirSync(src, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|lua|html|css|svg)$/.test(name))
      .map((name) => statSync(join(src, name)).mtimeMs),
  );
  if (built < newest) throw new Error("dist/ is older than src/: run `npm run build` first");
}
