/**
 * What has come lately without a key, by digests. In memory, bounded, and per process: what meets another worker is not
 * recognised, and what came too long ago, or too many requests ago, is forgotten.
 */
import { Digest } from "../core/digest.ts";

/** One request, as it was when it came. */
export interface Sight {
  readonly keylessId: string;
  readonly repeats: number;
  readonly repeatedAfterMs?: number;
}

export interface Duplicates {
  /** `parts`: what makes two requests the same. */
  see(parts: readonly string[], windowMs: number, nowMs: number): Sight;
  /** It was not executed after all, so the next one like it repeats nothing. */
  unsee(sight: Sight): void;
}

interface Seen {
  readonly count: number;
  readonly lastMs: number;
  readonly untilMs: number;
}

/** Those that came longest ago are forgotten first. */
const MOST_SEEN = 50_000;

/**
 * Bodies can be short enough to be guessed: with a secret `salt` that dies with the process no digest in a log confirms a
 * guess.
 */
export function createDuplicates(salt: string, most = MOST_SEEN): Duplicates {
  /** By id, in the order in which each came last. */
  const seen = new Map<string, Seen>();
  const forgetOld = (nowMs: number): void => {
    for (const [id, { untilMs }] of seen) {
      if (untilMs >= nowMs && seen.size <= most) return;
      seen.delete(id);
    }
  };
  return {
    see(parts, windowMs, nowMs) {
      const digest = new Digest();
      for (const part of [salt, ...parts]) digest.add(part);
      const keylessId = digest.end();
      const known = seen.get(keylessId);
      const before = known !== undefined && known.untilMs >= nowMs ? known : undefined;
      const count = (before?.count ?? 0) + 1;
      seen.delete(keylessId);
      seen.set(keylessId, { count, lastMs: nowMs, untilMs: nowMs + windowMs });
      forgetOld(nowMs);
      return {
        keylessId,
        repeats: count - 1,
        ...(before !== undefined && { repeatedAfterMs: nowMs - before.lastMs }),
      };
    },
    unsee({ keylessId }) {
      const known = seen.get(keylessId);
      if (known === undefined) return;
      if (known.count > 1) seen.set(keylessId, { ...known, count: known.count - 1 });
      else seen.delete(keylessId);
    },
  };
}
