/**
 * Holds granted claims back until enough replicas have them. WAIT blocks everything behind it on its connection, so it
 * has one of its own, where each WAIT speaks for all claims that came since the last: a replica that stays silent
 * delays nobody but them. Gives nothing back: whoever claimed knows what to do.
 */
import type { Redis } from "ioredis";
import { StoreUnavailable } from "../core/ports.ts";
import type { RunScript } from "./redis-call.ts";
import { oneOf } from "./redis-call.ts";
import { asStoreError } from "./redis-errors.ts";
import { ReplyMisplaced } from "./redis-order.ts";

/** How many replicas must have a claim before it counts, and how long they are given, in milliseconds. */
export interface ReplicaWait {
  readonly wait: number;
  readonly timeoutMs: number;
}

/**
 * Resolves when the replicas have the claim.
 * @throws StoreUnavailable when they do not, or nobody can say; the claim may stand all the same.
 */
export type Confirm = (id: string, token: string) => Promise<void>;

interface Claim {
  readonly id: string;
  readonly token: string;
  confirmed(): void;
  failed(error: unknown): void;
}

/** `run` puts the scripts on the same connection, `client`, which sends in order and is nobody else's. */
export function confirmer(client: Redis, run: RunScript, replicas: ReplicaWait): Confirm {
  let arrived: Claim[] = [];
  let working = false;
  let connection = 0;
  client.on("close", () => {
    connection += 1;
  });

  async function work(): Promise<void> {
    if (working) return;
    working = true;
    while (arrived.length > 0) {
      const batch = arrived;
      arrived = [];
      await settle(batch);
    }
    working = false;
  }

  async function settle(batch: readonly Claim[]): Promise<void> {
    const before = connection;
    const written = (await Promise.all(batch.map(write))).filter((claim) => claim !== undefined);
    if (written.length === 0) return;
    try {
      // DANGER: WAIT on a new connection, which has written nothing, counts every replica there is.
      if (connection !== before) throw new StoreUnavailable("The connection to Redis was lost.");
      const reached: unknown = await client.wait(replicas.wait, replicas.timeoutMs);
      // DANGER: another call's answer is no number, and so never less than one.
      if (typeof reached !== "number") throw new ReplyMisplaced();
      if (reached < replicas.wait) {
        throw new StoreUnavailable(`Only ${reached} of ${replicas.wait} replicas have the claim.`);
      }
      for (const claim of written) claim.confirmed();
    } catch (error) {
      for (const claim of written) claim.failed(asStoreError(error));
    }
  }

  /** `undefined` where it failed and was told so. */
  async function write(claim: Claim): Promise<Claim | undefined> {
    try {
      const reply = await run("confirm", claim.id, Buffer.from(claim.token, "hex"));
      if (oneOf(reply, "done", "lost") === "done") return claim;
      // After a failover the two connections can be on different servers for a moment.
      throw new StoreUnavailable("The claim is not on the server whose replicas are asked.");
    } catch (error) {
      claim.failed(error);
      return undefined;
    }
  }

  return (id, token) =>
    new Promise((confirmed, failed) => {
      arrived.push({ id, token, confirmed, failed });
      void work();
    });
}
