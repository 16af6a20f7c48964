/**
 * Settle notifications over Redis: every settling script publishes on the record's channel, and this side subscribes
 * to a channel for as long as somebody waits for that record. A hint only; a waiter polls anyway.
 */
import type { Cluster, Redis } from "ioredis";
import type { SettleSignal } from "../core/ports.ts";
import { within } from "./deadline.ts";
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
  subscriber.on("message", (channel: string) => {
    const id = /\{([0-9a-f]{64})\}:settled$/u.exec(channel)?.[1];
    if (id !== undefined) hub.wake(id);
  });

  function leave(id: string): void {
    subscribed.delete(id);
    subscriber.unsubscribe(channelOf(id)).catch(pollInstead);
  }

  return {
    async watch(id) {
      const watch = hub.arm(id, () => leave(id));
      const armed = subscribed.get(id) ?? subscriber.subscribe(channelOf(id));
      subscribed.set(id, armed);
      await within(timeoutMs, armed).catch(pollInstead);
      return watch;
    },
    close: () => hub.wakeAll(),
  };
}

/** Without a subscription waiting is slower and no less true; what ails Redis shows in the next claim. */
const pollInstead = (): undefined => undefined;
