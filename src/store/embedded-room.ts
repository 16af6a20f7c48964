/**
 * What the embedded store stands on: room on its disk, and its files still in their place. LMDB does not take a full
 * disk well (it may end the process), so it must not meet one: what needs room is refused while a reserve is left,
 * which completions without a body may use. And of files that somebody has removed it notices nothing at all.
 */
import { statfsSync, statSync } from "node:fs";
import { StoreFull, StoreUnavailable } from "../core/ports.ts";

const RESERVE_BYTES = 64 * 1024 * 1024;
/** On a small disk the reserve is this part of it. */
const RESERVE_PART = 1 / 16;
/** What a record costs besides its body, pages that are copied on write included. */
const RECORD_BYTES = 64 * 1024;

/** LMDB's: the records, and who writes. Without the second, two processes would write at the same time. */
const FILES = ["data.mdb", "lock.mdb"];

/**
 * Which files lie in the directory of a store, for `Room` and for other processes that are to open the same ones.
 * `undefined` where they are not there. With the device, because a fresh file system counts its inodes from the start.
 */
export function identityOf(dir: string): string | undefined {
  const found = FILES.map((name) => {
    const stat = statSync(`${dir}/${name}`, { bigint: true, throwIfNoEntry: false });
    return stat && `${stat.dev}:${stat.ino}`;
  });
  return found.includes(undefined) ? undefined : found.join(" ");
}

/** Of a store that is open. */
export class Room {
  readonly #dir: string;
  readonly #identity: string | undefined;
  #pendingBytes = 0;

  constructor(dir: string) {
    this.#dir = dir;
    this.#identity = identityOf(dir);
  }

  /** What is wrong; `undefined` where there is room. */
  problem(): string | undefined {
    if (!this.#stands()) return lost(this.#dir);
    return this.#has(0) ? undefined : `The disk of ${this.#dir} is nearly full: make room on it.`;
  }

  /**
   * DANGER: what is written into a removed file is gone with this process, and the key would be executed again; and
   * where the lock file is another one, nothing keeps two writers apart.
   * @throws StoreUnavailable when the store's files were removed or replaced
   */
  check(): void {
    if (!this.#stands()) throw new StoreUnavailable(lost(this.#dir), { undone: true });
  }

  /**
   * Runs a write of a record with a body of this length; `undefined`: one that needs no room, or may use the reserve.
   * @throws StoreFull when the disk is nearly full; nothing was written.
   */
  async spend<Answer>(
    bodyBytes: number | undefined,
    write: () => Promise<Answer>,
  ): Promise<Answer> {
    this.check();
    if (bodyBytes === undefined) return write();
    const bytes = bodyBytes + RECORD_BYTES;
    if (!this.#has(bytes)) throw new StoreFull("The store's disk is nearly full.");
    // Writes that run at the same time must not count on the same room.
    this.#pendingBytes += bytes;
    try {
      return await write();
    } finally {
      this.#pendingBytes -= bytes;
    }
  }

  #stands(): boolean {
    return this.#identity !== undefined && identityOf(this.#dir) === this.#identity;
  }

  #has(bytes: number): boolean {
    const { bavail, blocks, bsize } = statfsSync(this.#dir);
    const reserve = Math.min(RESERVE_BYTES, blocks * bsize * RESERVE_PART);
    return bavail * bsize - this.#pendingBytes - bytes > reserve;
  }
}

export function lost(dir: string): string {
  return `The files of ${dir} were removed or replaced: put them back, and restart the gateway.`;
}
