/**
 * Settle notifications over Redis: every settling script publishes on the record's channel, and this side subscribes
 * to a channel for as long as somebody waits for that record. A hint only; a waiter polls anyway.
 */
import type { Cluster, Redis } from "ioredis";
import type { SettleSignal } from "../core/ports.ts";
import { within } from "./deadline.ts";
import { codeWord } from "./redis-errors.ts";
import { SettleHub } from "./signal.ts";

/** How soon a waiter asks again when a notification was lost, or a lease ran out, which notifies nobody. */
const POLL_MS = 1000;

export function settleSignal(
  subscriber: Redis | Cluster,
  keyOf: (id: string) => string,
  timeoutMs: number,
): SettleSignal & { close(): void } {
  const hub = new SettleHub(POLL_MS);
  const subscribed = new Map<string, Promise<unknown>>();
  const channelOf = (id: string): string => `${keyOf(id)}:settled`;
  // A new connection has none of the subscriptions of the one before.
  subscriber.on("ready", () => {
    for (const id of subscribed.keys()) void subscribe(id);
    hub.wakeAll();
  });
  subscriber.on("message", (channel: string) => {
    const id = /\{([0-9a-f]{64})\}:settled$/u.exec(channel)?.[1];
    if (id !== undefined) hub.wake(id);
  });

  function subscribe(id: string): Promise<unknown> {
    const armed = subscriber.subscribe(channelOf(id));
    subscribed.set(id, armed);
    armed.catch((error: unknown) => {
      // Its answer may be lost, and then what follows would be taken for it: a new connection subscribes anew.
      if (codeWord(error) === "TIMEOUT" && "stream" in subscriber) subscriber.stream?.destroy();
    });
    return armed;
  }

  function leave(id: string): void {
    subscribed.delete(id);
    subscriber.unsubscribe(channelOf(id)).catch(pollInstead);
  }

  return {
    async watch(id) {
      const watch = hub.arm(id, () => leave(id));
      await within(timeoutMs, subscribed.get(id) ?? subscribe(id)).catch(pollInstead);
      return watch;
    },
    close: () => hub.wakeAll(),
  };
}

/** Without a subscription waiting is slower and no less true; what ails Redis shows in the next claim. */
const pollInstead = (): undefined => undefined;
