/** A child process that ends with its test, whether or not it has ended before. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Teardown } from "./teardown.ts";

/** Kills it at the end of the test and waits until it is gone. To be called right after the start; resolves with its exit. */
export function endWith(t: Teardown, child: ChildProcess): Promise<unknown[]> {
  const over = once(child, "exit");
  t.teardown(async () => {
    child.kill("SIGKILL");
    await over;
  });
  return over;
}
