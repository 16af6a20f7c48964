/**
 * Programs of the benchmark: started on a port of loopback, taken as up when they accept a connection, and gone with
 * the run. Their output goes to a file, as it would in service. Knows nothing of what they do.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Teardown } from "../test/support/teardown.ts";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

export interface Running {
  readonly pid: number;
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** From the start to the first connection that it accepted. */
  readonly startMs: number;
  stop(): Promise<void>;
}

/** It has this long to end by itself. */
const PATIENCE_MS = 5000;
const START_MS = 20_000;

/** `command` must stay one process, with or without children: what it is is what is measured. */
export async function startProgram(
  t: Teardown,
  command: readonly string[],
  port: number,
  log: string,
): Promise<Running> {
  const [program = "", ...args] = command;
  const output = openSync(log, "a");
  const began = performance.now();
  const child = spawn(program, args, { cwd: ROOT, stdio: ["ignore", output, output] });
  closeSync(output);
  const exited = once(child, "exit");
  let over = false;
  const ended = exited.then(() => {
    over = true;
  });
  const stop = async (): Promise<void> => {
    if (over) return;
    child.kill("SIGTERM");
    const cut = new AbortController();
    await Promise.race([
      ended,
      pause(PATIENCE_MS, undefined, { signal: cut.signal }).catch(() => undefined),
    ]);
    cut.abort();
    if (!over) child.kill("SIGKILL");
    await ended;
  };
  t.teardown(stop);
  while (!(await accepts(port))) {
    if (over || performance.now() - began > START_MS) {
      throw new Error(`${command.join(" ")} did not start:\n${readFileSync(log, "utf8")}`);
    }
    await pause(1);
  }
  const startMs = performance.now() - began;
  return { pid: child.pid ?? 0, port, url: `http://127.0.0.1:${port}`, startMs, stop };
}

async function accepts(port: number): Promise<boolean> {
  const socket = net.connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
