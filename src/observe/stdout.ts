/**
 * Standard output for the log, written synchronously: a line is with the kernel when the call returns, so that neither
 * `process.exit` nor a kill loses it, and it costs a few microseconds. Buffered writing is cheaper still and loses the
 * lines that explain a crash. A reader that is slow slows the gateway; one that is gone does not end it.
 */
import { writeSync } from "node:fs";
import { describeError } from "./failure.ts";

const STDOUT = 1;
const STDERR = 2;
/** How long to wait for a slow reader before the next attempt, in milliseconds. */
const PAUSE_MS = 1;

/** Takes one line at a time. Lines that cannot be written are dropped; standard error is told so once. */
export function standardOutput(): { write(line: string): void } {
  const never = new Int32Array(new SharedArrayBuffer(4));
  let complained = false;

  function writeAll(bytes: Buffer): void {
    let offset = 0;
    while (offset < bytes.byteLength) {
      try {
        offset += writeSync(STDOUT, bytes, offset);
      } catch (error) {
        // A pipe is non-blocking where a parent process (npm is one) has made it so, and then a full one answers
        // EAGAIN. The bundled writer of pino sleeps 100 ms at a time here.
        if (!isBusy(error)) throw error;
        Atomics.wait(never, 0, 0, PAUSE_MS);
      }
    }
  }

  return {
    write(line) {
      try {
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
