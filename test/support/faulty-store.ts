/** A store between the line and the memory store: it fails where a test says, and its waits are on the virtual clock. */
import { RecordCorrupt, StoreFull, StoreUnavailable } from "../../src/core/ports.ts";
import type { Store } from "../../src/core/ports.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/**
 * What a store call does instead of working. `lost`: it works, and its reply does not arrive. `late`: it does not answer,
 * and works `LATE_MS` later.
 */
export type Fault = "works" | "down" | "lost" | "late" | "full" | "corrupt";
export const LATE_MS = 200;
export type Faulty =
  | "claim"
  | "complete"
  | "release"
  | "markUnknown"
  | "inspect"
  | "settleUnknown"
  | "watch"
  | "readCell"
  | "writeCell"
  | "enterRoll"
  | "strikeRoll";

/** The memory store, failing where told, with waits on the virtual clock. */
export function faultyStore(
  memory: Store,
  clock: VirtualClock,
  faults: Map<Faulty, Fault[]>,
  events: string[],
): Store {
  const wakers = new Map<string, Set<() => void>>();
  async function through<T>(operation: Faulty, work: () => Promise<T>): Promise<T> {
    events.push(`store.${operation}`);
    await new Promise(setImmediate);
    const fault = faults.get(operation)?.shift();
    if (fault === "down") throw new StoreUnavailable("the store did not answer");
    if (fault === "full") throw new StoreFull("the store is full");
    if (fault === "corrupt") throw new RecordCorrupt("not a record");
    if (fault === "late") {
      void clock.sleep(LATE_MS).then(work);
      throw new StoreUnavailable("the store did not answer yet");
    }
    const done = await work();
    if (fault === "lost") throw new StoreUnavailable("the reply was lost");
    return done;
  }
  async function settling<T>(id: string, operation: Faulty, work: () => Promise<T>): Promise<T> {
    try {
      return await through(operation, work);
    } finally {
      for (const wake of wakers.get(id) ?? []) wake();
    }
  }
  return {
    ...memory,
    claim: (request) => through("claim", () => memory.claim(request)),
    complete: (id, token, response, ms) =>
      settling(id, "complete", () => memory.complete(id, token, response, ms)),
    release: (id, token) => settling(id, "release", () => memory.release(id, token)),
    markUnknown: (id, token, reason, ms) =>
      settling(id, "markUnknown", () => memory.markUnknown(id, token, reason, ms)),
    inspect: (id) => through("inspect", () => memory.inspect(id)),
    settleUnknown: (...write) => through("settleUnknown", () => memory.settleUnknown(...write)),
    readCell: (id) => through("readCell", () => memory.readCell(id)),
    writeCell: (...write) => through("writeCell", () => memory.writeCell(...write)),
    enterRoll: (entry) => through("enterRoll", () => memory.enterRoll(entry)),
    strikeRoll: (...entry) => through("strikeRoll", () => memory.strikeRoll(...entry)),
    watch: (id) =>
      through("watch", async () => {
        let woken = new AbortController();
        const wake = (): void => woken.abort();
        const known = wakers.get(id) ?? new Set();
        wakers.set(id, known.add(wake));
        return {
          wait: async (timeoutMs, gone) => {
            await clock.sleep(timeoutMs, AbortSignal.any([gone, woken.signal]));
            woken = new AbortController();
          },
          close: () => void known.delete(wake),
        };
      }),
  };
}
