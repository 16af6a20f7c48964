/** What the main process and the workers share: who we are, when to stop, and what is said at start. */
import type { GatewayConfig } from "./config/schema.ts";
import { withoutSecrets } from "./config/print.ts";
import { packageVersion } from "./config/version.ts";
import type { Store } from "./core/ports.ts";
import type { Address } from "./gateway.ts";
import type { Log } from "./observe/log.ts";
import type { Exposition } from "./observe/snapshots.ts";

/** Of the package. */
export const version = packageVersion();

/**
 * Resolves when the text is out: a pipe takes 64 KiB, and the rest when its reader has taken that. A reader that goes away
 * early, as `head` does, has had what it wanted. Not for a running gateway, whose log must never wait.
 * @throws where it cannot be written
 */
export function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (error?: NodeJS.ErrnoException | null): void => {
      if (error && error.code !== "EPIPE") reject(error);
      else resolve();
    };
    process.stdout.once("error", over);
    process.stdout.write(text, (error) => {
      // The event comes behind the callback, and one that nobody hears would end the process.
      if (!error) process.stdout.off("error", over);
      over(error);
    });
  });
}

/** Resolves with the first signal that asks for a graceful stop; a second one ends the process at once. */
export function stopSignal(log: Log): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) {
        log.event("warn", "second signal: ending without waiting", { signal });
        process.exit(1);
      }
      asked = true;
      resolve(signal);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}

/** The line that says where to find the gateway; with port 0 the only place that does. */
export function announce(
  log: Log,
  config: GatewayConfig,
  file: string,
  serving: Address,
  operating: Address,
): void {
  const { upstream, store, workers } = withoutSecrets(config);
  log.event("info", "listening", {
    address: urlOf(serving),
    admin: urlOf(operating),
    upstream: upstream.url,
    store: store.url,
    workers,
    config: file,
    version,
    pid: process.pid,
  });
}

function urlOf({ host, port }: Address): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** What requests have counted, and behind it what the process of the operators' port counts itself. */
export async function behind(
  exposition: Exposition,
  reloads: Appending,
  notifier: Appending | undefined,
): Promise<Exposition> {
  const more = await reloads.behind(exposition);
  return notifier === undefined ? more : notifier.behind(more);
}

interface Appending {
  behind(exposition: Exposition): Promise<Exposition>;
}

/**
 * The last step of a stop. Where another process stands still in the middle of a write to the store, a thread of this
 * one waits for it, and Node's exit would wait for the thread for ever.
 */
export async function closeStore(store: Pick<Store, "close">, log: Log): Promise<void> {
  try {
    await store.close();
  } catch (error) {
    log.failure("the store cannot be closed: ending without it", error);
    process.kill(process.pid, "SIGKILL");
  }
}

/** One line for people. A system error is told by its code and place; ours were written to be read. */
export function startFailure(error: unknown): string {
  if (!(error instanceof Error)) return "failed for an unknown reason";
  const { code, address, port } = error as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  if (code === "EADDRINUSE") {
    return `cannot listen on ${address}:${port}: the port is in use. Stop what uses it, or choose another with --listen or --admin.`;
  }
  if (code === "EACCES" && port !== undefined) {
    return `cannot listen on ${address}:${port}: not permitted. Choose a port above 1023 with --listen or --admin.`;
  }
  return error.message;
}
