/**
 * Many clients that send at the same moment: connections that stand beforehand, and requests that leave in one turn of
 * the event loop. Knows nothing of what the answers mean.
 */
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { call, type Answer, type CallOptions } from "./client.ts";

interface Teardown {
  teardown(fn: () => unknown): unknown;
}

export interface Burst {
  readonly size: number;
  /** The n-th request goes down the n-th connection; all of them leave now. At most `size`. */
  fire(requests: readonly (CallOptions & { readonly path: string })[]): readonly Promise<Answer>[];
}

/** Opens `size` connections, dealt out to the gateways in turn, and waits until all of them stand. */
export async function openBurst(
  t: Teardown,
  gateways: readonly string[],
  size: number,
): Promise<Burst> {
  const clients = await Promise.all(
    Array.from({ length: size }, async (_, n) => {
      const url = gateways[n % gateways.length]!;
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      // The first socket is handed out when it stands already; a later one is opened as usual.
      const { hostname, port } = new URL(url);
      const first = net.connect(Number(port), hostname);
      await once(first, "connect");
      const open = agent.createConnection.bind(agent);
      let spare: net.Socket | undefined = first;
      agent.createConnection = (options, done) => {
        if (spare === undefined) return open(options, done);
        const socket = spare;
        spare = undefined;
        return socket;
      };
      t.teardown(() => {
        first.destroy();
        agent.destroy();
      });
      return { url, agent };
    }),
  );
  return {
    size,
    fire: (requests) =>
      requests.map(({ path, ...options }, n) => {
        const { url, agent } = clients[n]!;
        return call(`${url}${path}`, { ...options, agent });
      }),
  };
}

/** Resolves when `n` of them have settled. */
export function settled(n: number, promises: readonly Promise<unknown>[]): Promise<void> {
  return new Promise((resolve) => {
    let left = n;
    const one = (): void => {
      left -= 1;
      if (left === 0) resolve();
    };
    for (const promise of promises) promise.then(one, one);
  });
}
