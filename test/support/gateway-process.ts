/**
 * The built gateway as a process of its own, to be killed, stopped and started again. Runs `dist/main.js`, which is
 * what people get; refuses to run one that is older than its sources.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface Teardown {
  teardown(fn: () => unknown): unknown;
}

export interface GatewayProcess {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly admin: string;
  readonly pid: number;
  /** Everything it has written to standard output and standard error, line by line. */
  readonly output: readonly string[];
  /** Resolves with the first log line, past or future, that has this message. */
  line(message: string): Promise<Readonly<Record<string, unknown>>>;
  /** Sends the signal and resolves with the exit code (null when the signal ended it). */
  end(signal: "SIGTERM" | "SIGINT" | "SIGKILL"): Promise<number | null>;
  /** Resolves with the exit code when it ends by itself. */
  readonly ended: Promise<number | null>;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MAIN = join(ROOT, "dist/main.js");

/** Starts it and waits until it listens. `args` come behind `--listen 127.0.0.1:0 --admin 127.0.0.1:0`. */
export async function startGatewayProcess(
  t: Teardown,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<GatewayProcess> {
  const listen = args.includes("--listen") ? [] : ["--listen", "127.0.0.1:0"];
  const admin = args.includes("--admin") ? [] : ["--admin", "127.0.0.1:0"];
  const gateway = spawnGateway(t, [...listen, ...admin, ...args], env);
  const failed = gateway.ended.then((code) => {
    throw new Error(`the gateway ended with ${code}:\n${gateway.output.join("\n")}`);
  });
  const line = await Promise.race([gateway.line("listening"), failed]);
  failed.catch(() => undefined);
  return { ...gateway, url: String(line["address"]), admin: String(line["admin"]) };
}

/** Starts it with exactly these arguments; it may as well end at once. */
export function spawnGateway(
  t: Teardown,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Omit<GatewayProcess, "url" | "admin"> {
  assertBuilt();
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      output.push(line);
      for (const wake of waiting) wake();
    });
  }
  // `close` comes after the last line was read, `exit` may come before.
  const ended = once(child, "close").then(([code]) => code as number | null);
  t.teardown(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return {
    pid: child.pid ?? 0,
    output,
    ended,
    line: (message) =>
      new Promise((resolve) => {
        const check = (): void => {
          const found = output.map(parsed).find((line) => line?.["msg"] === message);
          if (found === undefined) return;
          waiting.delete(check);
          resolve(found);
        };
        waiting.add(check);
        check();
      }),
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  if (!line.startsWith("{")) return undefined;
  return JSON.parse(line) as Record<string, unknown>;
}

function assertBuilt(): void {
  const built = statSync(MAIN, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const src = join(ROOT, "src");
  const newest = Math.max(
    ...readdirSync(src, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|lua)$/.test(name))
      .map((name) => statSync(join(src, name)).mtimeMs),
  );
  if (built < newest) throw new Error("dist/ is older than src/: run `npm run build` first");
}
