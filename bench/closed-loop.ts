/**
 * Runs one closed-loop workload: prepares what is to be replayed, and then the contenders take turns: A B C A B C, each time a warm-up and a timed stretch. What it prepares in bulk tells the memory of a record.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Contender, Started } from "./contenders.ts";
import { post } from "./correctness.ts";
import type { Entrant } from "./lineup.ts";
import { applyLoad, bodyOf, type LoadPlan } from "./load.ts";
import type { Options } from "./options.ts";
import type { Sample } from "./results.ts";
import type { Run } from "./run.ts";
import { takeSample } from "./sample.ts";
import type { Site } from "./site.ts";
import type { Workload } from "./workloads.ts";

const PATH = "/v1/charges";

export async function runClosedLoop(
  { site, lineup, options, say }: Run,
  workload: Workload,
): Promise<readonly Sample[]> {
  const entrants = await lineup.entrants(workload.contenders);
  const prepared = new Map<Entrant, Readonly<Record<string, number>>>();
  for (const entrant of entrants) {
    prepared.set(entrant, await prepare(entrant, site, workload, options, say));
  }
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    for (const entrant of entrants) {
      const { contender, started } = entrant;
      const figures = await takeTurn(contender, started, site, workload, options, round);
      samples.push({
        contender: contender.name,
        round,
        figures: { ...figures, ...prepared.get(entrant) },
      });
    }
  }
  return samples;
}

async function takeTurn(
  { name }: Contender,
  started: Started,
  site: Site,
  workload: Workload,
  options: Options,
  round: number,
): Promise<Sample["figures"]> {
  const { mode, bodyBytes, connections, prepared } = workload;
  const held = prepared === "held";
  const plan: LoadPlan = {
    url: started.url,
    mode,
    prefix: keyOf(workload, name, round),
    path: held ? "/held" : PATH,
    bodyBytes,
    connections,
    seconds: options.seconds,
    count: options.coldKeys,
    // A later round goes on where the one before may have been, so that a key comes again as late as can be.
    first: Math.floor((round * options.coldKeys) / options.rounds),
  };
  if (!held) return warmThenTake(name, started, site, plan, workload, options);
  const arrived = site.gate.hold();
  const slow = post(started.url, plan.prefix, bodyOf(bodyBytes), plan.path, options.heldMs);
  await arrived;
  try {
    return await warmThenTake(name, started, site, plan, workload, options);
  } finally {
    site.gate.release();
    await slow;
  }
}

async function warmThenTake(
  name: string,
  started: Started,
  site: Site,
  plan: LoadPlan,
  { expected, mode }: Workload,
  { warmUpSeconds, tolerated }: Options,
): Promise<Sample["figures"]> {
  const warmUp = mode === "unique" || mode === "mixed" ? `warm-${plan.prefix}` : plan.prefix;
  await applyLoad({ ...plan, prefix: warmUp, seconds: warmUpSeconds });
  return takeSample(name, started, site, plan, expected, tolerated);
}

/** Contenders on one Redis must not meet each other's keys; what is prepared is met by every round. */
function keyOf({ name, prepared }: Workload, contender: string, round: number): string {
  const lasting = prepared === "one" || prepared === "all";
  return lasting ? `${name}-${contender}` : `${name}-${contender}-${round}`;
}

async function prepare(
  { contender, started }: Entrant,
  site: Site,
  workload: Workload,
  options: Options,
  say: (text: string) => void,
): Promise<Readonly<Record<string, number>>> {
  const prefix = keyOf(workload, contender.name, 0);
  if (workload.prepared === "one") {
    const { status } = await post(started.url, prefix, bodyOf(workload.bodyBytes));
    if (status !== 201) throw new Error(`${contender.name}: the hot key is answered ${status}`);
    return {};
  }
  if (workload.prepared !== "all") return {};
  const bytesBefore = await storeBytes(contender, started, site);
  const before = await site.settled();
  for (let done = 0; done < options.coldKeys; done = (await site.settled()) - before) {
    say(`  ${contender.name}: ${done} of ${options.coldKeys} records`);
    const { bodyBytes, connections } = workload;
    const shared = { url: started.url, prefix, path: PATH, bodyBytes, connections };
    // Those in flight at the end of a stretch may not have left: the next one begins before them.
    const first = Math.max(0, done - connections) - 1;
    const stretch = { seconds: 2, count: options.coldKeys, first: first + options.coldKeys };
    await applyLoad({ ...shared, ...stretch, mode: "cycle" });
  }
  const bytes = (await storeBytes(contender, started, site)) - bytesBefore;
  return { storeBytesPerRecord: bytes / options.coldKeys };
}

async function storeBytes(
  { store }: Contender,
  { storeDir }: Started,
  { redis }: Site,
): Promise<number> {
  if (store === "redis") {
    const info = await redis.cli("INFO", "memory");
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:(\\d+)`, "mu").exec(info)?.[1]);
    // What connections take is no record's.
    return field("used_memory") - field("mem_clients_normal");
  }
  if (storeDir === undefined) return 0;
  const sizes = readdirSync(storeDir).map((file) => statSync(join(storeDir, file)).blocks * 512);
  return sizes.reduce((sum, size) => sum + size, 0);
}
