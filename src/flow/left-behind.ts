/**
 * What a gateway leaves behind that ended in the middle of a call, or stood still past its lease: an unknown outcome that its
 * owner has told nobody of. Whoever meets it first tells; the store keeps who that was, beside the record, so that neither
 * retries nor other gateways nor later starts count it again. Decides nothing about a request.
 */
import { Digest } from "../core/digest.ts";
import {
  RecordCorrupt,
  StoreUnavailable,
  type Clock,
  type Observer,
  type RecordDesk,
} from "../core/ports.ts";
import type { Cells } from "../core/resource-ports.ts";
import type { StoredRecord } from "../core/record.ts";
import type { Claimed } from "./claimed.ts";

type UnknownRecord = Extract<StoredRecord, { state: "unknown" }>;

/** The record of such an outcome, where that is what a claim has met. */
export function leftBehindIn(claimed: Claimed): UnknownRecord | undefined {
  if (claimed.kind !== "unknown" && claimed.kind !== "mismatch") return undefined;
  const { record } = claimed;
  return record.state === "unknown" && record.reason === "crash" ? record : undefined;
}

export interface LeftBehind {
  /** Tells of it if nobody has yet; in the background. */
  met(record: UnknownRecord): void;
  /** Looks through the whole store, once. Resolves when that is done, or with the signal. */
  lookThrough(afterMs: number, signal: AbortSignal): Promise<void>;
}

export interface LeftBehindDeps {
  readonly store: Pick<RecordDesk, "list"> & Pick<Cells, "writeCell">;
  readonly observer: Pick<Observer, "unknownOutcome">;
  readonly clock: Clock;
  readonly background: (work: Promise<void>) => void;
}

/** Remembered here, so that a client that retries without end does not make the store be asked each time. */
const MOST_MET = 10_000;
const SEEN = new Uint8Array([1]);
/** How long the store keeps that it was told; the record itself may go earlier. */
const KEPT_AT_LEAST_MS = 60_000;

/** Of a look through the store: a thousand records a second at most, so that requests do not notice it. */
const PAGE = 50;
const BETWEEN_PAGES_MS = 50;
const STORE_AWAY_MS = 5000;

export function createLeftBehind(deps: LeftBehindDeps): LeftBehind {
  const { store, observer, clock, background } = deps;
  const known = new Set<string>();

  async function tellOnce(record: UnknownRecord): Promise<void> {
    const { id, fence, token: attempt, route, method, reason, sinceMs, expiresAtMs } = record;
    const cell = cellOf(record);
    const keptMs = Math.max(expiresAtMs - sinceMs, KEPT_AT_LEAST_MS);
    try {
      if ((await store.writeCell(cell, SEEN, 0, keptMs)) === "lost") return;
    } catch (error) {
      // Rather twice than never.
      if (!(error instanceof StoreUnavailable || error instanceof RecordCorrupt)) throw error;
    }
    observer.unknownOutcome({ recordId: id, route, method, reason, fence, attempt, sinceMs });
  }

  function firstHere({ id, token }: UnknownRecord): boolean {
    const name = `${id} ${token}`;
    if (known.has(name)) return false;
    known.add(name);
    const [oldest] = known;
    if (known.size > MOST_MET && oldest !== undefined) known.delete(oldest);
    return true;
  }

  async function lookAtPage(cursor: string | undefined): Promise<string | undefined> {
    const page = await store.list({
      state: "unknown",
      limit: PAGE,
      ...(cursor !== undefined && { cursor }),
    });
    for (const record of page.records) {
      if (record.state !== "unknown" || record.reason !== "crash") continue;
      if (firstHere(record)) await tellOnce(record);
    }
    return page.cursor;
  }

  return {
    met(record) {
      if (firstHere(record)) background(tellOnce(record));
    },
    async lookThrough(afterMs, signal) {
      await clock.sleep(afterMs, signal);
      let cursor: string | undefined;
      while (!signal.aborted) {
        try {
          cursor = await lookAtPage(cursor);
          if (cursor === undefined) return;
          await clock.sleep(BETWEEN_PAGES_MS, signal);
        } catch (error) {
          if (!(error instanceof StoreUnavailable)) throw error;
          await clock.sleep(STORE_AWAY_MS, signal);
        }
      }
    },
  };
}

function cellOf({ id, token }: UnknownRecord): string {
  const digest = new Digest();
  for (const part of ["left-behind", id, token]) digest.add(part);
  return digest.end();
}
