/** An upstream that remembers nothing but how often it was called, so that it can serve for hours. */
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Teardown } from "../support/teardown.ts";

export interface SoakUpstream {
  readonly url: string;
  /** Guarded requests that it has read whole. */
  executions(): number;
}

/** `/broken` is reset, `/large` answers with so many bytes, everything else echoes the size of what it got. */
export async function startSoakUpstream(t: Teardown, largeBytes: number): Promise<SoakUpstream> {
  const large = Buffer.alloc(largeBytes, "x");
  let executions = 0;
  const server = http.createServer((req, res) => {
    let bytes = 0;
    req.on("data", (chunk: Buffer) => (bytes += chunk.length));
    req.on("end", () => {
      if (req.headers["idempotency-key"] !== undefined) executions += 1;
      if (req.url === "/broken") {
        res.socket?.resetAndDestroy();
        return;
      }
      const body = req.url === "/large" ? large : Buffer.from(`got ${bytes} bytes`);
      res.writeHead(req.method === "POST" ? 201 : 200, { "Content-Length": body.length });
      res.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise((closed) => server.close(closed));
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, executions: () => executions };
}
