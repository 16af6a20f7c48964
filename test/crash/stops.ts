/**
 * SIGTERM under load: clients with connections of their own and with new ones, more calls than there are connections to
 * the upstream, duplicates that wait, uploads half done, and requests that pass through. What the gateway's machine had
 * before the signal is answered and recorded, and nothing is made unknown by the stop.
 */
import http from "node:http";
import type { BatchResult } from "../proof/row.ts";
import { LASTING, type Lasting } from "../process/store-places.ts";
import { call } from "../support/client.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { outcomeOf, type Asked, type Shot } from "./book.ts";
import { openLane, recordsThatAre, within, type Lane } from "./lane.ts";

/** Fewer than there are clients, so that calls wait for one. */
const CONNECTIONS = 4;
const CLIENTS = 24;
const READERS = 4;
/** Replies before the signal, at least and at most. */
const REPLIES_FROM = 24;
const REPLIES_TO = 96;
/** Far more than the calls take that are there; hanging at the end is a violation. */
const STOPPED_MS = 10_000;

export function stopUnderLoad(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const units = Array.from({ length: count }, (_, n) => first + n);
    const lanes = await Promise.all(
      LASTING.map((store, n) => {
        const mine = units.filter((unit) => unit % LASTING.length === n);
        return stopInLane(t, store, mine);
      }),
    );
    const sum = (of: (lane: Tally) => number): number =>
      lanes.reduce((total, lane) => total + of(lane), 0);
    return {
      done: sum(({ stops }) => stops),
      violations: lanes.flatMap(({ violations }) => violations),
      counts: {
        stops: sum(({ stops }) => stops),
        requests: sum(({ requests }) => requests),
        executions: sum(({ executions }) => executions),
        "under way at the signal": sum(({ underWay }) => underWay),
        "at a closed door": sum(({ refused }) => refused),
      },
    };
  });
}

interface Stop {
  readonly asked: readonly Asked[];
  readonly underWay: number;
  readonly refused: number;
  readonly faults: readonly string[];
}

interface Tally {
  readonly stops: number;
  readonly requests: number;
  readonly executions: number;
  readonly underWay: number;
  readonly refused: number;
  readonly violations: readonly string[];
}

async function stopInLane(t: Teardown, store: Lasting, units: readonly number[]): Promise<Tally> {
  const lane = await openLane(t, store, {
    upstream: { timeout: "10s", connections: CONNECTIONS },
    store: { timeout: "2s", lease: "20s" },
    defaults: { onInFlight: "wait", waitTimeout: "10s" },
  });
  const violations: string[] = [];
  let underWay = 0;
  let refused = 0;
  let last: Stop | undefined;
  for (const unit of units) {
    // One process by turns with a primary and two workers.
    const workers = Math.floor(unit / LASTING.length) % 2 === 0 ? "1" : "2";
    const gateway = await lane.start(undefined, "--workers", workers);
    if (last !== undefined) violations.push(...(await replayed(lane, gateway, last.asked)));
    last = await stop(lane, gateway, unit, workers);
    underWay += last.underWay;
    refused += last.refused;
    violations.push(...last.faults);
  }
  if (last !== undefined)
    violations.push(...(await replayed(lane, await lane.start(), last.asked)));
  const name = `${store}, stops ${units.join(", ")}`;
  violations.push(...lane.book.judge(name, lane.ledger, true));
  return {
    stops: units.length,
    requests: lane.book.requests,
    executions: lane.ledger.read().filter(({ event }) => event.kind === "execution").length,
    underWay,
    refused,
    violations,
  };
}

async function stop(
  lane: Lane,
  gateway: GatewayProcess,
  unit: number,
  workers: string,
): Promise<Stop> {
  const load = startLoad(lane, gateway, unit);
  await load.replies(REPLIES_FROM + ((unit * 31) % (REPLIES_TO - REPLIES_FROM)));
  const uploads = [0, 1].map((n) => startUpload(gateway, `upload-${unit}-${n}`));
  await Promise.all(uploads.map(({ halfSent }) => halfSent));
  const signalMs = performance.now();
  // To the primary alone, as a container's end does it, or to all, as a terminal does.
  if (unit % 4 < 2) gateway.signal("SIGTERM");
  else gateway.signalAll("SIGTERM");
  await gateway.line("stopping");
  const uploaded = await Promise.all(uploads.map(({ finish }) => finish()));
  const faults: string[] = [];
  const fault = (what: string): void => {
    faults.push(`${lane.store}, stop ${unit}, ${workers} worker(s): ${what}`);
  };
  try {
    const code = await within(STOPPED_MS, "its end", gateway.ended);
    if (code !== 0) fault(`exit code ${code}`);
  } catch (error) {
    fault(String(error));
    gateway.signalAll("SIGKILL");
  }
  const { asked, reads } = await load.ended;
  for (const [n, outcome] of uploaded.entries()) {
    if (outcome !== "executed") fault(`upload ${n}, half sent before the signal: ${outcome}`);
  }
  const received = receivedKeys(lane);
  const answered = new Set(
    asked.filter(({ heard }) => heard !== undefined).map(({ shot }) => shot.key),
  );
  let refused = 0;
  for (const { request, shot, heard, sentMs } of asked) {
    if (heard !== undefined) continue;
    if (received.has(shot.key) && !answered.has(shot.key))
      fault(`${shot.key} was executed and its reply cut`);
    else if (sentMs !== undefined && sentMs < signalMs) {
      fault(`${shot.key} was sent ${(signalMs - sentMs).toFixed(1)} ms before the signal, and cut`);
    } else {
      refused += 1;
      lane.book.withdraw(request);
    }
  }
  for (const sentMs of reads.cutSentMs) {
    if (sentMs < signalMs) {
      fault(`a read was sent ${(signalMs - sentMs).toFixed(1)} ms before the signal, and cut`);
    }
  }
  const said = gateway.output.at(-1) ?? "nothing";
  if (!said.includes('"stopped"')) fault(`its last line: ${said}`);
  if (gateway.stderr.length > 0) fault(`on standard error: ${gateway.stderr.join(" ")}`);
  return { asked, underWay: load.underWayAt(signalMs), refused, faults };
}

