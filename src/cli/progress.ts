/** How far a listing is, for whoever watches it. Pure. */
import { RECORD_ID } from "./arguments.ts";

const WIDTH = 24;

export interface Progress {
  readonly looked: number;
  readonly found: number;
  /** Infinity: all of them. */
  readonly limit: number;
  /** Where the next page begins. */
  readonly cursor: string | undefined;
}

/** A bar where it is known how much there is to do, and in any case what was done. */
export function progressOf(progress: Progress): string {
  const { looked, found } = progress;
  const share = shareOf(progress);
  const bar =
    share === undefined ? "" : `[${"#".repeat(Math.round(share * WIDTH)).padEnd(WIDTH, ".")}] `;
  return `${bar}${looked} records looked at, ${found} found`;
}

/**
 * An embedded store lists by id, and ids are digests: the one that a page ends with says how many there are behind it.
 * Redis' own cursors say nothing, so that there only a limit gives a measure.
 */
function shareOf({ found, limit, cursor }: Progress): number | undefined {
  if (cursor === undefined) return 1;
  const ofLimit = found / limit;
  if (RECORD_ID.test(cursor))
    return Math.min(1, Math.max(ofLimit, Number.parseInt(cursor.slice(0, 8), 16) / 2 ** 32));
  return limit === Infinity ? undefined : Math.min(1, ofLimit);
}
