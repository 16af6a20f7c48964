/**
 * The contenders that are running: each is started when it is first asked for, checked, warmed up by thousands of requests, and stays
 * for the workloads to come. All that is up and not loaded waits.
 */
import type { Teardown } from "../test/support/teardown.ts";
import { contenderOf, type Contender, type Started } from "./contenders.ts";
import { checkCorrect } from "./correctness.ts";
import { applyLoad } from "./load.ts";
import type { Options } from "./options.ts";
import type { Site } from "./site.ts";

export interface Entrant {
  readonly contender: Contender;
  readonly started: Started;
}

export interface Lineup {
  /** Those of `names` that are wanted, in their order; on an empty Redis. */
  entrants(names: readonly string[]): Promise<readonly Entrant[]>;
}

/** A compiler that compiles what is hot wants to have seen so many, however long it takes (but not for ever). */
const WARM_REQUESTS = 15_000;
const WARM_STRETCHES = 10;

/** Before other contenders, or another workload, come under the upstream's count. */
const LONG_MS = 1000;

export function createLineup(t: Teardown, site: Site, options: Options): Lineup {
  const running = new Map<string, Entrant>();
  const start = async (name: string): Promise<Entrant> => {
    const contender = contenderOf(name);
    await site.redis.cli("FLUSHALL");
    const started = await contender.start(t, site);
    await checkCorrect(contender, started, site);
    await warmUp(name, started.url, options.warmUpSeconds);
    await site.settled(LONG_MS);
    const entrant = { contender, started };
    running.set(name, entrant);
    return entrant;
  };
  return {
    async entrants(names) {
      const found: Entrant[] = [];
      for (const name of names.filter((each) => options.isWanted(each))) {
        found.push(running.get(name) ?? (await start(name)));
      }
      await site.redis.cli("FLUSHALL");
      await site.settled(LONG_MS);
      return found;
    },
  };
}

async function warmUp(name: string, url: string, seconds: number): Promise<void> {
  const plan = { url, path: "/v1/charges", bodyBytes: 250, connections: 64, seconds };
  for (let n = 0, answered = 0; n < WARM_STRETCHES && answered < WARM_REQUESTS; n += 1) {
    const prefix = `first-warm-up-${name}-${n}`;
    answered += (await applyLoad({ ...plan, mode: "unique", prefix })).requests;
  }
}
