/** Closed-loop load by wrk: as many requests as the contender answers over so many connections. Judges nothing. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export type Mode = "unique" | "cycle" | "one" | "get" | "mixed";

export interface LoadPlan {
  readonly url: string;
  readonly mode: Mode;
  /** Begins every key; with `one` it is the key. */
  readonly prefix: string;
  readonly path: string;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly seconds: number;
  /** With `cycle`: how many keys there are, and with which to begin. */
  readonly count?: number;
  readonly first?: number;
}

/** As `done` in load.lua writes it; latencies in microseconds. */
export interface Load {
  readonly requests: number;
  readonly microseconds: number;
  /** Statuses above 399. */
  readonly notSuccessful: number;
  /** Connections refused or broken, and time-outs. */
  readonly broken: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

const SCRIPT = fileURLToPath(new URL("load.lua", import.meta.url));
const run = promisify(execFile);

export async function applyLoad(plan: LoadPlan): Promise<Load> {
  const { url, mode, prefix, path, bodyBytes, connections, seconds, count = 1, first = 0 } = plan;
  const { stdout } = await run("wrk", [
    ...["-t", "1", "-c", String(connections), "-d", `${seconds}s`, "--timeout", "10s"],
    ...[
      "-s",
      SCRIPT,
      url,
      "--",
      mode,
      prefix,
      String(bodyBytes),
      String(count),
      String(first),
      path,
    ],
  ]);
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (!line.startsWith("{")) throw new Error(`wrk said:\n${stdout}`);
  return JSON.parse(line) as Load;
}

/** The body that load.lua sends, byte for byte. */
export function bodyOf(bytes: number): string {
  const [open, close] = ['{"amount":4200,"currency":"eur","note":"', '"}'];
  return open + "x".repeat(bytes - open.length - close.length) + close;
}
