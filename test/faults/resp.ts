/**
 * RESP, the little of it that a proxy needs: where a command and where a reply ends, and what a command says. Commands
 * come as arrays of bulk strings, as every client sends them.
 */

/** Takes whole values off the bytes that have come so far; what is left waits for more. */
export class RespReader {
  #bytes = Buffer.alloc(0);

  /** The whole values that these bytes complete, each as it stood. */
  push(bytes: Buffer): Buffer[] {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    const values: Buffer[] = [];
    for (;;) {
      const end = endOf(this.#bytes, 0);
      if (end === undefined) return values;
      values.push(this.#bytes.subarray(0, end));
      this.#bytes = this.#bytes.subarray(end);
    }
  }
}

/** Behind the value that begins at `at`; `undefined` where it is not whole. */
function endOf(bytes: Buffer, at: number): number | undefined {
  const lineEnd = bytes.indexOf("\r\n", at);
  if (lineEnd < 0) return undefined;
  const kind = String.fromCharCode(bytes[at] ?? 0);
  const behind = lineEnd + 2;
  if (kind !== "$" && kind !== "*") return behind;
  const length = Number(bytes.toString("latin1", at + 1, lineEnd));
  if (length < 0) return behind;
  if (kind === "$") {
    const end = behind + length + 2;
    return end <= bytes.length ? end : undefined;
  }
  let end: number | undefined = behind;
  for (let item = 0; item < length && end !== undefined; item += 1) end = endOf(bytes, end);
  return end;
}

/** The strings of a command, or of a flat reply; integers as their digits. */
export function partsOf(value: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let at = value.indexOf("\r\n") + 2;
  while (at < value.length) {
    const lineEnd = value.indexOf("\r\n", at);
    const line = value.subarray(at + 1, lineEnd);
    at = lineEnd + 2;
    if (value[lineEnd - line.length - 1] !== 0x24) {
      parts.push(line);
      continue;
    }
    const length = Number(line.toString("latin1"));
    parts.push(value.subarray(at, at + length));
    at += length + 2;
  }
  return parts;
}
