/** A process of Node's whose garbage is collected when it is asked for, over the debugger's protocol. */
import { once } from "node:events";
import { WebSocket } from "ws";
import { call } from "../support/client.ts";
import type { Teardown } from "../support/teardown.ts";

/**
 * The process listens for debuggers on this port of loopback. What is returned resolves when everything that nobody holds is
 * gone, and what the heap no longer needs is back with the system.
 */
export async function collectorOf(t: Teardown, port: number): Promise<() => Promise<void>> {
  const told = await call(`http://127.0.0.1:${port}/json/list`);
  const [target] = JSON.parse(told.body.toString()) as { readonly webSocketDebuggerUrl: string }[];
  if (target === undefined) throw new Error(`nothing can be debugged on port ${port}`);
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  t.teardown(() => socket.terminate());
  await once(socket, "open");
  let id = 0;
  return async () => {
    id += 1;
    const answered = once(socket, "message");
    socket.send(JSON.stringify({ id, method: "HeapProfiler.collectGarbage" }));
    const [answer] = (await answered) as [Buffer, boolean];
    const { id: of, error } = JSON.parse(String(answer)) as {
      readonly id: number;
      error?: unknown;
    };
    if (of !== id || error !== undefined) throw new Error(`no collection: ${String(answer)}`);
  };
}
