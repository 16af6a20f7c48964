/** The check before the time is taken: an honest guard passes, and each way of being fast and wrong is caught. */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import t, { type Test } from "tap";
import type { Contender, Started } from "../../bench/contenders.ts";
import { checkCorrect, RACERS } from "../../bench/correctness.ts";
import type { Gate, Site } from "../../bench/site.ts";

type Fault = "twice" | "other bytes" | "any body" | "racers" | "in flight" | "short" | "nothing";

interface Answered {
  readonly body: string;
  readonly of: string;
}

/** A guard of a few lines, with its upstream in it, that is wrong in one way. */
class Guard {
  executions = 0;
  #arrived: (() => void) | undefined;
  /** Ends the execution of the key. */
  readonly #release = new Map<string, () => void>();
  readonly #asked = new Map<string, number>();
  readonly #fault: Fault;
  readonly #records = new Map<string, Answered | "in flight">();

  constructor(fault: Fault) {
    this.#fault = fault;
  }

  readonly gate: Gate = {
    hold: () =>
      new Promise((resolve) => {
        this.#arrived = resolve;
      }),
    release: () => this.#release.get("slow")?.(),
  };

  async answer(path: string, key: string, body: string): Promise<readonly [number, string]> {
    const asked = (this.#asked.get(key) ?? 0) + 1;
    this.#asked.set(key, asked);
    // The first racer is under way until all are here.
    if (asked === RACERS) setImmediate(() => this.#release.get(key)?.());
    const found = this.#records.get(key);
    const fault = this.#fault;
    if (found === "in flight") {
      if (fault !== (path === "/held" ? "in flight" : "racers")) return [409, "in flight"];
      // What the fault lets through is executed, and answered at once.
      this.executions += 1;
      return [201, this.#fresh()];
    }
    if (found !== undefined && fault !== "nothing" && (fault !== "twice" || found.of !== body)) {
      if (found.of !== body && fault !== "any body") return [409, "other body"];
      return [201, fault === "other bytes" ? this.#fresh() : found.body];
    }
    this.#records.set(key, "in flight");
    const answer = await this.#execute(path, key);
    this.#records.set(key, { body: answer, of: body });
    return [201, answer];
  }

  async #execute(path: string, key: string): Promise<string> {
    this.executions += 1;
    const fresh = this.#fresh();
    if (path !== "/held" && !key.startsWith("raced-")) return fresh;
    const released = new Promise<void>((resolve) => this.#release.set(key, resolve));
    if (path === "/held") this.#arrived?.();
    await released;
    return path === "/held" ? "held" : fresh;
  }

  #fresh(): string {
    return `${this.#fault === "short" ? "" : "x".repeat(144)}${crypto.randomUUID()}`;
  }
}

async function check(t: Test, fault: Fault | undefined, guards = true): Promise<void> {
  const guard = new Guard(fault ?? ("none" as Fault));
  const server = http.createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      const key = String(req.headers["idempotency-key"]);
      void guard
        .answer(req.url ?? "", key, Buffer.concat(chunks).toString())
        .then(([status, body]) => res.writeHead(status).end(body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const contender = { name: "made up", guards } as Contender;
  const site = { gate: guard.gate, executions: async () => guard.executions } as unknown as Site;
  await checkCorrect(contender, { url } as Started, site);
}

t.test("a guard that keeps its word passes", async (t) => {
  await check(t, undefined);
});

t.test("one that only passes on is not asked for more", async (t) => {
  await check(t, "nothing", false);
});

const CAUGHT: Readonly<Record<Fault, RegExp>> = {
  short: /an answer has 36 bytes/u,
  nothing: /replays: the upstream was called 20 times|a replay is another answer/u,
  twice: /a replay is another answer/u,
  "other bytes": /a replay is another answer/u,
  "any body": /another body is answered 201/u,
  racers: /racers get different answers/u,
  "in flight": /a duplicate in flight is answered 201/u,
};

for (const [fault, message] of Object.entries(CAUGHT)) {
  t.test(`caught: ${fault}`, async (t) => {
    await t.rejects(check(t, fault as Fault), { message });
  });
}
