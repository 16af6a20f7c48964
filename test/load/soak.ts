/**
 * The built gateway for minutes or hours under a small heap and mixed, even traffic: new keys, repeats, reuse, reads,
 * clients that leave, upstreams that break. What it takes of the machine is sampled every second and must not grow.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { BatchResult } from "../proof/row.ts";
import { freePort } from "../support/free-port.ts";
import { Random } from "../support/random.ts";
import { tempDir } from "../support/gateway.ts";
import { withTeardown } from "../support/teardown.ts";
import { collectorOf } from "./garbage.ts";
import { sizeOf } from "./process-size.ts";
import { quietGateway } from "./quiet-gateway.ts";
import { startSoakUpstream } from "./soak-upstream.ts";
import { Traffic } from "./traffic.ts";
import { growth, trendOf, type Sample } from "./trend.ts";

/** About a tenth of a core, beside the other tests. */
const PER_SECOND = 52;
/** A leak for each request shows five times as large. */
const PER_SECOND_FOR_AN_HOUR = 300;
/**
 * Left alone, the old generation is collected every ten minutes and more, and in half an hour the saw that this draws
 * looks like growth. A saw with a tooth a minute does not. In a run of minutes there is none: it would keep the heap from
 * growing up to what it may.
 */
const COLLECTED_MS = 60_000;
const HEAP_MIB = 128;
/**
 * Longer answers are passed on and not kept. In five minutes it shows where one in seven of their
 * buffers is left behind.
 */
const RESPONSE_KIB = 128;
/** Records are forgotten this soon, so that what is kept is the same all the time. */
const RETENTION_S = 20;

/** The first part of a run: the heap grows up to what it may, and the store's file up to what it holds. */
const WARM_UP = 0.4;
/** What memory may still rise in minutes: a heap that settles. A leak that matters in an hour rises on and on. */
const SETTLING_MIB = 8;

/** One unit is a minute; all of them are one run. */
export function runSoak(first: number, minutes: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const upstream = await startSoakUpstream(t, (RESPONSE_KIB + 32) * 1024);
    const retention = { completed: `${RETENTION_S}s`, unknown: `${RETENTION_S}s` };
    const forAnHour = minutes >= 60;
    const debugPort = forAnHour ? await freePort() : undefined;
    const start = await quietGateway(
      t,
      {
        upstream: { url: upstream.url, timeout: "5s" },
        store: { url: `file:${tempDir(t)}`, timeout: "2s" },
        defaults: { retention, limits: { responseBytes: `${RESPONSE_KIB}KiB` } },
      },
      [
        `--max-old-space-size=${HEAP_MIB}`,
        ...(debugPort === undefined ? [] : [`--inspect=127.0.0.1:${debugPort}`]),
      ],
    );
    const gateway = await start();
    const collect = debugPort === undefined ? undefined : await collectorOf(t, debugPort);
    const perSecond = forAnHour ? PER_SECOND_FOR_AN_HOUR : PER_SECOND;
    const traffic = new Traffic(gateway.url, new Random(first), perSecond);
    const rss: Sample[] = [];
    const anonymous: Sample[] = [];
    const collected: Sample[] = [];
    const sockets: Sample[] = [];
    const handles: Sample[] = [];
    const startedMs = performance.now();
    const endMs = startedMs + minutes * 60_000;
    for (let nextMs = startedMs; nextMs < endMs; nextMs += 1000) {
      await pause(Math.max(0, nextMs - performance.now()));
      traffic.second();
      const tooth = collect !== undefined && (nextMs - startedMs) % COLLECTED_MS === 0;
      if (tooth) await collect();
      if (nextMs < startedMs + WARM_UP * minutes * 60_000) continue;
      const size = sizeOf(gateway.pid);
      rss.push({ atMs: nextMs, value: size.rssMiB });
      if (tooth) collected.push({ atMs: nextMs, value: size.rssMiB });
      anonymous.push({ atMs: nextMs, value: size.anonymousMiB });
      sockets.push({ atMs: nextMs, value: size.sockets });
      handles.push({ atMs: nextMs, value: size.handles });
    }
    await traffic.over();
    const settling = forAnHour ? 0 : SETTLING_MIB;
    const faults = [
      growth("resident memory (MiB)", rss, { perHour: 1, wobble: settling }),
      growth("sockets", sockets, { perHour: 1, wobble: 8 }),
      growth("open files", handles, { perHour: 1, wobble: 8 }),
    ];
    const { counts, violations } = traffic;
    const executed = upstream.executions();
    if (executed !== counts["executed"]) {
      violations.push(`${executed} executions for ${counts["executed"]} keys`);
    }
    return {
      done: minutes,
      violations: [...violations, ...faults.filter((fault) => fault !== undefined)],
      counts,
      peaks: {
        rssMiB: largest(rss),
        rssRiseMiBPerHour: trendOf(rss).slopePerHour,
        ...(forAnHour && { collectedRiseMiBPerHour: trendOf(collected).slopePerHour }),
        anonymousRiseMiBPerHour: trendOf(anonymous).slopePerHour,
        sockets: largest(sockets),
        openFiles: largest(handles),
      },
    };
  });
}

function largest(samples: readonly Sample[]): number {
  return Math.max(...samples.map(({ value }) => value));
}
