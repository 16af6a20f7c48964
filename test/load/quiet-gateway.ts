/** The built gateway as a process without a line of log for each request, of which there would be too many to keep. */
import { setTimeout as pause } from "node:timers/promises";
import { call } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { configured, spawnGateway } from "../support/gateway-process.ts";
import type { Teardown } from "../support/teardown.ts";

export interface QuietGateway {
  readonly url: string;
  readonly port: number;
  readonly admin: string;
  readonly pid: number;
  /** Stops it gracefully; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** What it has written: warnings and worse. */
  readonly output: readonly string[];
}

/** Each call of what is returned starts one more, on the same ports and store; it resolves when that takes traffic. */
export async function quietGateway(
  t: Teardown,
  settings: Readonly<Record<string, unknown>>,
  nodeArgs: readonly string[] = [],
): Promise<() => Promise<QuietGateway>> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const config = configured(t, {
    ...settings,
    listen: { host: "127.0.0.1", port },
    admin: { port: adminPort },
    log: { level: "warn" },
  });
  const node = [process.execPath, ...nodeArgs];
  const admin = `http://127.0.0.1:${adminPort}`;
  return async () => {
    const { pid, ended, output, end } = spawnGateway(t, config, {}, undefined, undefined, node);
    const failed = ended.then((code): never => {
      throw new Error(`the gateway ended with ${code}:\n${output.join("\n")}`);
    });
    await Promise.race([isReady(`${admin}/readyz`), failed]);
    failed.catch(() => undefined);
    return {
      url: `http://127.0.0.1:${port}`,
      port,
      admin,
      pid,
      output,
      stop: () => end("SIGTERM"),
    };
  };
}

async function isReady(url: string): Promise<void> {
  for (;;) {
    const status = await call(url).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) return;
    await pause(20);
  }
}
