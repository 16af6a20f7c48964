/**
 * The default store: LMDB in a directory of this host, shared by every process that opens it. One transaction per
 * transition, on disk before it is acknowledged. The only file that imports `lmdb`; what a transition decides is
 * core/record.ts's, and the bytes are codec.ts's.
 */
import { mkdirSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";
import type { Store } from "../core/ports.ts";
import { StoreUnavailable } from "../core/ports.ts";
import { decideForget, decideResolve } from "../core/desk.ts";
import { decideSettleUnknown } from "../core/probe.ts";
import type { Finding } from "../core/probe-ports.ts";
import type { Decision, StoredRecord } from "../core/record.ts";
import { decideClaim, decideComplete, decideMarkUnknown, decideRelease } from "../core/record.ts";
import { decodeBare, decodeRecord } from "./codec.ts";
import { within } from "./deadline.ts";
import { embeddedCells } from "./embedded-cells.ts";
import { asStoreError, codeOf, reasonOf } from "./embedded-errors.ts";
import { listPage } from "./embedded-list.ts";
import { lookAt, standing, write } from "./embedded-records.ts";
import { embeddedRoll, sweepRolls } from "./embedded-roll.ts";
import type { RollTables } from "./embedded-roll.ts";
import type { Keyring } from "./encryption.ts";
import type { ExpiringTables, ExpiryKey } from "./embedded-sweep.ts";
import { startSweeper, SWEEP_BATCH, sweepBatch } from "./embedded-sweep.ts";
import { identityOf, lost, Room } from "./embedded-room.ts";
import { SettleHub } from "./signal.ts";

/** Carries the ids of settled records between the workers of a host; the caller supplies it. */
export interface SettleBus {
  publish(id: string): void;
  /** Returns what ends the subscription. */
  subscribe(listener: (id: string) => void): () => void;
}

export interface EmbeddedStoreOptions {
  /** Created when it is missing. */
  readonly dir: string;
  /** Every call settles within this many milliseconds. */
  readonly timeoutMs: number;
  /** The store's clock, epoch milliseconds; every process of the host must use the same. */
  readonly now?: () => number;
  readonly bus?: SettleBus;
  /** `identityOf` the files that the other processes have opened: no others are opened, and none are made. */
  readonly identity?: string;
  /** Left out: recorded answers are stored as they are. */
  readonly keyring?: Keyring;
}

/** How soon a waiter looks again when another process, without a bus, may have settled the record. */
const POLL_MS = 100;
/** Calls that may wait for a stuck writer; one more is refused at once instead of being kept in memory. */
const MAX_WAITING = 10_000;

/** Values and their expiry, which one transaction changes together. */
interface Tables extends ExpiringTables {
  readonly values: Database<Buffer, string>;
  readonly expiry: Database<Buffer, ExpiryKey>;
}

interface Databases {
  readonly env: RootDatabase<Buffer, string>;
  readonly records: Tables;
  readonly cells: Tables;
  readonly rolls: RollTables;
}

/** @throws StoreUnavailable naming the directory, when it cannot be opened. */
export function createEmbeddedStore(options: EmbeddedStoreOptions): Store {
  const { dir, timeoutMs, now = Date.now, bus, identity, keyring } = options;
  if (identity !== undefined && identityOf(dir) !== identity) throw new StoreUnavailable(lost(dir));
  const databases = openDatabases(dir);
  const { env, records: { values: records } } = databases; // prettier-ignore
  const room = new Room(dir);
  const transact = transactor(databases, room, timeoutMs);
  const hub = new SettleHub(POLL_MS);
  const unsubscribe = bus?.subscribe((id) => hub.wake(id));
  const stopSweeping = startSweeper(() => transact(() => sweepAll(databases, now())));
  let closing: Promise<void> | undefined;

  async function change<Answer>(
    id: string,
    decide: (stored: StoredRecord | undefined, nowMs: number) => Decision<Answer>,
    bodyBytes?: number,
    decode: typeof decodeRecord = decodeRecord,
  ): Promise<Answer> {
    const decision = await transact(() => {
      const bytes = records.getBinary(id);
      const stored = bytes === undefined ? undefined : decode(id, bytes, keyring);
      // The clock is read with the write lock held: a call that waited for the lock must not judge by an old time.
      const decided = decide(stored, now());
      write(databases.records, id, stored, decided, keyring);
      return decided;
    }, bodyBytes);
    if (decision.change.kind !== "keep") {
      hub.wake(id);
      bus?.publish(id);
    }
    return decision.answer;
  }

  /** Reads see what other processes have committed until now, not the snapshot of an earlier turn. */
  async function read<Answer>(reader: () => Answer): Promise<Answer> {
    try {
      room.check();
      env.resetReadTxn();
      return reader();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  return {
    claim: (request) =>
      change(request.id, (stored, nowMs) => decideClaim(stored, request, nowMs), 0),
    complete: (id, token, response, retentionMs) =>
      change(
        id,
        (stored, nowMs) => decideComplete(stored, token, response, retentionMs, nowMs),
        // Without a body it is what keeps a retry from running: the reserve is there for it.
        response.body?.byteLength,
      ),
    release: (id, token) => change(id, (stored, nowMs) => decideRelease(stored, token, nowMs)),
    markUnknown: (id, token, reason, retentionMs) =>
      change(id, (stored, nowMs) => decideMarkUnknown(stored, token, reason, retentionMs, nowMs)),
    inspect: (id) => read(() => lookAt(records, id, now(), keyring)?.record),
    look: (id) => read(() => lookAt(records, id, now(), keyring)),
    settleUnknown: (id, attempt, finding) =>
      change(
        id,
        (stored, nowMs) => decideSettleUnknown(stored, attempt, finding, nowMs),
        roomFor(finding),
      ),
    list: (query) => read(() => listPage(records, query, now(), keyring)),
    forget: (id, attempt) => change(id, forgetting(attempt), undefined, decodeBare),
    resolve: (id, outcome, retentionMs, attempt) =>
      change(id, (stored, nowMs) => decideResolve(stored, outcome, retentionMs, nowMs, attempt)),
    ...embeddedCells({ tables: databases.cells, transact, read, now }),
    ...embeddedRoll(databases.rolls, transact, standing(records, now), now),
    watch: async (id) => hub.arm(id),
    problems: () => problemsOf(transact, room),
    close: () => (closing ??= closeAll()),
  };

  function closeAll(): Promise<void> {
    stopSweeping();
    unsubscribe?.();
    hub.wakeAll();
    return closeInTime(env, timeoutMs);
  }
}

const forgetting =
  (attempt: string | undefined) => (stored: StoredRecord | undefined, nowMs: number) =>
    decideForget(stored, nowMs, attempt);

/** A stuck writer must not hold a stop up: what was acknowledged is on disk already. */
async function closeInTime(env: RootDatabase<Buffer, string>, timeoutMs: number): Promise<void> {
  const stuck = pause(timeoutMs, true, { ref: false });
  if (await Promise.race([env.close().then(() => false), stuck])) {
    throw new StoreUnavailable("The store's directory is held by a write of another process.");
  }
}

/** Also without a body: where there is no room the outcome stays unknown, and the reserve is for completions. */
function roomFor(finding: Finding): number | undefined {
  return finding.kind === "executed" ? (finding.response.body?.byteLength ?? 0) : undefined;
}

async function problemsOf(
  transact: (body: () => void) => Promise<void>,
  room: Room,
): Promise<readonly string[]> {
  try {
    // An empty transaction: it fails when a writer is stuck.
    await transact(() => undefined);
    const full = room.problem();
    return full === undefined ? [] : [full];
  } catch (error) {
    return [error instanceof Error ? error.message : "The store's directory cannot be written."];
  }
}

function openDatabases(dir: string): Databases {
  // Recorded answers are for this user alone, also where the directory was made by somebody else.
  const umask = process.umask(0o077);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const env: RootDatabase<Buffer, string> = open({
      path: dir,
      // Where the name has a dot in it, the default is a file of that name.
      noSubdir: false,
      encoding: "binary",
      maxDbs: 8,
      // The default resolves a commit before it is on disk. With one fsync inside the commit, an acknowledged claim
      // outlives a power cut. Measured, 100 at once, claim and complete: 14,000 pairs/s and 0.46 ms for a single call;
      // 18,000 and 0.38 ms with the overlapped flush not waited for; 29,000 and 0.07 ms without any flush.
      overlappingSync: false,
      // With it, a failed commit also rejects a promise that nobody holds, and a full disk would end the process.
      eventTurnBatching: false,
    });
    const tables = (values: string, expiry: string): Tables => ({
      values: env.openDB<Buffer, string>(values, { encoding: "binary" }),
      expiry: env.openDB<Buffer, ExpiryKey>(expiry, { encoding: "binary" }),
    });
    return {
      env,
      records: tables("records", "expiry"),
      cells: tables("cells", "cell-expiry"),
      rolls: {
        ...tables("rolls", "roll-expiry"),
        order: env.openDB("roll-order", { encoding: "binary" }),
      },
    };
  } catch (error) {
    throw new StoreUnavailable(
      `The store's directory ${dir} cannot be opened (${codeOf(error)}): ` +
        "it must be a directory on a local disk that this user may read and write.",
    );
  } finally {
    process.umask(umask);
  }
}

/** Runs bodies inside write transactions, each call settling within the time-out. `bodyBytes` as for `Room.spend`. */
function transactor({ env }: Databases, room: Room, timeoutMs: number) {
  let waiting = 0;
  return <Answer>(body: () => Answer, bodyBytes?: number): Promise<Answer> =>
    room.spend(bodyBytes, () => run(body));

  async function run<Answer>(body: () => Answer): Promise<Answer> {
    if (waiting >= MAX_WAITING) {
      throw new StoreUnavailable("Too many calls wait for the store.", { undone: true });
    }
    const call = { abandoned: false, begun: false };
    waiting++;
    // Async, so that what LMDB throws at once, as it does once it is closed, fails like everything else.
    const begin = async (): Promise<Answer> =>
      env.childTransaction(() => {
        // DANGER: the caller was told that the store is unavailable, and may have answered 503. A claim that is
        // written only now would stand without an owner.
        if (call.abandoned) throw new StoreUnavailable("The call was abandoned.");
        call.begun = true;
        return body();
      });
    const committed = begin().finally(() => waiting--);
    try {
      return await within(timeoutMs, committed);
    } catch (error) {
      call.abandoned = true;
      // A call that was given up may still fail, and then nobody else would hear of it.
      committed.catch(reasonOf);
      const failure = asStoreError(await reasonOf(error));
      // What had not begun by then never will.
      throw call.begun || !(failure instanceof StoreUnavailable)
        ? failure
        : new StoreUnavailable(failure.message, { undone: true });
    }
  }
}

/** A full batch of records comes first, then the others with what is left of it. */
function sweepAll({ records, cells, rolls }: Databases, nowMs: number): number {
  let swept = sweepBatch(records, nowMs, SWEEP_BATCH);
  if (swept < SWEEP_BATCH) swept += sweepBatch(cells, nowMs, SWEEP_BATCH - swept);
  if (swept < SWEEP_BATCH) swept += sweepRolls(rolls, nowMs, SWEEP_BATCH - swept);
  return swept;
}
