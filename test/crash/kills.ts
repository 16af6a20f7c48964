/**
 * Kill -9 at each failpoint on each store: the gateway dies there, another takes over, and every key is asked for until
 * its answer is final. Each death is also held against what must be true at its failpoint, or it was not there.
 */
import type { BatchResult } from "../proof/row.ts";
import { bundled } from "../support/bundled.ts";
import type { GatewayProcess } from "../support/gateway-process.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import { LASTING, type Lasting } from "../process/store-places.ts";
import { outcomeOf, type Shot } from "./book.ts";
import { FINAL, openLane, settle, within, type Lane } from "./lane.ts";
import { LARGE_BYTES } from "./ledger.ts";
import { isOuter, isProbed, PLACES, POINTS, type Point } from "./points.ts";

/** Far behind everything that a unit waits for. */
const UNREACHED_MS = 30_000;

/** Units of one round: every place on every store once. */
export const ROUND = PLACES.length * LASTING.length;

interface Death {
  readonly unit: number;
  readonly point: Point;
  readonly victim: Shot;
  /** Executed and told before the gateway died. */
  readonly bystander: Shot;
}

interface Unit {
  readonly unit: number;
  readonly store: Lasting;
  readonly point: Point;
}

export function unitAt(unit: number): Unit {
  const store = LASTING[unit % LASTING.length] ?? "embedded";
  const place = PLACES[Math.floor(unit / LASTING.length) % PLACES.length] ?? [];
  const point = place[Math.floor(unit / ROUND) % place.length] ?? "before-claim";
  return { unit, store, point };
}

export function killAtFailpoints(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const program = await bundled(t, "test/crash/gateway.ts");
    const units = Array.from({ length: count }, (_, n) => unitAt(first + n));
    const results = await Promise.all(
      LASTING.map((store) => {
        const mine = units.filter((unit) => unit.store === store);
        return mine.length === 0 ? [] : [killInLane(t, store, mine, program)];
      }).flat(),
    );
    return {
      done: results.reduce((sum, { kills }) => sum + kills, 0),
      violations: results.flatMap(({ violations }) => violations),
      counts: {
        kills: results.reduce((sum, { kills }) => sum + kills, 0),
        requests: results.reduce((sum, { requests }) => sum + requests, 0),
        executions: results.reduce((sum, { executions }) => sum + executions, 0),
      },
    };
  });
}

const PROBED = {
  name: "probed",
  match: { methods: ["POST"], path: "/:unit/kill/:point/probed" },
  onUnknown: "probe",
  probe: { path: "/asked/{key}" },
};

async function killInLane(
  t: Teardown,
  store: Lasting,
  units: readonly Unit[],
  program: string,
): Promise<{ kills: number; requests: number; executions: number; violations: string[] }> {
  const lane = await openLane(t, store, { routes: [PROBED] });
  const violations: string[] = [];
  const deaths: Death[] = [];
  for (const { unit, point } of units) {
    const gateway = await lane.start(
      isOuter(point) ? undefined : { main: program, armed: `unit-${unit}` },
    );
    const last = deaths.at(-1);
    if (last !== undefined) violations.push(...(await revisit(lane, gateway, last)));
    const { death, faults } = await kill(lane, gateway, unit, point);
    deaths.push(death);
    violations.push(...faults);
  }
  const survivor = await lane.start();
  const last = deaths.at(-1);
  if (last !== undefined) violations.push(...(await revisit(lane, survivor, last)));
  const shots = deaths.flatMap(({ victim, bystander }) => [victim, bystander]);
  const { book, ledger } = lane;
  for (const [shot, heard] of await settle(lane, survivor, shots)) {
    const final = FINAL.has(outcomeOf(heard));
    if (!final) violations.push(`${shot.key}: not final: ${heard?.status} ${outcomeOf(heard)}`);
  }
  const name = `${store}, units ${units[0]?.unit} to ${units.at(-1)?.unit}`;
  violations.push(...book.judge(name, ledger));
  const executions = ledger.read().filter(({ event }) => event.kind === "execution").length;
  return { kills: deaths.length, requests: book.requests, executions, violations };
}

