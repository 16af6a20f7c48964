/**
 * Locks for one host: cells of the store that all its workers share, or of the memory store. A lock is a cell that
 * says who holds it until when, changed by compare-and-set; the store's clock judges the lease.
 *
 *     no cell, or free, or lease over ──tryLock (token)──▶ held ──release (token)──▶ free
 *
 * The cell outlives its lease, and giving back leaves a free one behind: were it removed, the next one would start at
 * revision 1 again, and a late release of an old holder could meet its own revision on the lock of another.
 */
import { hash } from "node:crypto";
import { RecordCorrupt, StoreUnavailable } from "../core/ports.ts";
import type { Clock, NewToken } from "../core/ports.ts";
import type { Cells, HeldLock, LockAnswer, Locks } from "../core/resource-ports.ts";
import { Background } from "./background.ts";
import { leaseEnd } from "./lease.ts";

export interface EmbeddedLocksOptions {
  readonly cells: Cells;
  readonly newToken: NewToken;
  /** `HeldLock.endsMs` is on this clock. */
  readonly clock: Clock;
}

/** What a lock's cell says; `leaseUntilMs` is on the store's clock, 0 where nobody holds it. */
interface LockState {
  readonly token: string;
  readonly leaseUntilMs: number;
}

/** How long a cell is kept past its lease: far longer than any call to a store may take. */
const KEPT_MS = 60_000;
/** 32 hex digits and the end of the lease. */
const STATE = /^([0-9a-f]{32}) (\d{1,16})$/u;

/** `tryLock` settles as calls of `cells` do: up to four of them, one after the other. */
export function createEmbeddedLocks(options: EmbeddedLocksOptions): Locks {
  const { cells, newToken, clock } = options;
  const background = new Background(clock);
  let closed = false;

  /** A lost write says that the cell is another one by now: somebody's lock, or none, where its time has just run out. */
  async function take(id: string, leaseMs: number): Promise<LockAnswer> {
    const cellId = lockCellId(id);
    return (
      (await takeOnce(cellId, leaseMs)) ?? (await takeOnce(cellId, leaseMs)) ?? { kind: "busy" }
    );
  }

  /** `undefined`: another write came between. */
  async function takeOnce(cellId: string, leaseMs: number): Promise<LockAnswer | undefined> {
    const askedMs = clock.monotonicMs();
    const { cell, nowMs } = await cells.readCell(cellId);
    if (cell !== undefined && readState(cell.value).leaseUntilMs > nowMs) return { kind: "busy" };
    const token = newToken();
    const state = writeState({ token, leaseUntilMs: Math.ceil(nowMs + leaseMs) });
    const lock = heldLock(cellId, token, leaseEnd(askedMs, leaseMs));
    try {
      const revision = cell?.revision ?? 0;
      const answer = await cells.writeCell(cellId, state, revision, leaseMs + KEPT_MS);
      if (answer === "lost") return undefined;
    } catch (error) {
      // The write may have happened all the same, and then nobody would know that it holds the lock.
      lock.release();
      throw error;
    }
    if (lock.endsMs > clock.monotonicMs()) return { kind: "held", lock };
    lock.release();
    return { kind: "unavailable", cause: "The store answered after the lease was over." };
  }

  function heldLock(cellId: string, token: string, endsMs: number): HeldLock {
    let released = false;
    return {
      endsMs,
      release() {
        if (released) return;
        released = true;
        background.insist(endsMs, () => giveBack(cellId, token));
      },
    };
  }

  /** Where it is lost, somebody has taken the lock after the lease, and it is theirs. */
  async function giveBack(cellId: string, token: string): Promise<void> {
    const { cell } = await cells.readCell(cellId);
    if (cell === undefined || readState(cell.value).token !== token) return;
    const free = writeState({ token, leaseUntilMs: 0 });
    await cells.writeCell(cellId, free, cell.revision, KEPT_MS);
  }

  return {
    async tryLock(id, leaseMs) {
      if (closed) return { kind: "unavailable", cause: "The locks are closed." };
      try {
        return await take(id, leaseMs);
      } catch (error) {
        return { kind: "unavailable", cause: causeOf(error) };
      }
    },
    async close() {
      closed = true;
      await background.close();
    },
  };
}

/** An id of its own, so that a resource's lock and what is remembered of it are two cells. */
function lockCellId(id: string): string {
  return hash("sha256", `lock:${id}`, "hex");
}

function writeState({ token, leaseUntilMs }: LockState): Uint8Array {
  return Buffer.from(`${token} ${leaseUntilMs}`, "latin1");
}

function readState(value: Uint8Array): LockState {
  const [, token, leaseUntilMs] = STATE.exec(Buffer.from(value).toString("latin1")) ?? [];
  if (token === undefined) throw new RecordCorrupt("A lock cannot be read: it is not one.");
  return { token, leaseUntilMs: Number(leaseUntilMs) };
}

/** Only our own errors are quoted; another one may carry what was stored. */
function causeOf(error: unknown): string {
  if (error instanceof StoreUnavailable || error instanceof RecordCorrupt) return error.message;
  return error instanceof Error ? error.name : "unknown";
}
