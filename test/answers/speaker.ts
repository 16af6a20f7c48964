/**
 * The upstream that says what `mutations.ts` drew: takes `METHOD /unit/NUMBER` with a body of two bytes, counts it, and
 * writes the answer of that number, piece by piece.
 */
import net from "node:net";
import type { AddressInfo } from "node:net";
import type { Teardown } from "../support/teardown.ts";
import type { Said } from "./mutations.ts";

export interface Speaker {
  readonly url: string;
  /** How often a number was asked for. */
  count(number: number): number;
  /** All requests since the start. */
  readonly requests: () => number;
}

/** `saidOf` gives what a number's answer is. */
export async function startSpeaker(
  t: Teardown,
  saidOf: (number: number) => Said,
): Promise<Speaker> {
  const counts = new Map<number, number>();
  const sockets = new Set<net.Socket>();
  let requests = 0;
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    let text = "";
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const [head, number] =
        /^[A-Z]+ \/unit\/(\d+) HTTP\/1\.1\r\n(?:[^\r\n]+\r\n)*\r\n../su.exec(text) ?? [];
      if (head === undefined) return;
      text = text.slice(head.length);
      requests += 1;
      counts.set(Number(number), (counts.get(Number(number)) ?? 0) + 1);
      void say(socket, saidOf(Number(number)));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((closed) => server.close(closed));
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    count: (number) => counts.get(number) ?? 0,
    requests: () => requests,
  };
}

/**
 * How long behind a whole answer the gateway is still expected to notice what comes: well less than a connection rests.
 * A process that stands still for longer would write into, or end, a connection that the next request already uses.
 */
const NOTICED_MS = 35;

async function say(socket: net.Socket, { pieces, wholeAt, ending }: Said): Promise<void> {
  let wholeMs = Infinity;
  const isTooLate = () => performance.now() - wholeMs > NOTICED_MS;
  for (const [n, { bytes, after }] of pieces.entries()) {
    if (n > 0) {
      await new Promise((resolve) =>
        after === "turn" ? setImmediate(resolve) : setTimeout(resolve, after),
      );
    }
    if (socket.destroyed || isTooLate()) return;
    socket.write(bytes);
    if (n === wholeAt) wholeMs = performance.now();
  }
  if (isTooLate()) return;
  if (ending === "ends") socket.end();
  if (ending === "resets") socket.resetAndDestroy();
}
