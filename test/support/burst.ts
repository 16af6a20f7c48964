/**
 * Many clients that send at the same moment: connections that stand beforehand, and requests that leave in one turn of
 * the event loop. Knows nothing of what the answers mean.
 */
import { answerOf, type Answer } from "./client.ts";
import { PlainClient } from "./plain-client.ts";
import type { Teardown } from "./teardown.ts";

export interface Shot {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** ASCII. */
  readonly body: string;
}

export interface Burst {
  readonly size: number;
  /** The n-th request goes down the n-th connection; all of them leave now. At most `size`, and not before the last are over. */
  fire(shots: readonly Shot[]): readonly Promise<Answer>[];
}

/** Opens `size` connections, dealt out to the gateways in turn, and waits until all of them stand. */
export async function openBurst(
  t: Teardown,
  gateways: readonly string[],
  size: number,
): Promise<Burst> {
  const lanes = Array.from({ length: size }, (_, n) => new Lane(t, gateways[n % gateways.length]!));
  await Promise.all(lanes.map((lane) => lane.open()));
  return { size, fire: (shots) => shots.map((shot, n) => lanes[n]!.ask(shot)) };
}

/** One request at a time, down one connection for as long as the gateway keeps it. */
class Lane {
  readonly #host: string;
  readonly #client: PlainClient;

  constructor(t: Teardown, url: string) {
    const { host, port } = new URL(url);
    this.#host = host;
    this.#client = new PlainClient(t, Number(port));
  }

  open(): Promise<void> {
    return this.#client.open();
  }

  async ask({ method, path, headers, body }: Shot): Promise<Answer> {
    const fields = Object.entries({ ...headers, "Content-Length": String(body.length) });
    const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const head = `${method} ${path} HTTP/1.1\r\nHost: ${this.#host}\r\n${lines}\r\n`;
    const answer = await this.#client.ask(head + body);
    if (answer === undefined) throw new Error("the connection was closed before the answer");
    if (!/^content-length: \d+\r$/imu.test(answer.head)) {
      throw new Error(`an answer without a length:\n${answer.head}`);
    }
    const rawHeaders = answer.head
      .trimEnd()
      .split("\r\n")
      .slice(1)
      .flatMap((field) => {
        const at = field.indexOf(":");
        return [field.slice(0, at), field.slice(at + 1).trim()];
      });
    return answerOf({ statusCode: answer.status, rawHeaders }, Buffer.from(answer.body, "latin1"));
  }
}

/** Resolves when `n` of them have settled. */
export function settled(n: number, promises: readonly Promise<unknown>[]): Promise<void> {
  return new Promise((resolve) => {
    let left = n;
    const one = (): void => {
      left -= 1;
      if (left === 0) resolve();
    };
    for (const promise of promises) promise.then(one, one);
  });
}
