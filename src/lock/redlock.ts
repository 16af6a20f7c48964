/**
 * Locks over an odd number of independent Redis servers, or over one: held by whom the majority says. The one file
 * that knows redlock, and what must not be asked of it:
 *
 * - it waits for ever where a server stays silent, so every call here is under a deadline and each server under its own;
 * - it returns leases that are already over, so the lease is judged here, by a clock that does not jump;
 * - its `using` loses the result when giving back fails, so giving back is done here, and nobody waits for it.
 */
import type { Client, ExecutionStats, Lock } from "redlock";
import { default as Redlock, ExecutionError, ResourceLockedError } from "redlock";
import type { Clock } from "../core/ports.ts";
import type { HeldLock, LockAnswer, Locks } from "../core/resource-ports.ts";
import { Background } from "./background.ts";
import { leaseEnd } from "./lease.ts";

/** One Redis, as locks need it. */
export interface LockNode {
  /**
   * Runs a script on one key, after the ones that were given before it. Must settle within the time-out that
   * `connectNodes` was told, and reject with a message that may be shown.
   */
  runScript(lua: string, key: string, args: readonly (string | number)[]): Promise<unknown>;
  close(): void;
}

export interface RedlockLocksOptions {
  /** Connects to the servers, an odd number of them. `timeoutMs`: the longest that one call to one of them may take. */
  readonly connectNodes: (timeoutMs: number) => readonly LockNode[];
  /** Stands in front of every key: `<keyPrefix>l:{<id>}`. */
  readonly keyPrefix: string;
  /** `tryLock` settles within this many milliseconds. */
  readonly timeoutMs: number;
  /** `HeldLock.endsMs` is on this clock. */
  readonly clock: Clock;
}

/** A lock that could not be had takes two rounds, one to ask and one to give back what some servers have granted. */
const ROUNDS = 2;

/** @throws Error when the number of nodes is even, because half of them could say yes and half no. */
export function createRedlockLocks(options: RedlockLocksOptions): Locks {
  const { keyPrefix, timeoutMs, clock } = options;
  const nodes = options.connectNodes(Math.floor(timeoutMs / ROUNDS));
  if (nodes.length % 2 === 0) {
    for (const node of nodes) node.close();
    throw new Error(`Locks need an odd number of Redis servers, not ${nodes.length}.`);
  }
  const redlock = overNodes(nodes);
  const background = new Background(clock);
  let closed = false;

  async function take(id: string, leaseMs: number): Promise<LockAnswer> {
    const wholeMs = Math.floor(leaseMs);
    // Before the call: every server starts to count later than this.
    const endsMs = leaseEnd(clock.monotonicMs(), wholeMs);
    const asked = redlock.acquire([`${keyPrefix}l:{${id}}`], wholeMs);
    const answer = await inTime(timeoutMs, decide(asked, endsMs));
    if (answer !== undefined) return answer;
    // DANGER: it may be granted yet, nobody would know, and until the lease is over nobody else could have it.
    background.run(async () => {
      const late = await asked;
      background.insist(endsMs, () => redlock.release(late));
    });
    return { kind: "unavailable", cause: `No majority answered within ${timeoutMs} ms.` };
  }

  async function decide(asked: Promise<Lock>, endsMs: number): Promise<LockAnswer> {
    let lock: HeldLock;
    try {
      lock = heldLock(await asked, endsMs);
    } catch (error) {
      return refusal(error);
    }
    if (endsMs > clock.monotonicMs()) return { kind: "held", lock };
    lock.release();
    return { kind: "unavailable", cause: "A majority answered after the lease was over." };
  }

  function heldLock(lock: Lock, endsMs: number): HeldLock {
    let released = false;
    return {
      endsMs,
      release() {
        if (released) return;
        released = true;
        background.insist(endsMs, () => redlock.release(lock));
      },
    };
  }

  return {
    async tryLock(id, leaseMs) {
      if (closed) return { kind: "unavailable", cause: "The locks are closed." };
      return take(id, leaseMs);
    },
    async close() {
      closed = true;
      await background.close();
      for (const node of nodes) node.close();
    },
  };
}

function overNodes(nodes: readonly LockNode[]): Redlock {
  const redlock = new Redlock(nodes.map(asClient), { retryCount: 0 });
  const scripts = new Map(Object.values(redlock.scripts).map(({ hash, value }) => [hash, value]));

  /**
   * Sends the script itself where redlock sends its digest. A server that does not know the digest would be asked
   * twice, and a release could get in between: the lock would stay there until its lease is over.
   */
  function asClient(node: LockNode): Client {
    const run = async (lua: string, [key, ...args]: readonly (string | number)[]) =>
      node.runScript(lua, String(key), args);
    return {
      evalsha: async (hash, _keyCount, args) => run(scripts.get(hash) ?? "", args),
      eval: async (script, _keyCount, args) => run(script, args),
    };
  }
  return redlock;
}

/** Busy where enough servers answered to be sure that the lock service works, and one of them says that it is held. */
async function refusal(error: unknown): Promise<LockAnswer> {
  if (!(error instanceof ExecutionError)) {
    return { kind: "unavailable", cause: error instanceof Error ? error.name : "unknown" };
  }
  // Without retries there is one attempt. It settles, because every node does.
  const stats = await error.attempts[0];
  if (stats === undefined) return { kind: "unavailable", cause: error.name };
  const failures = failuresOf(stats);
  const answered = stats.membershipSize - failures.length;
  if (answered >= stats.quorumSize) return { kind: "busy" };
  const why = [...new Set(failures.map(({ message }) => message))].join(" ");
  const cause = `${answered} of ${stats.membershipSize} lock servers answered: ${why}`;
  return { kind: "unavailable", cause };
}

function failuresOf({ votesAgainst }: ExecutionStats): readonly Error[] {
  return [...votesAgainst.values()].filter((vote) => !(vote instanceof ResourceLockedError));
}

/** `undefined` when the time is over first. */
async function inTime<Answer>(
  timeoutMs: number,
  work: Promise<Answer>,
): Promise<Answer | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, undefined);
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
