/**
 * What may be said about a failure of Redis. ioredis hangs the command with its arguments, which are keys and whole
 * stored bodies, on its errors; so no error of its leaves this room, and only a code word goes into ours.
 */
import { RecordCorrupt, StoreFull, StoreUnavailable } from "../core/ports.ts";

/** First words of Redis's own error replies. */
const REPLY_WORDS: ReadonlySet<string> = new Set([
  "ASK",
  "BUSY",
  "CLUSTERDOWN",
  "CROSSSLOT",
  "ERR",
  "LOADING",
  "MASTERDOWN",
  "MISCONF",
  "MOVED",
  "NOAUTH",
  "NOPERM",
  "NOREPLICAS",
  "NOSCRIPT",
  "OOM",
  "READONLY",
  "TRYAGAIN",
  "UNBLOCKED",
  "WRONGPASS",
]);

/** With these Redis refuses a command whole, and a script before its first write. */
const REFUSALS: ReadonlySet<string> = new Set([
  "BUSY",
  "CLUSTERDOWN",
  "LOADING",
  "MASTERDOWN",
  "MISCONF",
  "NOAUTH",
  "NOPERM",
  "NOREPLICAS",
  "READONLY",
]);

/** A word that names the failure: Redis's, the system's, or one of ours. Never anything that was sent. */
export function codeWord(error: unknown): string {
  if (!(error instanceof Error)) return "UNKNOWN";
  const first = error.message.split(" ", 1)[0] ?? "";
  if (REPLY_WORDS.has(first)) return first;
  if (
    "code" in error &&
    typeof error.code === "string" &&
    /^[A-Z][A-Z_]{2,40}$/u.test(error.code)
  ) {
    return error.code;
  }
  if (error.message === "Command timed out") return "TIMEOUT";
  if (/^Connection is closed|^Stream isn't writeable|^Cluster isn't ready/u.test(error.message)) {
    return "DISCONNECTED";
  }
  return "UNKNOWN";
}

/** Our own errors pass; everything else becomes one of them. */
export function asStoreError(error: unknown): StoreUnavailable | RecordCorrupt {
  if (error instanceof StoreUnavailable || error instanceof RecordCorrupt) return error;
  const word = codeWord(error);
  if (word === "OOM") return new StoreFull("Redis has reached its maxmemory (OOM).");
  const undone = REFUSALS.has(word) && { undone: true as const };
  return new StoreUnavailable(`Redis did not do it (${word}).`, { ...undone });
}