function receivedKeys({ ledger }: Lane): ReadonlySet<string> {
  const keys = ledger.read().map(({ event }) => (event.kind === "execution" ? event.key : ""));
  return new Set(keys);
}

interface Load {
  /** Resolves when this many have come. */
  replies(n: number): Promise<void>;
  /** Resolves when the last client has met a closed door. */
  readonly ended: Promise<{
    readonly asked: readonly Asked[];
    readonly reads: { readonly cutSentMs: readonly number[] };
  }>;
  /** Sent before and not answered by then. */
  underWayAt(ms: number): number;
}

/** Each client asks with one fresh key after another until nobody answers any more. */
function startLoad({ book }: Lane, { url }: GatewayProcess, unit: number): Load {
  const asked: Asked[] = [];
  const answeredMs = new Map<number, number>();
  const cutSentMs: number[] = [];
  let replies = 0;
  const waiting = new Set<() => void>();
  const ask = async (shot: Shot, agent?: http.Agent): Promise<boolean> => {
    const answer = await book.ask(url, shot, agent);
    asked.push(answer);
    if (answer.heard === undefined) return false;
    answeredMs.set(answer.request, performance.now());
    replies += 1;
    for (const look of waiting) look();
    return true;
  };
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    const keeps = client % 2 === 0;
    const agent = keeps ? new http.Agent({ keepAlive: true, maxSockets: 2 }) : undefined;
    for (let n = 0; ; n += 1) {
      const shot: Shot = {
        method: client % 3 === 0 ? "PUT" : "POST",
        path: "/stop/slow",
        key: `key-${unit}-${client}-${n}`,
        scope: "caller",
        body: "x",
      };
      // Some send each twice at once, and the second waits for the first.
      const times = client % 8 === 0 ? 2 : 1;
      const met = await Promise.all(Array.from({ length: times }, () => ask(shot, agent)));
      if (met.every((answered) => !answered)) break;
    }
    agent?.destroy();
  });
  const readers = Array.from({ length: READERS }, async () => {
    for (;;) {
      let sentMs = Infinity;
      const onSent = (): void => {
        sentMs = performance.now();
      };
      try {
        await call(`${url}/read`, { onSent });
      } catch {
        // Nobody there, or cut: which of them, its time says.
        cutSentMs.push(sentMs);
        return;
      }
    }
  });
  return {
    replies: (n) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (replies < n) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    ended: Promise.all([...clients, ...readers]).then(() => ({ asked, reads: { cutSentMs } })),
    underWayAt: (ms) =>
      asked.filter(
        ({ request, sentMs = Infinity }) =>
          sentMs <= ms && (answeredMs.get(request) ?? Infinity) > ms,
      ).length,
  };
}

/** A guarded request whose body comes in two parts. */
function startUpload(
  { url }: GatewayProcess,
  key: string,
): { readonly halfSent: Promise<void>; readonly finish: () => Promise<string> } {
  const req = http.request(`${url}/stop/quick`, {
    method: "POST",
    agent: false,
    headers: { "Idempotency-Key": key, Authorization: "caller", "Content-Length": "8" },
  });
  const outcome = new Promise<string>((resolve) => {
    req.on("error", (error: NodeJS.ErrnoException) => resolve(`cut (${error.code})`));
    req.on("response", (res) => {
      res.resume();
      res.on("end", () => resolve(String(res.headers["idempotency-status"])));
      res.on("error", () => resolve("cut in its answer"));
    });
  });
  const halfSent = new Promise<void>((resolve) => {
    req.write("half", () => resolve());
  });
  return {
    halfSent,
    finish: () => {
      req.end("half");
      return outcome;
    },
  };
}

/** Nothing is left in flight or unknown behind a stop, and whoever had an answer gets it again. */
async function replayed(
  { book, store }: Lane,
  gateway: GatewayProcess,
  asked: readonly Asked[],
): Promise<readonly string[]> {
  const { url } = gateway;
  const faults: string[] = [];
  for (const state of ["in-flight", "unknown"] as const) {
    const left = await recordsThatAre(state, gateway);
    if (left.length > 0) faults.push(`${store}: ${left.length} records ${state} after the stop`);
  }
  const left = new Map(
    asked.filter(({ heard }) => heard !== undefined).map(({ shot }) => [shot.key, shot]),
  );
  const shots = [...left.values()];
  const clients = Array.from({ length: CLIENTS }, async () => {
    for (let shot = shots.pop(); shot !== undefined; shot = shots.pop()) {
      const outcome = outcomeOf(await book.send(url, shot));
      if (outcome !== "replayed") faults.push(`${store}: ${shot.key} after the stop: ${outcome}`);
    }
  });
  await Promise.all(clients);
  return faults;
}
