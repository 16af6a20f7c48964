/**
 * A proxy that can be desynchronised: it goes by Content-Length alone. What finds nothing wrong with it finds nothing.
 */
import net from "node:net";
import type { Teardown } from "../support/teardown.ts";

/** Puts the client's address in and forwards what comes, by a length that need not be the true one. */
export async function startGullible(
  t: Teardown,
  upstreamPort: number,
): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> {
  const server = net.createServer((client) => {
    // It gives up on clients that wait, and is not found out by that.
    client.setTimeout(300, () => client.destroy());
    const upstream = net.connect(upstreamPort, "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
    upstream.pipe(client);
    let text = "";
    client.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (;;) {
        const headEnd = text.indexOf("\r\n\r\n");
        if (headEnd < 0) return;
        const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, headEnd))?.[1] ?? 0);
        const end = headEnd + 4 + length;
        if (text.length < end) return;
        const head = `${text.slice(0, headEnd)}\r\nX-Forwarded-For: ${client.remoteAddress}`;
        upstream.write(Buffer.from(head + text.slice(headEnd, end), "latin1"));
        text = text.slice(end);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  const stop = () => new Promise<void>((resolve) => server.close(() => resolve()));
  t.teardown(stop);
  return { port: address.port, stop };
}
