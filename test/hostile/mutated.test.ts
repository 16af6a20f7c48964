/** Mutated requests, the CI part; and that the same traffic finds a proxy out that can be desynchronised. */
import net from "node:net";
import t from "tap";
import { fuzz } from "./fuzz.ts";
import { rows } from "./rows.ts";
import type { StartGateway } from "./serving.ts";

t.test("mutated requests: no desync, no crash, no hang", async (t) => {
  const row = rows.find(({ name }) => name === "mutated-requests");
  if (row === undefined) throw new Error("no such row");
  const result = await row.run(0, row.ci);
  t.same(result.violations, []);
  t.equal(result.done, row.ci);
  t.comment(JSON.stringify(result.counts));
  // Requests that reach the upstream, and those that are refused: with one of them missing nothing would be tried.
  t.ok((result.counts["answers 200"] ?? 0) > row.ci / 20);
  t.ok((result.counts["answers 400"] ?? 0) > row.ci / 20);
  t.ok((result.counts["requests at the upstream"] ?? 0) > row.ci / 20);
});

t.test("the same traffic finds out a proxy that goes by Content-Length alone", async (t) => {
  const { violations } = await fuzz(0, 400, startGullible);
  t.match(violations.join("\n"), /became|malformed|left over/);
});

/** Puts the client's address in and forwards what comes, by a length that need not be the true one. */
const startGullible: StartGateway = async (t, upstreamPort) => {
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
};
