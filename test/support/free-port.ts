/** Ports for what has to know its port beforehand, or what nobody is to take when it is gone. */
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

/**
 * Below 32768, where the kernel hands out none: what closes such a port and expects it to refuse, or comes back to it, meets
 * nobody who was given it meanwhile. 10000 higher is free, too: a Redis Cluster's node takes that for its bus.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 10_000);
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen(port, "127.0.0.1");
    await once(probe, "listening");
    return (probe.address() as AddressInfo).port === port;
  } catch {
    return false;
  } finally {
    await new Promise((closed) => probe.close(closed));
  }
}
