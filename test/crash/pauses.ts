/**
 * A gateway that is stopped in the middle and goes on when its leases are long over: another one has taken its keys,
 * so each of its late writes must be refused, and it may not send what it had not sent.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { BatchResult } from "../proof/row.ts";
import { LASTING, type Lasting } from "../process/store-places.ts";
import { bundled } from "../support/bundled.ts";
import { call } from "../support/client.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { outcomeOf, type Heard, type Shot } from "./book.ts";
import { inFlight, openLane, within, type Lane } from "./lane.ts";

/** Long enough for a busy machine to bring a gateway where it is stopped. */
const UPSTREAM_MS = 3000;
const STORE_MS = 750;
const LEASE_MS = UPSTREAM_MS + 2 * STORE_MS + 1000;
const LOOK_AGAIN_MS = 20;
const UNREACHED_MS = 30_000;

/** Where it is stopped: by a signal while the upstream has its calls, or by itself. */
const WHERE = ["waiting", "before-complete", "after-claim"] as const;
type Where = (typeof WHERE)[number];

/** One gateway that is stopped, and what its clients wait for. */
interface Paused {
  readonly unit: number;
  readonly where: Where;
  readonly gateway: GatewayProcess;
  /** Idempotent ones, which another gateway sends again once the lease is over: each has one late write. */
  readonly puts: readonly Shot[];
  /** Waits for a connection, and is never sent. */
  readonly post: Shot;
  readonly replies: Promise<readonly Heard[]>;
  readonly releaseAll: () => void;
}

export function pausePastLease(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const program = await bundled(t, "test/crash/gateway.ts");
    const units = Array.from({ length: count }, (_, n) => first + n);
    const lanes = await Promise.all(
      LASTING.map((store, n) => {
        const mine = units.filter((unit) => unit % LASTING.length === n);
        return pauseInLane(t, store, mine, program);
      }),
    );
    const sum = (of: (lane: Tally) => number): number =>
      lanes.reduce((total, lane) => total + of(lane), 0);
    return {
      done: sum(({ pauses }) => pauses),
      violations: lanes.flatMap(({ violations }) => violations),
      counts: {
        pauses: sum(({ pauses }) => pauses),
        "late writes": sum(({ lateWrites }) => lateWrites),
        "late writes refused": sum(({ refused }) => refused),
        executions: sum(({ executions }) => executions),
      },
    };
  });
}

interface Tally {
  readonly pauses: number;
  readonly lateWrites: number;
  readonly refused: number;
  readonly executions: number;
  readonly violations: readonly string[];
}

async function pauseInLane(
  t: Teardown,
  store: Lasting,
  units: readonly number[],
  program: string,
): Promise<Tally> {
  const lane = await openLane(t, store, {
    // One for each call that the upstream holds; what comes behind them waits.
    upstream: { timeout: `${UPSTREAM_MS}ms`, connections: 2 },
    store: { timeout: `${STORE_MS}ms`, lease: `${LEASE_MS}ms` },
  });
  const other = await lane.start();
  const started = await Promise.all(
    units.map((unit) => lane.start({ main: program, armed: `unit-${unit}` })),
  );
  const paused: Paused[] = [];
  for (const [n, gateway] of started.entries()) {
    paused.push(await bringToPause(lane, other, gateway, units[n] ?? 0));
  }
  const over = until(async () => (await inFlight(other)).length === 0);
  await within(UNREACHED_MS, "the end of the leases", over);
  const violations: string[] = [];
  let refused = 0;
  for (const one of paused) {
    const { lost, faults } = await goOn(lane, other, one);
    refused += lost;
    violations.push(...faults);
  }
  violations.push(...lane.book.judge(`${store}, pauses ${units.join(", ")}`, lane.ledger));
  return {
    pauses: paused.length,
    lateWrites: paused.reduce((sum, { puts }) => sum + puts.length, 0),
    refused,
    executions: lane.ledger.read().filter(({ event }) => event.kind === "execution").length,
    violations,
  };
}

