/**
 * Open-loop load: a guarded POST is due every 1/rate seconds whether or not those before are answered, and its latency
 * counts from when it was due, so that a stall is seen by all who would have come during it. Prints one line of JSON,
 * latencies in microseconds. A program of its own, so that nothing else runs on its event loop.
 */
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { Pool } from "undici";
import { bodyOf } from "../load.ts";
import { quantile } from "../statistics.ts";

const [url = "", prefix = "", rate = "", seconds = "", warmUp = "", connections = ""] =
  process.argv.slice(2);
const pool = new Pool(url, { connections: Number(connections), pipelining: 1 });
const body = bodyOf(250);
const everyMs = 1000 / Number(rate);
const uncounted = Math.round(Number(warmUp) * Number(rate));
const total = uncounted + Math.round(Number(seconds) * Number(rate));
const latencies = new Float64Array(total - uncounted);
let broken = 0;

const running = new Set<Promise<void>>();
const began = performance.now() + 10;
for (let n = 0; n < total;) {
  const now = performance.now();
  for (; n < total && began + n * everyMs <= now; n += 1) {
    const one = send(n, began + n * everyMs).finally(() => running.delete(one));
    running.add(one);
  }
  // A timer may be late by a millisecond; the last stretch is waited for turn by turn.
  if (began + n * everyMs - performance.now() > 2) await pause(1);
  else await nextTurn();
}
await Promise.all(running);
await pool.close();
latencies.sort();
const at = (q: number): number => Math.round(quantile(latencies, q) * 1000);
const figures = { requests: total, broken, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
process.stdout.write(`${JSON.stringify(figures)}\n`);

async function send(n: number, dueMs: number): Promise<void> {
  try {
    const { statusCode, body: answer } = await pool.request({
      method: "POST",
      path: "/v1/charges",
      headers: { "content-type": "application/json", "idempotency-key": `${prefix}-${n}` },
      body,
    });
    await answer.dump();
    if (statusCode !== 201) broken += 1;
  } catch {
    broken += 1;
  }
  if (n >= uncounted) latencies[n - uncounted] = performance.now() - dueMs;
}
