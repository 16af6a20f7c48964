/** Runs one of bench/programs to its end and hands over the JSON that it prints, line by line. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ROOT } from "./processes.ts";

/** The last line. `heard` is told of each as it comes. @throws where the program fails or says nothing */
export async function runProgram(
  name: "open-loop" | "claim-latency" | "echo-load",
  args: readonly (string | number)[],
  heard?: (line: unknown) => void,
): Promise<unknown> {
  const path = fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url));
  const child = spawn(process.execPath, ["--import=tsx", path, ...args.map(String)], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  let last: unknown;
  for await (const text of createInterface({ input: child.stdout })) {
    last = JSON.parse(text);
    heard?.(last);
  }
  const [code] = (await ended) as [number | null];
  if (code !== 0 || last === undefined) throw new Error(`${name} ended with ${code}`);
  return last;
}
