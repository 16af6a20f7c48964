/**
 * Connections to the Redis servers that hold locks, beside the store's own. It runs what it is given on one key and
 * knows nothing of locks; the composition root hands it to whoever does.
 */
import { StoreUnavailable } from "../core/ports.ts";
import { within } from "./deadline.ts";
import { connectInOrder, hangUp } from "./redis-client.ts";
import { asStoreError, codeWord } from "./redis-errors.ts";
import { createOrder, ReplyMisplaced } from "./redis-order.ts";
import { parseRedisUrl } from "./redis-url.ts";

/** One Redis, reachable or not. */
export interface RedisNode {
  /**
   * Runs a script on one key, never twice, after the ones that were given before it. Settles within the node's
   * time-out; rejects with `StoreUnavailable`, whose message says nothing of what was sent.
   */
  runScript(lua: string, key: string, args: readonly (string | number)[]): Promise<unknown>;
  close(): void;
}

/**
 * Connects to each URL in the background; see `parseRedisUrl`. `timeoutMs` is for each call.
 * @throws Error when a URL cannot be used; the message names no secret.
 */
export function connectRedisNodes(urls: readonly string[], timeoutMs: number): RedisNode[] {
  return urls.map(parseRedisUrl).map((target) => {
    let trouble: string | undefined;
    const client = connectInOrder(target, timeoutMs, (error) => {
      trouble = codeWord(error);
    });
    const order = createOrder(client, timeoutMs);
    const connected = new Promise<void>((resolve) => void client.once("ready", resolve));
    return {
      async runScript(lua, key, args) {
        try {
          // Right after the start there is no trouble yet, only a connection that is not made yet.
          if (client.status !== "ready" && trouble === undefined) {
            await within(timeoutMs, connected);
          }
        } catch {
          // Told below, as every other call on a server that is not connected.
        }
        // A Cluster client without slots would keep the call and run it long after its caller has gone.
        if (client.status !== "ready") {
          throw new StoreUnavailable(`Redis is not connected (${trouble ?? "connecting"}).`, {
            undone: true,
          });
        }
        const name = order.nextCall();
        let reply: unknown;
        try {
          reply = await within(timeoutMs, client.eval(named(lua), 1, key, ...args, name));
        } catch (error) {
          // The client has the same time-out as the call.
          if (error instanceof StoreUnavailable || codeWord(error) === "TIMEOUT") order.doubt();
          throw asStoreError(error);
        }
        if (Array.isArray(reply) && reply[1] === name) return reply[0] as unknown;
        order.broken();
        throw new ReplyMisplaced();
      },
      close: () => hangUp(client),
    };
  });
}

/** The script with its answer and, behind it, the last argument, which names the call; see redis-order.ts. */
function named(lua: string): string {
  return `local function answer()\n${lua}\nend\nreturn { answer(), ARGV[#ARGV] }`;
}
