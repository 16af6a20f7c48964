/** What is not closed-loop HTTP load: claims as the records grow, the time to start, WebSocket echo. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { withTeardown } from "../test/support/teardown.ts";
import { contenderOf } from "./contenders.ts";
import { cpuMicroseconds } from "./cpu.ts";
import { runProgram } from "./programs.ts";
import type { Sample } from "./results.ts";
import type { Run } from "./run.ts";

interface Claims {
  readonly records: number;
  readonly p50: number;
  readonly p99: number;
}

/** `claimAtFewest` and `claimAtMost` are the medians at the smallest and the largest size, in microseconds. */
export async function runRecords({ site, options, say }: Run): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  for (const store of ["redis", "embedded"] as const) {
    const contender = `gateway-${store}`;
    if (!options.isWanted(contender)) continue;
    await site.redis.cli("FLUSHALL");
    const url =
      store === "redis" ? site.redis.url : `file:${mkdtempSync(join(site.dir, "claims-"))}`;
    const found: Claims[] = [];
    await runProgram("claim-latency", [url, options.recordSizes.join(",")], (line) => {
      found.push(line as Claims);
      say(`  ${contender}: ${JSON.stringify(line)}`);
    });
    const sizes = found.flatMap(({ records, p50, p99 }) => [
      [`claimP50At${records}`, p50],
      [`claimP99At${records}`, p99],
    ]);
    const figures: Record<string, number> = Object.fromEntries(sizes) as Record<string, number>;
    const [fewest, most] = [found.at(0), found.at(-1)];
    if (fewest !== undefined && most !== undefined && fewest !== most) {
      figures["claimAtFewest"] = fewest.p50;
      figures["claimAtMost"] = most.p50;
    }
    samples.push({ contender, round: 0, figures });
  }
  await site.redis.cli("FLUSHALL");
  return samples;
}

/** From the start of the process to the first connection that it accepts. */
export async function runStarts({ site, options }: Run): Promise<readonly Sample[]> {
  const names = ["gateway-redis", "gateway-embedded", "nginx-lua"].filter(options.isWanted);
  const samples: Sample[] = [];
  for (let round = 0; round < 3 * options.rounds; round += 1) {
    for (const contender of names) {
      await withTeardown(async (t) => {
        const { startMs, pid } = await contenderOf(contender).start(t, site);
        const startCpuMs = cpuMicroseconds(pid) / 1000;
        samples.push({ contender, round, figures: { startMs, startCpuMs } });
      });
    }
  }
  return samples;
}

const SOCKETS = 64;

export async function runEcho({ lineup, options }: Run): Promise<readonly Sample[]> {
  const entrants = await lineup.entrants(["direct", "nginx", "http-proxy", "gateway-redis"]);
  const samples: Sample[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    for (const { contender, started } of entrants) {
      const { url, pid } = started;
      const cpu = (): number => cpuMicroseconds(pid);
      let before = 0;
      const args = [
        `${url.replace("http", "ws")}/echo`,
        SOCKETS,
        options.seconds,
        options.warmUpSeconds,
      ];
      let spent = 0;
      const line = await runProgram("echo-load", args, (told) => {
        if ((told as { readonly warm?: true }).warm) before = cpu();
        else spent = cpu() - before;
      });
      const { echoes, perSecond } = line as { echoes: number; perSecond: number };
      if (echoes === 0) throw new Error(`${contender.name}: no message came back`);
      samples.push({
        contender: contender.name,
        round,
        figures: { perSecond, cpuMicroseconds: spent / echoes },
      });
    }
  }
  return samples;
}
