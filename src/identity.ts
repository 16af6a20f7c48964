/** What tells one claim and one process from another: drawn, or asked of the system. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { NewToken } from "./core/ports.ts";

const TOKEN_BYTES = 16;
/** Drawn ahead, because each drawing costs 10 us, whatever its size. */
let drawn = Buffer.alloc(0);
let drawnAt = 0;

/** 32 hex digits that nobody can guess. */
export const newToken: NewToken = () => {
  if (drawnAt === drawn.length) {
    drawn = randomBytes(256 * TOKEN_BYTES);
    drawnAt = 0;
  }
  drawnAt += TOKEN_BYTES;
  return drawn.toString("hex", drawnAt - TOKEN_BYTES, drawnAt);
};

/** Its host, and the pid that its log tells when it listens: whoever reads a record knows whose lines to read. */
export function processName(): string {
  return `${hostname()}/${process.pid}`;
}