/** Two calls at the upstream, two that wait for a connection, and then it stands still. */
async function bringToPause(
  { book, ledger }: Lane,
  other: GatewayProcess,
  gateway: GatewayProcess,
  unit: number,
): Promise<Paused> {
  const where = WHERE[Math.floor(unit / LASTING.length) % WHERE.length] ?? "waiting";
  const shot = (method: Shot["method"], name: string, point = "none"): Shot => ({
    method,
    path: `/unit-${unit}/pause/${point}/${name}`,
    key: `${name}-${unit}`,
    scope: "caller",
    body: `unit ${unit}`,
  });
  const send = (one: Shot): Promise<Heard> => book.send(gateway.url, one);
  const held = [shot("PUT", "held"), shot("PUT", "answered", "before-complete")];
  const gates = held.map(({ path }) => ledger.hold(path));
  const replies = held.map(send);
  await within(
    UNREACHED_MS,
    "two calls at the upstream",
    Promise.all(gates.map((g) => g.received)),
  );
  const queued = shot("PUT", "queued");
  const post = shot("POST", "queued-post");
  replies.push(send(queued), send(post));
  const claimed = until(async () => (await inFlight(other, `/unit-${unit}/`)).length === 4);
  await within(UNREACHED_MS, "four claims", claimed);
  const puts = [...held, queued];
  if (where === "waiting") gateway.signal("SIGSTOP");
  if (where === "before-complete") gates[1]?.release();
  if (where === "after-claim") {
    const late = shot("PUT", "claimed", where);
    puts.push(late);
    replies.push(send(late));
  }
  const stands = until(() => isStopped(gateway.pid));
  await within(UNREACHED_MS, `unit ${unit}: the pause at ${where}`, stands);
  return {
    unit,
    where,
    gateway,
    puts,
    post,
    replies: Promise.all(replies),
    releaseAll: () => {
      for (const gate of gates) gate.release();
    },
  };
}

/** Another gateway takes the keys; then this one goes on, with the upstream's answers and its deadlines all there. */
async function goOn(
  { book, ledger, store }: Lane,
  other: GatewayProcess,
  { unit, where, gateway, puts, post, replies, releaseAll }: Paused,
): Promise<{ readonly lost: number; readonly faults: readonly string[] }> {
  const faults: string[] = [];
  const expect = (what: string, found: unknown, right: unknown): void => {
    if (found !== right) faults.push(`${store}, unit ${unit}, ${where}: ${what}: ${String(found)}`);
  };
  for (const put of puts) {
    expect(`${put.key} elsewhere`, outcomeOf(await book.send(other.url, put)), "executed");
  }
  expect("a POST elsewhere", outcomeOf(await book.send(other.url, post)), "outcome-unknown");
  const before = ledger.count();
  releaseAll();
  gateway.signal("SIGCONT");
  await within(UNREACHED_MS, `unit ${unit}: its replies`, replies);
  expect("requests sent after the lease", ledger.count() - before, 0);
  const lost = await lostWrites(gateway);
  expect(`of ${puts.length} late writes were refused`, lost, puts.length);
  for (const put of puts) {
    for (const { url } of [gateway, other]) {
      expect(`${put.key} at last`, outcomeOf(await book.send(url, put)), "replayed");
    }
  }
  // Its owner knows that it was never sent, and has given it back.
  expect("the POST at last", outcomeOf(await book.send(other.url, post)), "executed");
  expect("exit code", await gateway.end("SIGTERM"), 0);
  return { lost, faults };
}

/** Asks again until it is so. */
export async function until(question: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await question())) await pause(LOOK_AGAIN_MS);
}

/** As `ps` shows it: `T`. */
export function isStopped(pid: number): boolean {
  return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.startsWith("T") === true;
}

async function lostWrites({ admin }: GatewayProcess): Promise<number> {
  const text = String((await call(`${admin}/metrics`)).body);
  const counts = text.matchAll(/^idempotency_gateway_lost_writes_total\{.*\} (\d+)$/gmu);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