/** Leads a request to the failpoint, where its gateway dies. */
async function kill(
  lane: Lane,
  gateway: GatewayProcess,
  unit: number,
  point: Point,
): Promise<{ readonly death: Death; readonly faults: readonly string[] }> {
  const { book, ledger, wire, store } = lane;
  const size = point === "mid-response" ? "large" : isProbed(point) ? "probed" : "small";
  const path = `/unit-${unit}/kill/${point}/${size}`;
  const scope = `caller-${unit % 3}`;
  const victim: Shot = {
    method: Math.floor(unit / 2) % 3 === 2 && !isProbed(point) ? "PUT" : "POST",
    path,
    key: `victim-${unit}`,
    scope,
    body: point === "mid-request" ? `unit ${unit}`.padEnd(LARGE_BYTES, ".") : `unit ${unit}`,
  };
  const bystander: Shot = {
    method: "POST",
    path: "/bystander",
    key: `bystander-${unit}`,
    scope,
    body: "done",
  };
  const faults: string[] = [];
  const expect = (what: string, found: unknown, right: unknown): void => {
    if (found !== right) faults.push(`${store}, unit ${unit}, ${point}: ${what}: ${String(found)}`);
  };
  const done = await book.send(gateway.url, bystander);
  expect("before it", outcomeOf(done), "executed");

  const end = (): void => gateway.signal("SIGKILL");
  if (point === "mid-request") wire.cutAt("request", path, LARGE_BYTES / 2, end);
  if (point === "mid-response") wire.cutAt("response", path, LARGE_BYTES / 2, end);
  if (point === "waiting") ledger.between(path, () => (end(), gateway.ended));
  if (point === "during-stop") {
    ledger.between(path, async () => {
      gateway.signal("SIGTERM");
      await gateway.line("stopping");
      end();
      await gateway.ended;
    });
  }
  if (isProbed(point)) {
    expect("first", outcomeOf(await book.send(gateway.url, victim)), "outcome-unknown");
  }
  const heard = await book.send(gateway.url, victim);
  const code = await within(UNREACHED_MS, `unit ${unit}: the end at ${point}`, gateway.ended);
  expect("exit code", code, null);

  const truth = POINTS[point];
  expect("its client heard", heard && outcomeOf(heard), truth.heard);
  const receipts = ledger.read().filter(({ event }) => {
    return event.kind === "execution" && event.key === victim.key;
  });
  expect("executions", receipts.length, truth.executions);
  expect("probes", ledger.asked(victim.key), isProbed(point) ? 1 : 0);
  return { death: { unit, point, victim, bystander }, faults };
}

/** What the next gateway tells of the keys that the last one left behind. */
async function revisit(
  { book, ledger, store }: Lane,
  { url }: GatewayProcess,
  { unit, point, victim, bystander }: Death,
): Promise<readonly string[]> {
  const retry = outcomeOf(await book.send(url, victim));
  const done = outcomeOf(await book.send(url, bystander));
  const reuse = outcomeOf(await book.send(url, { ...victim, body: "other" }));
  const at = `${store}, unit ${unit}, ${point}: after the restart`;
  const probes = ledger.asked(victim.key);
  return [
    ...(wanted(point, victim).includes(retry) ? [] : [`${at}, its retry: ${retry}`]),
    ...(probes === askedBy(point) ? [] : [`${at}, probes: ${probes}`]),
    ...(done === "replayed" ? [] : [`${at}, its bystander: ${done}`]),
    ...(reuse === "key-reused" ? [] : [`${at}, with another body: ${reuse}`]),
  ];
}

/** What the first gateway has written down need not be asked again. */
function askedBy(point: Point): number {
  if (!isProbed(point)) return 0;
  return POINTS[point].record === "completed" ? 1 : 2;
}

function wanted(point: Point, { method }: Shot): readonly string[] {
  switch (POINTS[point].record) {
    case "absent":
      return ["executed"];
    case "unknown":
    case "completed":
      return ["replayed"];
    case "in-flight":
      // The lease may be over by now.
      return ["in-flight", method === "PUT" ? "executed" : "outcome-unknown"];
  }
}
