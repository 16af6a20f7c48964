/**
 * The wire between gateway and upstream: a TCP proxy that passes everything on, until it is told to cut one request or
 * one answer in half. Then it holds the rest back, says so, and never passes another byte of that connection.
 */
import net from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { Teardown } from "../support/teardown.ts";

export interface Wire {
  readonly url: string;
  /** `cut` is called once half of the request (or the answer) with this path has passed. */
  cutAt(side: "request" | "response", path: string, halfBytes: number, cut: () => void): void;
}

interface Cut {
  readonly side: "request" | "response";
  readonly path: string;
  readonly halfBytes: number;
  readonly cut: () => void;
}

export async function startWire(t: Teardown, upstreamPort: number): Promise<Wire> {
  let planned: Cut | undefined;
  const sockets = new Set<net.Socket>();
  const server = net.createServer((gateway) => {
    const upstream = net.connect(upstreamPort, "127.0.0.1");
    /** Once the request is seen on this connection, and how much of the side in question has passed since. */
    let mine: Cut | undefined;
    let passed = 0;
    const both = [gateway, upstream];
    for (const [socket, other] of [
      [gateway, upstream],
      [upstream, gateway],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    const pass = (side: Cut["side"], from: net.Socket, to: net.Socket) => (chunk: Buffer) => {
      if (side === "request" && planned !== undefined && chunk.includes(` ${planned.path} `)) {
        mine = planned;
        planned = undefined;
      }
      if (mine?.side !== side) {
        if (!to.write(chunk)) {
          from.pause();
          to.once("drain", () => from.resume());
        }
        return;
      }
      to.write(chunk.subarray(0, mine.halfBytes - passed));
      passed += chunk.length;
      if (passed < mine.halfBytes) return;
      for (const socket of both) socket.pause().removeAllListeners("data");
      mine.cut();
    };
    gateway.on("data", pass("request", gateway, upstream));
    upstream.on("data", pass("response", upstream, gateway));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cutAt(side, path, halfBytes, cut) {
      planned = { side, path, halfBytes, cut };
    },
  };
}
