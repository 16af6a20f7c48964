/**
 * The wire hunt: real gateways over real sockets on a real Redis and on LMDB, led once into every situation. Prints
 * what the checker objects to, as the simulation does, and exits 1 where there is anything.
 */
import { check } from "../checker/check.ts";
import { startRedis } from "../support/redis-server.ts";
import { tempDir } from "../support/gateway.ts";
import { withTeardown } from "../support/teardown.ts";
import { SITUATIONS } from "./situations.ts";
import { openStage, type Stage } from "./stage.ts";

const hunted = withTeardown(async (t) => {
  const redis = await startRedis(t);
  const stages: readonly Stage[] = await Promise.all([
    openStage(t, "redis", { url: redis.url }, 2),
    openStage(t, "embedded", { url: `file:${tempDir(t)}` }, 2),
  ]);
  await Promise.all(stages.flatMap((stage) => SITUATIONS.map((situation) => situation(stage))));
  return stages.flatMap(({ histories }) => histories.flatMap((history) => check(history)));
});

void hunted.then((violations) => {
  for (const { rule, history, text } of violations) {
    process.stdout.write(`violation ${rule} ${history}: ${text}\n`);
  }
  process.exitCode = violations.length > 0 ? 1 : 0;
});
