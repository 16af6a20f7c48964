/**
 * An upstream that costs next to nothing and writes down what it executed: requests framed by Content-Length, answers
 * that name their execution.
 */
import { createHash } from "node:crypto";
import net from "node:net";
import type { AddressInfo } from "node:net";
import type { HistoryEvent } from "../checker/history.ts";
import type { Teardown } from "../support/teardown.ts";

export interface PlainUpstream {
  readonly url: string;
  executions(): number;
}

/** Each hundredth answer is this long. */
const LONG_BYTES = 20_000;

export async function startPlainUpstream(
  t: Teardown,
  events: HistoryEvent[],
): Promise<PlainUpstream> {
  const sockets = new Set<net.Socket>();
  let executions = 0;

  function execute(socket: net.Socket, head: string, body: string): void {
    const execution = (executions += 1);
    const atMs = performance.now();
    const method = head.slice(0, head.indexOf(" "));
    const key = /^idempotency-key: (.*)\r$/imu.exec(head)?.[1] ?? "";
    const fence = /^idempotency-fence: (\d+)\r$/imu.exec(head)?.[1];
    events.push({
      kind: "execution",
      execution,
      scope: "",
      key,
      fingerprint: fingerprintOf(method, body),
      fence: fence === undefined ? undefined : Number(fence),
      atMs,
    });
    const status = execution % 7 === 0 ? 422 : 201;
    const answer = `execution ${execution} of ${key} `.padEnd(
      execution % 100 === 0 ? LONG_BYTES : 0,
      "a",
    );
    socket.write(
      `HTTP/1.1 ${status} Done\r\nContent-Type: text/plain\r\nContent-Length: ${answer.length}\r\n\r\n${answer}`,
    );
    events.push({
      kind: "execution-end",
      execution,
      answer: digestOf(status, answer),
      released: false,
      succeeded: status === 201,
      atMs,
    });
  }

  const server = net.createServer({ noDelay: true }, (socket) => {
    let text = "";
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const end = text.indexOf("\r\n\r\n") + 4;
      if (end < 4) return;
      const head = text.slice(0, end);
      const length = Number(/^content-length: (\d+)\r$/imu.exec(head)?.[1] ?? 0);
      if (text.length < end + length) return;
      const body = text.slice(end, end + length);
      text = text.slice(end + length);
      execute(socket, head, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((closed) => server.close(closed));
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, executions: () => executions };
}

export function fingerprintOf(method: string, body: string): string {
  return `${method} ${body.length} ${body.slice(0, 20)} ${body.slice(-1)}`;
}

/** Of what is told: small ones as they are. */
export function digestOf(status: number, body: string): string {
  const text = body.length < 200 ? body : createHash("md5").update(body, "latin1").digest("hex");
  return `${status} ${text}`;
}
