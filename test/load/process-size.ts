/** What a process of this machine takes: memory and open files, as Linux tells. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface ProcessSize {
  readonly rssMiB: number;
  /** The part of it that is nobody's file: heaps, buffers, stacks. The rest is code and LMDB's mapped file. */
  readonly anonymousMiB: number;
  readonly sockets: number;
  /** Everything that is open, sockets included. */
  readonly handles: number;
}

export function sizeOf(pid: number): ProcessSize {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  return {
    rssMiB: mebibytes(status, "VmRSS"),
    anonymousMiB: mebibytes(status, "RssAnon"),
    sockets: targets.filter((target) => target.startsWith("socket:")).length,
    handles: targets.length,
  };
}

function mebibytes(status: string, field: string): number {
  const [, kiB] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "mu").exec(status) ?? [];
  if (kiB === undefined) throw new Error(`/proc tells no ${field}`);
  return Number(kiB) / 1024;
}

/** One that was closed meanwhile is none. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
