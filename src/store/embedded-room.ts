/**
 * What the embedded store stands on: room on its disk, and its files still in their place. LMDB does not take a full
 * disk well (it may end the process), so it must not meet one: what needs room is refused while a reserve is left,
 * which completions without a body may use. And of files that somebody has removed it notices nothing at all.
 */
import { statfsSync, statSync } from "node:fs";
import { join } from "node:path";
import { StoreFull, StoreUnavailable } from "../core/ports.ts";

const RESERVE_BYTES = 64 * 1024 * 1024;
/** On a small disk the reserve is this part of it. */
const RESERVE_PART = 1 / 16;
/** What a record costs besides its body, pages that are copied on write included. */
const RECORD_BYTES = 64 * 1024;

export class Room {
  readonly #dir: string;
  readonly #file: string;
  readonly #inode: number;
  #pendingBytes = 0;

  /** Of a store that is open: LMDB's file is there, and has to stay there. */
  constructor(dir: string) {
    this.#dir = dir;
    this.#file = join(dir, "data.mdb");
    this.#inode = statSync(this.#file).ino;
  }

  /** What is wrong; `undefined` where there is room. */
  problem(): string | undefined {
    if (!this.#stands()) return this.#lost();
    return this.#has(0) ? undefined : `The disk of ${this.#dir} is nearly full: make room on it.`;
  }

  /**
   * Runs a write of a record with a body of this length.
   * @throws StoreFull when the disk is nearly full, StoreUnavailable when the store's files were removed or replaced;
   *   nothing was written.
   */
  async spend<Answer>(bodyBytes: number, write: () => Promise<Answer>): Promise<Answer> {
    const bytes = bodyBytes + RECORD_BYTES;
    // DANGER: what is written into a removed file is gone with this process, and the key would be executed again.
    if (!this.#stands()) throw new StoreUnavailable(this.#lost(), { undone: true });
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
    return statSync(this.#file, { throwIfNoEntry: false })?.ino === this.#inode;
  }

  #lost(): string {
    return `The files of ${this.#dir} were removed or replaced: put them back, and restart the gateway.`;
  }

  #has(bytes: number): boolean {
    const { bavail, blocks, bsize } = statfsSync(this.#dir);
    const reserve = Math.min(RESERVE_BYTES, blocks * bsize * RESERVE_PART);
    return bavail * bsize - this.#pendingBytes - bytes > reserve;
  }
}
