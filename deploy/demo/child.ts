/**
 * A child process that logs JSON lines, and waiting for one of them. Readiness and progress are lines that the process
 * itself writes; nothing here waits for a time to pass. Does not restart anything.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { env, execPath } from "node:process";
import { createInterface } from "node:readline";

export type Line = Readonly<Record<string, unknown>>;

export class Child {
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<string>;
  /** What it wrote last, shown when it ends before its time. */
  readonly #tail: string[] = [];
  readonly #waiting = new Set<(line: Line) => void>();

  /** Starts `node ARGS…`, without what the caller's environment says about a gateway of its own. */
  constructor(name: string, args: readonly string[]) {
    this.#name = name;
    const kept = Object.entries(env).filter(([each]) => !each.startsWith("IDEMPOTENCY_GATEWAY_"));
    this.#process = spawn(execPath, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: Object.fromEntries(kept),
    });
    this.#exited = new Promise((resolve) => {
      this.#process.once("error", (error) => resolve(error.message));
      this.#process.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream !== null)
        createInterface({ input: stream }).on("line", (text) => this.#hear(text));
    }
  }

  /** The next line with this message. Rejects when the process ends first. */
  async line(message: string): Promise<Line> {
    let hear: ((line: Line) => void) | undefined;
    const heard = new Promise<Line>((resolve) => {
      hear = (line) => {
        // Loggers differ in what they call it.
        if (line["message"] === message || line["msg"] === message) resolve(line);
      };
      this.#waiting.add(hear);
    });
    const gone = this.#exited.then((how): never => {
      const told = this.#tail.map((text) => `\n    ${text}`).join("");
      throw new Error(`${this.#name} ended (${how}) before it said "${message}"${told}`);
    });
    try {
      return await Promise.race([heard, gone]);
    } finally {
      if (hear !== undefined) this.#waiting.delete(hear);
    }
  }

  /** Sends the signal unless the process is over; resolves with how it ended: a signal's name or `exit code N`. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<string> {
    this.#process.kill(signal);
    return this.#exited;
  }

  #hear(text: string): void {
    this.#tail.push(text);
    if (this.#tail.length > 20) this.#tail.shift();
    const line = parse(text);
    if (line !== undefined) for (const hear of this.#waiting) hear(line);
  }
}

/** Members of a line must be strings to be used. */
export function textOf(line: Line, member: string): string {
  const value = line[member];
  if (typeof value !== "string") throw new Error(`the log line has no "${member}"`);
  return value;
}

function parse(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // A warning of the runtime, not a log line; it stays in the tail.
  }
}
