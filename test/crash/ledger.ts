/**
 * The upstream of the crash tests: it writes to a file, before anything else, that it has a request whole (receipt) and
 * what it answers (effect), and both count whatever becomes of the gateway that asked. How it answers, the path says.
 *
 *     /…/slow later   /…/busy 503, "not processed"   /…/reset it works, and the connection breaks   /…/large 256 KiB
 *     /…/probed as reset, and `/asked/KEY` tells what it would have answered
 */
import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { HistoryEvent } from "../checker/history.ts";
import { tempDir } from "../support/gateway.ts";
import type { Teardown } from "../support/teardown.ts";
import { startUpstream, writeAnswer, type Call } from "../support/upstream.ts";
import type { Told } from "./book.ts";

export const LARGE_BYTES = 256 * 1024;
const SLOW_MS = 20;

export interface Ledger {
  readonly url: string;
  readonly port: number;
  /** Requests of which at least the head has come. */
  count(): number;
  /** How often it was asked what became of this key. */
  asked(key: string): number;
  /** Runs between the receipt and the effect of the next request with this path. */
  between(path: string, work: () => unknown): void;
  /** Resolves with the receipt of the next request with this path; its effect waits for `release`. */
  hold(path: string): { readonly received: Promise<void>; release(): void };
  /** What the file says, each event with its place in the order of all that was seen. */
  read(): readonly Told[];
}

/** Two requests are the same where this is the same. */
export function fingerprintOf(method: string, path: string, body: string): string {
  return digestOf([method, path, body]);
}

/** The upstream's answer as far as it must reach its callers unchanged. */
export function answerDigest(
  status: number,
  execution: string | undefined,
  body: string | Uint8Array,
): string | undefined {
  if (execution === undefined) return undefined;
  return digestOf([String(status), execution, createHash("sha256").update(body).digest("hex")]);
}

function digestOf(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24);
}

/** `next` numbers what is seen, here and at the clients. */
export async function startLedger(t: Teardown, next: () => number): Promise<Ledger> {
  const file = join(tempDir(t), "ledger.jsonl");
  appendFileSync(file, "");
  const betweens = new Map<string, () => unknown>();
  const asked: string[] = [];
  const lost = new Map<string, Parameters<typeof writeAnswer>[1]>();
  let executions = 0;
  const write = (event: HistoryEvent): void =>
    appendFileSync(file, `${JSON.stringify({ seq: next(), event } satisfies Told)}\n`);

  const upstream = await startUpstream(t, {
    respond: async (call, req, res) => {
      const { url: path } = call;
      // What passes through changes nothing, and nobody promises anything of it.
      if (call.method === "GET") {
        await pause(SLOW_MS);
        const [, key] = /^\/asked\/(.+)$/u.exec(path) ?? [];
        if (key !== undefined) asked.push(key);
        writeAnswer(res, lost.get(key ?? "") ?? { body: path });
        return;
      }
      const execution = (executions += 1);
      write(receiptOf(execution, call));
      const work = betweens.get(path);
      betweens.delete(path);
      await work?.();
      const words = new Set(path.split("/"));
      if (words.has("slow")) await pause(SLOW_MS);
      const released = words.has("busy");
      const reset = words.has("reset");
      const text = `${call.method} ${path} is execution ${execution}. `;
      const body = words.has("large") ? text.padEnd(LARGE_BYTES, text) : text;
      const status = released ? 503 : 201;
      write({
        kind: "execution-end",
        execution,
        answer: reset ? undefined : answerDigest(status, String(execution), body),
        released,
        succeeded: !released,
        atMs: performance.now(),
      });
      if (reset) {
        req.socket.resetAndDestroy();
        return;
      }
      const headers = ["Content-Type", "text/plain", "X-Execution", String(execution)];
      if (words.has("probed")) {
        lost.set(call.all("idempotency-key")[0] ?? "none", { status, headers, body });
        req.socket.resetAndDestroy();
        return;
      }
      writeAnswer(res, { status, headers, body });
    },
  });
  return {
    url: upstream.url,
    port: upstream.port,
    count: () => upstream.count(),
    asked: (key) => asked.filter((each) => each === key).length,
    between: (path, work) => void betweens.set(path, work),
    hold(path) {
      let release = (): void => undefined;
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      const received = new Promise<void>((resolve) => {
        betweens.set(path, () => {
          resolve();
          return released;
        });
      });
      return { received, release };
    },
    read: () =>
      readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Told),
  };
}

function receiptOf(execution: number, call: Call): HistoryEvent {
  const fence = call.all("idempotency-fence")[0];
  return {
    kind: "execution",
    execution,
    scope: call.all("authorization")[0] ?? "nobody",
    key: call.all("idempotency-key")[0] ?? "none",
    fingerprint: fingerprintOf(call.method, call.url, String(call.body)),
    fence: fence === undefined ? undefined : Number(fence),
    atMs: performance.now(),
  };
}
