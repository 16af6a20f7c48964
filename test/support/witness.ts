/**
 * An upstream that sees requests as bytes: request line, field lines in order, body without its chunk framing. It
 * answers once a request is whole, with the bytes it is given. For what node:http would tidy up before a test sees it.
 */
import net from "node:net";
import type { AddressInfo } from "node:net";
import type { Teardown } from "./upstream.ts";
import { dechunked, pairOf, type Pair } from "./wire.ts";

export interface Seen {
  /** `POST /a HTTP/1.1` */
  readonly line: string;
  readonly pairs: readonly Pair[];
  readonly body: Buffer;
  /** Every value of a field, by lower-case name. */
  all(name: string): readonly string[];
}

export interface Saying {
  readonly bytes: string | Buffer;
  readonly closes?: boolean;
}

export interface Witness {
  readonly url: string;
  readonly port: number;
  /** Whole requests, in order: "how often the upstream was called". */
  readonly seen: readonly Seen[];
  /** What stays behind when all requests are taken off the connections: nothing, unless something was smuggled. */
  readonly unread: () => number;
}

export async function startWitness(t: Teardown, say: (seen: Seen) => Saying): Promise<Witness> {
  const seen: Seen[] = [];
  const pending = new Map<net.Socket, Buffer>();
  const server = net.createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("close", () => void (pending.get(socket)?.length === 0 && pending.delete(socket)));
    socket.on("data", (chunk: Buffer) => {
      let bytes = Buffer.concat([pending.get(socket) ?? Buffer.alloc(0), chunk]);
      for (let next = take(bytes); next !== undefined; next = take(bytes)) {
        bytes = bytes.subarray(next.length);
        seen.push(next.request);
        const { bytes: answer, closes = false } = say(next.request);
        if (closes) socket.end(answer);
        else socket.write(answer);
      }
      pending.set(socket, bytes);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    for (const socket of pending.keys()) socket.destroy();
    return new Promise((closed) => server.close(closed));
  });
  const { port } = server.address() as AddressInfo;
  const unread = (): number => [...pending.values()].reduce((sum, rest) => sum + rest.length, 0);
  return { url: `http://127.0.0.1:${port}`, port, seen, unread };
}

/** The first request of these bytes, once it is whole. */
function take(bytes: Buffer): { readonly request: Seen; readonly length: number } | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [line = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const pairs = lines.map(pairOf);
  const all = (name: string) =>
    pairs.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
  const rest = bytes.subarray(end + 4);
  if (all("transfer-encoding")[0] === "chunked") {
    const { body, whole, length } = dechunked(rest);
    return whole ? { request: { line, pairs, body, all }, length: end + 4 + length } : undefined;
  }
  const length = Number(all("content-length")[0] ?? 0);
  if (rest.length < length) return undefined;
  return {
    request: { line, pairs, body: rest.subarray(0, length), all },
    length: end + 4 + length,
  };
}
