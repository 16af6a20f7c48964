/**
 * Fills a store with completed records and measures, at each of the sizes asked for, how long a claim of a new key
 * takes: one after the other, in batches, so that the median is the store's and not a pause's. Prints one line of JSON
 * for each size. Uses the gateway's own store, without the gateway around it.
 */
import { randomBytes } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { openStore } from "../../src/drivers.ts";
import type { Store } from "../../src/core/ports.ts";
import { bodyOf } from "../load.ts";
import { quantile } from "../statistics.ts";

const [url = "", sizes = ""] = process.argv.slice(2);
const CLAIMS = 5000;
const AT_ONCE = 256;
const LEASE_MS = 40_000;
const DAY_MS = 86_400_000;
const BODY = Buffer.from(bodyOf(180));
const HEADERS = [["Content-Type", "application/json"]] as const;

const store = await openStore({
  url,
  timeoutMs: 30_000,
  keyPrefix: "claims:",
  leaseMs: LEASE_MS,
  replicas: undefined,
});
// It is opened before it is connected to Redis.
while ((await store.problems()).length > 0) await nextTurn();
let records = 0;
for (const size of sizes.split(",").map(Number)) {
  const lanes = Array.from({ length: AT_ONCE }, () => fill(size));
  await Promise.all(lanes);
  await time(500); // The compiler's and the store's first times are not counted.
  const latencies = await time(CLAIMS);
  const at = (q: number): number => Math.round(quantile(latencies, q) * 1000);
  process.stdout.write(`${JSON.stringify({ records: size, p50: at(0.5), p99: at(0.99) })}\n`);
}
await store.close();

async function fill(size: number): Promise<void> {
  while (records < size) {
    records += 1;
    await complete(store, await claim(store));
  }
}

/** The claims are completed afterwards and count as records. */
async function time(n: number): Promise<Float64Array> {
  const latencies = new Float64Array(n);
  for (let i = 0; i < n; i += 1) {
    const began = performance.now();
    const claimed = await claim(store);
    latencies[i] = performance.now() - began;
    await complete(store, claimed);
    records += 1;
  }
  return latencies.sort();
}

interface Claimed {
  readonly id: string;
  readonly token: string;
}

async function claim(on: Store): Promise<Claimed> {
  const [id, token] = [randomBytes(32).toString("hex"), randomBytes(16).toString("hex")];
  const { kind } = await on.claim({
    id,
    token,
    fingerprint: id,
    method: "POST",
    target: "/v1/charges",
    route: "default",
    claimedBy: "gateway/1",
    leaseMs: LEASE_MS,
    unknownRetentionMs: 3 * DAY_MS,
    onUnknown: "block",
  });
  if (kind !== "granted") throw new Error(`a new key is ${kind}`);
  return { id, token };
}

async function complete(on: Store, { id, token }: Claimed): Promise<void> {
  const answer = { status: 201, headers: HEADERS, body: BODY };
  const { kind } = await on.complete(id, token, answer, DAY_MS);
  if (kind !== "done") throw new Error(`a completion is ${kind}`);
}
