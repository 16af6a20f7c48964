/**
 * What a process and all below it have used of the CPU, user and system, as the OS counts it: the figure that noise
 * moves least. Linux only, in steps of 10 ms.
 */
import { readdirSync, readFileSync } from "node:fs";

/** USER_HZ, which Linux shows to programs on every common platform, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100;

export function cpuMicroseconds(pid: number): number {
  const ticks = familyOf(pid).reduce(
    (sum, each) => sum + ticksIn(readFileSync(`/proc/${each}/stat`, "latin1")),
    0,
  );
  return (ticks / TICKS_PER_SECOND) * 1e6;
}

/** The process, its children, theirs, and so on. */
function familyOf(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "latin1")
      .split(" ")
      .filter(Boolean)
      .map(Number),
  );
  return [pid, ...children.flatMap(familyOf)];
}

/** utime and stime, the 14th and 15th field. The second is the name in parentheses, and may hold anything. */
export function ticksIn(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  if (Number.isNaN(ticks)) throw new Error(`not a line of /proc/PID/stat: ${stat}`);
  return ticks;
}
