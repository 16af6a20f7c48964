/** Medians, spreads, quantiles, and what /proc says of a process. */
import t from "tap";
import { cpuMicroseconds, ticksIn } from "../../bench/cpu.ts";
import { median, quantile, spread } from "../../bench/statistics.ts";

t.test("the median is the middle, or the mean of the two in the middle", async (t) => {
  t.equal(median([3]), 3);
  t.equal(median([9, 1, 5]), 5);
  t.equal(median([10, 1, 4, 2]), 3);
  t.throws(() => median([]), { message: /nothing/u });
});

t.test("numbers are compared as numbers", async (t) => {
  t.equal(median([100, 20, 3]), 20);
});

t.test("the spread is how far the furthest is from the median, as a share of it", async (t) => {
  t.equal(spread([10, 10, 10]), 0);
  t.equal(spread([8, 10, 11]), 0.2);
  t.equal(spread([9, 10, 15]), 0.5);
  t.equal(spread([0, 0, 7]), 0, "of nothing there is no share");
});

t.test("a quantile is the smallest that enough do not exceed", async (t) => {
  const hundred = Array.from({ length: 100 }, (_, n) => n + 1);
  t.equal(quantile(hundred, 0.5), 50);
  t.equal(quantile(hundred, 0.99), 99);
  t.equal(quantile(hundred, 0.999), 100);
  t.equal(quantile(Float64Array.of(7), 0.5), 7);
  t.throws(() => quantile([], 0.5), { message: /nothing/u });
});

t.test("user and system time are read behind a name that holds anything", async (t) => {
  const fields = "S 1 2 2 0 -1 4194560 100 0 0 0 250 17 0 0 20 0 11 0 5000";
  t.equal(ticksIn(`42 (node) ${fields}`), 267);
  t.equal(ticksIn(`42 (a (b) 1 2 3) ${fields}`), 267);
  t.throws(() => ticksIn("42 (node)"));
});

t.test("the CPU time of this process grows with what it does", async (t) => {
  const before = cpuMicroseconds(process.pid);
  const { user, system } = process.cpuUsage();
  t.ok(Math.abs(before - user - system) < 100_000, "it is what Node says, to a few ticks");
  const spent = process.cpuUsage();
  let turns = 0;
  while (process.cpuUsage(spent).user < 60_000) turns += 1;
  t.ok(turns > 0);
  t.ok(cpuMicroseconds(process.pid) - before >= 40_000);
});
