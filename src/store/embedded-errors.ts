/** What may be said about a failure of LMDB: its errors may name paths and keys, so only a code goes into ours. */
import { RecordCorrupt, StoreFull, StoreUnavailable } from "../core/ports.ts";

/** MDB_MAP_FULL, ENOSPC, EDQUOT, EFBIG, and EIO, which is what LMDB makes of a page that was written in part. */
const FULL = /^(?:-30792|28|122|27|5|MDB_MAP_FULL|ENOSPC)$/u;

/** Only our own errors leave this room: LMDB's may name paths and keys. */
export function asStoreError(error: unknown): StoreUnavailable | RecordCorrupt {
  if (error instanceof StoreUnavailable || error instanceof RecordCorrupt) return error;
  const code = codeOf(error);
  return FULL.test(code)
    ? new StoreFull(`The store's disk is full or failing (${code}).`)
    : new StoreUnavailable(`The store's directory failed (${code}).`);
}

/** A failed commit brings its reason as a promise of its own, which must be taken or it counts as unhandled. */
export async function reasonOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && "commitError" in error)) return error;
  try {
    return await error.commitError;
  } catch (reason) {
    return reason;
  }
}

export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "no code";
  if ("code" in error && (typeof error.code === "string" || typeof error.code === "number")) {
    return String(error.code);
  }
  return /MDB_[A-Z_]+/u.exec(error.message)?.[0] ?? error.name;
}
