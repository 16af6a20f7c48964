/**
 * Whether the answers that come down a connection still belong to the calls that went up. Redis answers in order, so
 * one answer that got lost on the way (a proxy, a defect) shifts all that follow. Each call is named, each answer must
 * name it, and a connection whose answers are shifted is given up. Knows nothing of records.
 */
import { randomBytes } from "node:crypto";
import type { Cluster, Redis } from "ioredis";
import { StoreUnavailable } from "../core/ports.ts";
import { within } from "./deadline.ts";

/** The answer was another call's, so what became of this one is not known. */
export class ReplyMisplaced extends StoreUnavailable {
  override readonly name = "ReplyMisplaced";
  override readonly code = "STORE_REPLY_MISPLACED";

  constructor() {
    super("Redis's connection gave this call an answer that is another's.");
  }
}

export interface Order {
  /** A name for one call, never used again. */
  nextCall(): string;
  /** A call was not answered in time. Its answer may be late, or lost: one more question tells. */
  doubt(): void;
  /** An answer was another call's. */
  broken(): void;
}

export function createOrder(client: Redis | Cluster, timeoutMs: number): Order {
  const process = randomBytes(6).toString("base64url");
  let calls = 0;
  let asking = false;

  function nextCall(): string {
    calls += 1;
    return `${process}${calls.toString(36)}`;
  }

  async function ask(node: Redis): Promise<void> {
    const { stream } = node;
    const name = nextCall();
    try {
      if ((await within(timeoutMs, node.ping(name))) === name) return;
    } catch {
      // No answer: either way nothing that comes later can be trusted.
    }
    // Only the one that was asked: meanwhile there may be another.
    stream?.destroy();
  }

  return {
    nextCall,
    doubt() {
      if (asking) return;
      asking = true;
      void Promise.all(nodesOf(client).map(ask)).finally(() => (asking = false));
    },
    broken: () => {
      for (const { stream } of nodesOf(client)) stream?.destroy();
    },
  };
}

function nodesOf(client: Redis | Cluster): readonly Redis[] {
  return ("nodes" in client ? client.nodes("all") : [client]).filter(
    ({ status }) => status === "ready",
  );
}
