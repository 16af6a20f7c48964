/**
 * The store for tests and simulation: a bounded map in this process. It forgets everything when the process ends, and
 * no other process sees it. Expired records make room; a live record is never evicted to make room for another.
 */
import type { ListPage, ListQuery, SettleWatch, Store } from "../core/ports.ts";
import { decideForget, decideResolve } from "../core/desk.ts";
import { decideSettleUnknown } from "../core/probe.ts";
import type { Decision, RecordedResponse, StoredRecord } from "../core/record.ts";
import {
  asOf,
  decideClaim,
  decideComplete,
  decideMarkUnknown,
  decideRelease,
  summarise,
} from "../core/record.ts";
import type { StoredCell } from "./cell.ts";
import { ExpiringMap } from "./expiring-map.ts";
import { memoryCells } from "./memory-cells.ts";
import { memoryRoll } from "./memory-roll.ts";
import { SettleHub } from "./signal.ts";

export interface MemoryStoreOptions {
  /** The store's clock, epoch milliseconds. */
  readonly now: () => number;
  /** 1 and up; 100,000 when left out. As many resources are remembered beside the records. */
  readonly maxRecords?: number;
}

const DEFAULT_MAX_RECORDS = 100_000;
/** A lease that runs out notifies nobody, so a waiter looks again after this. */
const POLL_MS = 1000;

export function createMemoryStore(options: MemoryStoreOptions): Store {
  const { now, maxRecords = DEFAULT_MAX_RECORDS } = options;
  const records = new ExpiringMap<StoredRecord>(maxRecords, "records");
  const cells = new ExpiringMap<StoredCell>(maxRecords, "resources");
  const hub = new SettleHub(POLL_MS);

  /** Decides and writes in one turn of the event loop, which is what makes it a transaction here. */
  async function transact<Answer>(
    id: string,
    decide: (stored: StoredRecord | undefined, nowMs: number) => Decision<Answer>,
  ): Promise<Answer> {
    const nowMs = now();
    const { answer, change } = decide(records.get(id), nowMs);
    if (change.kind === "put") {
      records.set(id, change.record, nowMs);
    } else if (change.kind === "delete") {
      records.delete(id);
    }
    if (change.kind !== "keep") hub.wake(id);
    return answer;
  }

  async function list({ state, limit, cursor = "" }: ListQuery): Promise<ListPage> {
    const nowMs = now();
    const ids = records
      .ids()
      .filter((id) => id > cursor)
      .sort();
    const page = ids.slice(0, limit);
    const found = page
      .map((id) => asOf(records.get(id), nowMs))
      .filter((record) => record !== undefined)
      .filter((record) => state === undefined || record.state === state)
      .map(summarise);
    const last = page.at(-1);
    return last === undefined || ids.length === page.length
      ? { records: found }
      : { records: found, cursor: last };
  }

  return {
    claim: (request) =>
      transact(request.id, (stored, nowMs) => decideClaim(stored, request, nowMs)),
    complete: (id, token, response, retentionMs) => {
      const kept = copyOf(response);
      return transact(id, (stored, nowMs) =>
        decideComplete(stored, token, kept, retentionMs, nowMs),
      );
    },
    release: (id, token) => transact(id, (stored, nowMs) => decideRelease(stored, token, nowMs)),
    markUnknown: (id, token, reason, retentionMs) =>
      transact(id, (stored, nowMs) => decideMarkUnknown(stored, token, reason, retentionMs, nowMs)),
    inspect: async (id) => asOf(records.get(id), now()),
    look: async (id) => {
      const nowMs = now();
      const record = asOf(records.get(id), nowMs);
      return record && { record, nowMs };
    },
    settleUnknown: (id, attempt, finding) => {
      const kept =
        finding.kind === "executed" ? { ...finding, response: copyOf(finding.response) } : finding;
      return transact(id, (stored, nowMs) => decideSettleUnknown(stored, attempt, kept, nowMs));
    },
    list,
    forget: (id, attempt) => transact(id, (stored, nowMs) => decideForget(stored, nowMs, attempt)),
    resolve: (id, outcome, retentionMs, attempt) =>
      transact(id, (stored, nowMs) => decideResolve(stored, outcome, retentionMs, nowMs, attempt)),
    ...memoryCells(now, cells),
    ...memoryRoll(now, (id) => asOf(records.get(id), now())?.expiresAtMs, maxRecords),
    watch: async (id): Promise<SettleWatch> => hub.arm(id),
    problems: async () => [],
    close: async () => {
      hub.wakeAll();
      records.clear();
      cells.clear();
    },
  };
}

/** The caller may reuse its buffer; the other stores serialise, so this one copies. */
function copyOf(response: RecordedResponse): RecordedResponse {
  const { body } = response;
  return body === undefined ? response : { ...response, body: Uint8Array.from(body) };
}
