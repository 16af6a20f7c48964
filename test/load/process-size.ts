/** What a process of this machine takes: memory and open files, as Linux tells. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface ProcessSize {
  readonly rssMiB: number;
  readonly sockets: number;
  /** Everything that is open, sockets included. */
  readonly handles: number;
}

export function sizeOf(pid: number): ProcessSize {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const [, kiB] = /^VmRSS:\s+(\d+) kB$/mu.exec(status) ?? [];
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
  return {
    rssMiB: Number(kiB) / 1024,
    sockets: targets.filter((target) => target.startsWith("socket:")).length,
    handles: targets.length,
  };
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
