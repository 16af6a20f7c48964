/** A seed is a scenario that can be had again, down to the order of the last event. */
import { execFileSync } from "node:child_process";
import t from "tap";
import { outside, simulate } from "./simulate.ts";
import { RUNS_TYPESCRIPT } from "../support/bare-node.ts";

const SEEDS = Array.from({ length: 12 }, (_, seed) => seed);

t.test("a seed replays exactly: the same events, counts and trace hash", async (t) => {
  for (const seed of SEEDS) {
    const [first, second] = await outside(() => [simulate(seed), simulate(seed)] as const);
    t.equal(second.hash, first.hash);
    t.same(second.counts, first.counts);
    t.same(second.history.events, first.history.events);
  }
});

t.test("writing the trace down changes nothing", async (t) => {
  for (const seed of SEEDS.slice(0, 4)) {
    const [plain, recorded] = await outside(() => [simulate(seed), simulate(seed, true)] as const);
    t.equal(recorded.hash, plain.hash);
    t.ok(recorded.trace.length > 1000);
  }
});

t.test("other seeds are other scenarios", async (t) => {
  const hashes = await outside(() => SEEDS.map((seed) => simulate(seed).hash));
  t.equal(new Set(hashes).size, SEEDS.length);
});

t.test("each seed has 200 requests and more, and three gateways or four", async (t) => {
  for (const seed of SEEDS) {
    const { counts } = await outside(() => simulate(seed));
    t.ok((counts["requests"] ?? 0) >= 200);
    t.match(counts["gateways"], /^[34]$/);
  }
});

t.test("from the command line: tries seeds, and replays one with its trace", (t) => {
  const sim = (...args: string[]): string =>
    execFileSync("node", [RUNS_TYPESCRIPT, "test/sim/main.ts", ...args], { encoding: "utf8" });
  t.match(sim("--seeds", "20"), /^20 seeds, \d+ requests, 0 violations/);
  const replayed = sim("--seed", "3");
  t.match(replayed, /request 1: /);
  t.match(replayed, /seed 3: trace [0-9a-f]{8}\n$/);
  t.equal(sim("--seed", "3"), replayed);
  t.throws(() => sim("--seeds", "many"));
  t.end();
});
