/**
 * Reading and writing what is remembered of a resource. A write presents the revision that was read, so that whoever
 * held the lock too long changes nothing; losing is a normal answer.
 */
import { decodeMemory, encodeMemory } from "../core/resource-memory.ts";
import type { Policy } from "../core/policy.ts";
import { StoreUnavailable } from "../core/ports.ts";
import type { Cells } from "../core/resource-ports.ts";
import type { WriteAnswer } from "../core/record.ts";
import type { ResourceMemory } from "../core/resource.ts";
import type { FlowDeps } from "./deps.ts";
import { writeLater, type Remembering } from "./later.ts";

export interface Recalled {
  readonly memory: ResourceMemory;
  /** 0 where nothing is remembered. */
  readonly revision: number;
  /** The store's clock. */
  readonly nowMs: number;
}

/** @throws StoreUnavailable, RecordCorrupt */
export async function recall(id: string, cells: Pick<Cells, "readCell">): Promise<Recalled> {
  const { cell, nowMs } = await cells.readCell(id);
  return { memory: decodeMemory(cell?.value), revision: cell?.revision ?? 0, nowMs };
}

/**
 * Who owns a resource is not forgotten before it is deleted: ten years stand for that, because a store without any
 * end of retention could never be cleaned up.
 */
const OWNER_RETENTION_MS = 10 * 365 * 24 * 60 * 60 * 1000;

/**
 * A cell outlives every process that has read it and may write late, whatever is remembered in it: were it gone, the
 * next one would begin at revision 1 again, and an old holder could meet its own revision on what others have written.
 */
const LEAST_RETENTION_MS = 60 * 60 * 1000;

/** @throws StoreUnavailable, RecordCorrupt */
export function write(
  id: string,
  recalled: Recalled,
  memory: ResourceMemory,
  policy: Policy,
  cells: Pick<Cells, "writeCell">,
): Promise<WriteAnswer> {
  const empty = Object.keys(memory).length === 0;
  if (empty && recalled.revision === 0) return Promise.resolve("done");
  return overwrite(id, recalled, memory, policy, cells);
}

/** Nothing to remember is written, too: what was read before it is out of date from now on. */
function overwrite(
  id: string,
  { revision }: Recalled,
  memory: ResourceMemory,
  policy: Policy,
  cells: Pick<Cells, "writeCell">,
): Promise<WriteAnswer> {
  return cells.writeCell(id, encodeMemory(memory), revision, retentionMs(memory, policy));
}

/**
 * Takes a reservation back of which no reply came: the store may have written it, or may yet do so, and then a write
 * that was never sent would own the resource. Done under the lock, which `settled` gives back.
 */
export function takeBackLater(
  id: string,
  recalled: Recalled & { readonly reserved: ResourceMemory },
  policy: Policy,
  endsMs: number,
  settled: () => void,
  deps: FlowDeps,
): void {
  const reservation = encodeMemory(recalled.reserved);
  const attempt = async (): Promise<WriteAnswer> => {
    // Over what was read before: a reservation that comes later is lost to this.
    const first = await overwrite(id, recalled, recalled.memory, policy, deps.store);
    if (first === "done") return first;
    const now = await recall(id, deps.store);
    // DANGER: the lock may have been lost. Whatever stands there in place of the reservation is another's, or what was
    // taken back before, and stays.
    if (Buffer.compare(encodeMemory(now.memory), reservation) !== 0) return "done";
    return overwrite(id, now, recalled.memory, policy, deps.store);
  };
  const work = async (): Promise<void> => {
    await writeLater({ id, token: "", leaseEndsMs: endsMs }, "remember", attempt, deps);
    settled();
  };
  deps.background(work());
}

/** What a write makes of what was remembered before it; the same object where that is nothing new. */
export type Change = (before: ResourceMemory, nowMs: number) => ResourceMemory;

/** Writes that overlap without a lock; each of them gets its turn after at most so many others. */
const MOST_TRIES = 20;

/**
 * Under a lock whoever else has written came after its lease, and stays; only what the store has lost (a failover, a
 * flush) is written anew. Without one, writes overlap, and the change is made to what the other has left.
 * `later`: the store is away; it is told in the background until the lease is over.
 */
export async function retain(
  id: string,
  recalled: Recalled,
  change: Change,
  policy: Policy,
  lease: { readonly locked: boolean; readonly endsMs: number },
  deps: FlowDeps,
): Promise<WriteAnswer | Remembering> {
  const attempt = async (): Promise<WriteAnswer> => {
    let before = recalled;
    for (let tries = 1; ; tries += 1) {
      const memory = change(before.memory, before.nowMs);
      if (memory === before.memory) return "done";
      const answer = await write(id, before, memory, policy, deps.store);
      if (answer === "done" || tries === MOST_TRIES) return answer;
      before = await recall(id, deps.store);
      if (lease.locked && before.revision !== 0) return "lost";
    }
  };
  try {
    const answer = await attempt();
    if (answer === "lost") deps.observer.lostWrite("remember");
    return answer;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const forLater = { id, token: "", leaseEndsMs: lease.endsMs };
    return { later: writeLater(forLater, "remember", attempt, deps) };
  }
}

/** Frees the slot that a deleted booking had taken, unless somebody else has it by now. */
export async function freeSlot(
  slot: NonNullable<ResourceMemory["frees"]>,
  policy: Policy,
  deps: FlowDeps,
): Promise<void> {
  const recalled = await recall(slot.resource, deps.store);
  const { owner, writer: _writer, ...rest } = recalled.memory;
  if (owner?.record !== slot.owner) return;
  const answer = await write(slot.resource, recalled, rest, policy, deps.store);
  if (answer === "lost") deps.observer.lostWrite("remember");
}

function retentionMs({ owner, frees }: ResourceMemory, policy: Policy): number {
  if (owner !== undefined || frees !== undefined) return OWNER_RETENTION_MS;
  const { completedMs, unknownMs } = policy.retention;
  const rememberMs = policy.resource?.afterDelete?.rememberMs ?? 0;
  return Math.max(completedMs, unknownMs, rememberMs, LEAST_RETENTION_MS);
}
