/**
 * Standard output for the log, written synchronously: a line is with the kernel when the call returns, so that neither
 * `process.exit` nor a kill loses it, and it costs a few microseconds. Buffered writing is cheaper still and loses the
 * lines that explain a crash. A reader that is slow slows the gateway a little, one that takes nothing costs lines, and
 * one that is gone does not end it.
 */
import { writeSync } from "node:fs";
import { describeError } from "./failure.ts";

const STDOUT = 1;
const STDERR = 2;
/** How long to wait for a slow reader before the next attempt, in milliseconds. */
const PAUSE_MS = 1;
/** Attempts for one line. A reader that takes nothing for so long must not stop the gateway with it. */
const MAX_PAUSES = 100;

/** Takes one line at a time. Lines that cannot be written are dropped; standard error is told so once. */
export function standardOutput(): { write(line: string): void } {
  const never = new Int32Array(new SharedArrayBuffer(4));
  let complained = false;
  /** The reader has taken nothing for a while: lines are offered to it without waiting until it takes one again. */
  let stalled = false;
  /** The end of a line of which a part is written, so that no line ends in the middle of another. */
  let rest: Uint8Array = new Uint8Array();

  function writeAll(bytes: Uint8Array): void {
    let offset = 0;
    let pauses = stalled ? MAX_PAUSES : 0;
    while (offset < bytes.byteLength) {
      try {
        offset += writeSync(STDOUT, bytes, offset);
        stalled = false;
      } catch (error) {
        // A pipe is non-blocking where a parent process (npm is one) has made it so, and then a full one answers
        // EAGAIN. The bundled writer of pino sleeps 100 ms at a time here.
        if (!isBusy(error) || pauses >= MAX_PAUSES) {
          stalled = true;
          if (offset > 0) rest = bytes.subarray(offset);
          throw error;
        }
        pauses += 1;
        Atomics.wait(never, 0, 0, PAUSE_MS);
      }
    }
    rest = new Uint8Array();
  }

  return {
    write(line) {
      try {
        if (rest.byteLength > 0) writeAll(rest);
        writeAll(Buffer.from(line));
      } catch (error) {
        // A full disk, or nobody who reads: no reason to stop serving.
        if (!complained) complain(error);
        complained = true;
      }
    },
  };
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}

function complain(error: unknown): void {
  const line = { level: "error", msg: "the log cannot be written", error: describeError(error) };
  try {
    writeSync(STDERR, `${JSON.stringify(line)}\n`);
  } catch {
    // Standard error is gone as well: there is nowhere left to say it.
  }
}
