/**
 * Room on the disk of the embedded store. LMDB does not take a full disk well (it may end the process), so it must not
 * meet one: what needs room is refused while a reserve is left, which completions without a body may use.
 */
import { statfsSync } from "node:fs";
import { StoreFull } from "../core/ports.ts";

const RESERVE_BYTES = 64 * 1024 * 1024;
/** On a small disk the reserve is this part of it. */
const RESERVE_PART = 1 / 16;
/** What a record costs besides its body, pages that are copied on write included. */
const RECORD_BYTES = 64 * 1024;

export class Room {
  readonly #dir: string;
  #pendingBytes = 0;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** What is wrong; `undefined` where there is room. */
  problem(): string | undefined {
    return this.#has(0) ? undefined : `The disk of ${this.#dir} is nearly full: make room on it.`;
  }

  /**
   * Runs a write of a record with a body of this length.
   * @throws StoreFull when the disk is nearly full; nothing was written.
   */
  async spend<Answer>(bodyBytes: number, write: () => Promise<Answer>): Promise<Answer> {
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

  #has(bytes: number): boolean {
    const { bavail, blocks, bsize } = statfsSync(this.#dir);
    const reserve = Math.min(RESERVE_BYTES, blocks * bsize * RESERVE_PART);
    return bavail * bsize - this.#pendingBytes - bytes > reserve;
  }
}
