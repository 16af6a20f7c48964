/**
 * Ordinary traffic with nothing going wrong, in all four deployments, with a graceful stop and a new start in its
 * midst: fresh keys, repeats, duplicates at the same time, keys used for something else. The checker judges the history.
 */
import { check } from "../checker/check.ts";
import type { HistoryEvent } from "../checker/history.ts";
import type { BatchResult } from "../proof/row.ts";
import { Random } from "../support/random.ts";
import { call } from "../support/client.ts";
import { tempDir } from "../support/gateway.ts";
import { startRedis } from "../support/redis-server.ts";
import { PlainClient } from "../support/plain-client.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { digestOf, fingerprintOf, startPlainUpstream } from "./plain-upstream.ts";
import { quietGateway } from "./quiet-gateway.ts";

const PLACES = [
  { store: "embedded", workers: 1 },
  { store: "embedded", workers: 2 },
  { store: "redis", workers: 1 },
  { store: "redis", workers: 2 },
] as const;
type Place = (typeof PLACES)[number];

const LANES = 32;
const METHODS = ["POST", "POST", "PUT", "PATCH", "DELETE"];
const BODY_BYTES = [0, 20, 200, 200, 500, 500, 4000, 30_000];
/** Keys that are asked for again; the later half of a run also asks for those from before the stop. */
const REMEMBERED = 2000;

/** The units are dealt out to the deployments. */
export function runFaultFree(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const violations: string[] = [];
    const counts: Record<string, number> = {};
    let done = 0;
    for (const [n, place] of PLACES.entries()) {
      const share = Math.floor(count / PLACES.length) + (n < count % PLACES.length ? 1 : 0);
      const result = await withTeardown((own) => runPlace(t, own, place, first * 4 + n, share));
      done += share;
      violations.push(
        ...result.violations.map((text) => `${place.store}, ${place.workers}: ${text}`),
      );
      for (const [name, value] of Object.entries(result.counts)) {
        counts[name] = (counts[name] ?? 0) + value;
      }
    }
    return { done, violations, counts };
  });
}

interface Known {
  readonly key: string;
  readonly method: string;
  readonly body: string;
}

async function runPlace(
  t: Teardown,
  own: Teardown,
  place: Place,
  seed: number,
  count: number,
): Promise<Pick<BatchResult, "violations" | "counts">> {
  const events: HistoryEvent[] = [];
  const upstream = await startPlainUpstream(own, events);
  const store = place.store === "redis" ? (await startRedis(own)).url : `file:${tempDir(t)}`;
  const start = await quietGateway(own, {
    upstream: { url: upstream.url },
    store: { url: store, timeout: "5s" },
    workers: place.workers,
  });
  const run = new Run(own, events, new Random(seed));
  const violations: string[] = [];
  const counts: Record<string, number> = { requests: count };
  // The second one finds what the first has left.
  for (const share of [Math.ceil(count / 2), Math.floor(count / 2)]) {
    const gateway = await start();
    await run.ask(gateway.port, share);
    const { body } = await call(`${gateway.admin}/metrics`);
    for (const name of ["unknown_outcomes", "lost_writes", "store_errors"]) {
      const text = String(body);
      for (const [line, value] of text.matchAll(
        new RegExp(`^\\S*_${name}_total\\S* (\\d+)$`, "gmu"),
      )) {
        if (Number(value) > 0) violations.push(line);
      }
    }
    const code = await gateway.stop();
    if (code !== 0) violations.push(`a graceful stop ended with ${code}`);
    violations.push(...gateway.output);
  }
  const history = { name: `fault-free ${seed}`, faultFree: true, events };
  violations.push(...check(history).map(({ rule, text }) => `${rule}: ${text}`));
  if (upstream.executions() !== run.fresh) {
    violations.push(`${upstream.executions()} executions of ${run.fresh} keys`);
  }
  for (const [outcome, value] of run.outcomes) counts[outcome] = value;
  return { violations, counts };
}

class Run {
  readonly outcomes = new Map<string, number>();
  fresh = 0;
  readonly #t: Teardown;
  readonly #events: HistoryEvent[];
  readonly #random: Random;
  readonly #known: Known[] = [];
  readonly #underWay = new Map<string, Known>();
  #requests = 0;

  constructor(t: Teardown, events: HistoryEvent[], random: Random) {
    this.#t = t;
    this.#events = events;
    this.#random = random;
  }

  async ask(port: number, count: number): Promise<void> {
    let left = count;
    const clients = Array.from({ length: LANES }, () => new PlainClient(this.#t, port));
    await Promise.all(
      clients.map(async (client) => {
        for (; left > 0;) {
          left -= 1;
          await this.#one(client);
        }
      }),
    );
    for (const client of clients) client.close();
  }

  async #one(client: PlainClient): Promise<void> {
    const { known, fresh } = this.#draw();
    const request = (this.#requests += 1);
    const fingerprint = fingerprintOf(known.method, known.body);
    this.#events.push({
      kind: "request",
      request,
      scope: "",
      key: known.key,
      fingerprint,
      onUnknown: known.method === "PUT" || known.method === "DELETE" ? "resend" : "block",
      atMs: performance.now(),
    });
    if (fresh) this.#underWay.set(known.key, known);
    const answer = await client.ask(
      `${known.method} /things HTTP/1.1\r\nHost: x\r\nIdempotency-Key: ${known.key}\r\nContent-Type: text/plain\r\nContent-Length: ${known.body.length}\r\n\r\n${known.body}`,
    );
    const atMs = performance.now();
    if (fresh) {
      this.#underWay.delete(known.key);
      this.#remember(known);
    }
    if (answer === undefined) {
      this.#events.push({ kind: "no-reply", request, atMs });
      return;
    }
    const outcome = /^idempotency-status: (\S+)\r$/imu.exec(answer.head)?.[1] ?? "none";
    const carries = outcome === "executed" || outcome === "replayed";
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
    this.#events.push({
      kind: "reply",
      request,
      status: answer.status,
      outcome,
      ...(carries && { answer: digestOf(answer.status, answer.body) }),
      atMs,
    });
  }

  #draw(): { readonly known: Known; readonly fresh: boolean } {
    const random = this.#random;
    const kind = random.int(20);
    if (kind < 6 && this.#known.length > 0) {
      const known = random.pick(this.#known);
      // Every sixth of them for something else.
      return { known: kind === 0 ? { ...known, body: `${known.body}!` } : known, fresh: false };
    }
    if (kind < 9 && this.#underWay.size > 0) {
      return { known: random.pick([...this.#underWay.values()]), fresh: false };
    }
    this.fresh += 1;
    const key = `key-${this.fresh}`;
    const body = `${key} `.padEnd(random.pick(BODY_BYTES), "b");
    return { known: { key, method: random.pick(METHODS), body }, fresh: true };
  }

  #remember(known: Known): void {
    if (this.#known.length < REMEMBERED) this.#known.push(known);
    else this.#known[this.#random.int(REMEMBERED)] = known;
  }
}
