/**
 * Kill -9 at random times under concurrent clients that never stop asking: fresh keys, retries, reused keys and
 * duplicates side by side, an upstream that is quick, slow, busy or breaks, and each gateway's end somewhere in it.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { BatchResult } from "../proof/row.ts";
import { LASTING, type Lasting } from "../process/store-places.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";
import { Random } from "../support/random.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { outcomeOf, type Shot } from "./book.ts";
import { FINAL, openLane, settle, within, type Lane } from "./lane.ts";

const CLIENTS = 8;
/** Until when a gateway that takes traffic is dead. */
const LONGEST_MS = 250;
/** Far behind everything that a worker waits for when another one dies. */
const OUTLIVED_MS = 10_000;
/** Keys that are asked for again: the latest of the lane, some of them from gateways that are dead. */
const REMEMBERED = 40;

const UPSTREAM = ["quick", "quick", "quick", "slow", "large", "busy", "reset"];

/** What the upstream calls "not processed" may be asked for for ever, and another body may have come first. */
const ALSO_FINAL: ReadonlySet<string> = new Set(["released", "key-reused"]);

export function killAtRandom(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const units = Array.from({ length: count }, (_, n) => first + n);
    const lanes = await Promise.all(
      LASTING.map((store, n) => {
        const mine = units.filter((unit) => unit % LASTING.length === n);
        return killInLane(t, store, mine);
      }),
    );
    const sum = (of: (lane: Tally) => number): number =>
      lanes.reduce((total, lane) => total + of(lane), 0);
    return {
      done: sum(({ kills }) => kills),
      violations: lanes.flatMap(({ violations }) => violations),
      counts: {
        kills: sum(({ kills }) => kills),
        requests: sum(({ requests }) => requests),
        executions: sum(({ executions }) => executions),
        keys: sum(({ keys }) => keys),
      },
    };
  });
}

interface Tally {
  readonly kills: number;
  readonly requests: number;
  readonly executions: number;
  readonly keys: number;
  readonly violations: readonly string[];
}

async function killInLane(t: Teardown, store: Lasting, units: readonly number[]): Promise<Tally> {
  const lane = await openLane(t, store);
  const shots: Shot[] = [];
  for (const unit of units) await killUnderLoad(lane, unit, shots);
  const { book, ledger } = lane;
  const violations: string[] = [];
  for (const [shot, heard] of await settle(lane, await lane.start(), shots)) {
    const final = FINAL.has(outcomeOf(heard)) || ALSO_FINAL.has(outcomeOf(heard));
    if (!final) violations.push(`${shot.key}: not final: ${heard?.status} ${outcomeOf(heard)}`);
  }
  const name = `${store}, random units ${units[0]} to ${units.at(-1)}`;
  violations.push(...book.judge(name, ledger));
  const executions = ledger.read().filter(({ event }) => event.kind === "execution").length;
  return {
    kills: units.length,
    requests: book.requests,
    executions,
    keys: shots.length,
    violations,
  };
}

async function killUnderLoad(lane: Lane, unit: number, shots: Shot[]): Promise<void> {
  const random = new Random(unit);
  const workers = Math.floor(unit / LASTING.length) % 5 === 4 ? 2 : 1;
  const gateway = await lane.start(undefined, "--workers", String(workers));
  const dead = new AbortController();
  const ended = gateway.ended.then(() => dead.abort());
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!dead.signal.aborted) {
      const shot = nextShot(unit, shots, random);
      const times = random.chance(0.2) ? 2 : 1;
      await Promise.all(Array.from({ length: times }, () => lane.book.send(gateway.url, shot)));
    }
  });
  await pause(random.int(LONGEST_MS));
  if (workers > 1) {
    // One dies alone first, perhaps in the middle of a write to the store that the other one shares with it.
    const [line] = await gateway.lines(1, ({ msg }) => msg === "worker listening");
    process.kill(Number(line?.["pid"]), "SIGKILL");
    await within(
      OUTLIVED_MS,
      "an answer of the worker that is left",
      answered(lane, gateway, unit),
    );
  }
  gateway.signalAll("SIGKILL");
  await ended;
  await Promise.all(clients);
}

/** The other worker goes on: with a connection that met the dead one it is asked again. */
async function answered({ book }: Lane, { url }: GatewayProcess, unit: number): Promise<void> {
  for (let n = 0; ; n += 1) {
    const shot: Shot = {
      method: "POST",
      path: "/random/quick",
      key: `outlived-${unit}-${n}`,
      scope: "caller-0",
      body: "x",
    };
    if (outcomeOf(await book.send(url, shot)) === "executed") return;
  }
}

function nextShot(unit: number, shots: Shot[], random: Random): Shot {
  const known = shots[shots.length - 1 - random.int(REMEMBERED)];
  if (known !== undefined && random.chance(0.4)) {
    return random.chance(0.1) ? { ...known, body: "another body" } : known;
  }
  const manner = random.pick(UPSTREAM);
  const shot: Shot = {
    method: random.chance(0.3) ? "PUT" : "POST",
    path: `/random/${manner}`,
    key: `key-${unit}-${shots.length}`,
    scope: `caller-${random.int(3)}`,
    body: `unit ${unit}`,
  };
  shots.push(shot);
  return shot;
}
