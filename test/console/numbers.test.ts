/** What the console makes of the counters: rates, quantiles, and numbers and texts as people read them. */
import t from "tap";
import * as series from "../../src/console/series.ts";
import type { Counters, Histogram } from "../../src/console/wire.ts";
import * as words from "../../src/console/words.ts";

function histogram(counts: readonly number[]): Histogram {
  return { boundsSeconds: [0.1, 0.2, 0.4], counts, sumSeconds: 0 };
}

function counters(executed: number, calls: readonly number[] = [0, 0, 0, 0]): Counters {
  const duration = histogram(calls);
  return {
    startedAtSeconds: 0,
    inFlight: 0,
    recordedBytes: 0,
    lostWrites: {},
    routes: [{ route: "r", outcomes: { executed }, wouldBe: {}, unknown: {}, duration }],
    latency: { executed: duration, replayed: duration, upstream: duration },
    store: [],
  };
}

t.test(
  "rates and quantiles are those of the time between the samples, and a restart is no fall",
  async (t) => {
    const samples = [10, 14, 14, 24].map((executed, at) => ({
      atMs: at * 2000,
      counters: counters(executed),
    }));
    t.strictSame(series.rates(samples, series.totals.executed), [2, 0, 5]);
    const restarted = series.withSample(samples, { atMs: 8000, counters: counters(3) }, 10);
    t.equal(restarted.length, 1, "what was before is dropped");
    t.equal(series.withSample(samples, { atMs: 8000, counters: counters(30) }, 3).length, 3);
    t.equal(series.quantileMs(histogram([0, 0, 0, 0]), 0.5), undefined);
    t.equal(series.quantileMs(histogram([10, 10, 10, 10]), 0.5), 50);
    t.equal(series.quantileMs(histogram([0, 4, 8, 8]), 0.5), 200);
    t.equal(Math.round(series.quantileMs(histogram([0, 4, 8, 8]), 0.75) ?? 0), 300);
    t.equal(series.quantileMs(histogram([0, 0, 0, 8]), 0.5), 400, "at least the last bound");
    const slow = [counters(0), counters(1, [1, 1, 1, 1]), counters(2, [1, 1, 2, 2])];
    const points = series.quantiles(
      slow.map((each, at) => ({ atMs: at, counters: each })),
      ({ latency }) => latency.executed,
      1,
      1,
    );
    t.strictSame(points, [100, 400]);
  },
);

t.test("numbers, times and texts are written for people", async (t) => {
  t.strictSame(
    [words.count(1234567), words.count(12_345_678), words.count(3.4e10)],
    ["1,234,567", "12.3 M", "34.0 G"],
  );
  t.strictSame(
    [words.perSecond(undefined), words.perSecond(0), words.perSecond(3.21), words.perSecond(45.6)],
    ["–/s", "0/s", "3.2/s", "46/s"],
  );
  t.strictSame([0.5, 12.34, 456, 1234, 12_345].map(words.milliseconds), [
    "0.50 ms",
    "12.3 ms",
    "456 ms",
    "1.2 s",
    "12 s",
  ]);
  t.strictSame([12, 2048, 5 * 1024 ** 3].map(words.bytes), ["12 B", "2.0 KiB", "5.0 GiB"]);
  t.strictSame([300, 41_000, 90_000, 3_600_000, 183_600_000].map(words.span), [
    "0 s",
    "41 s",
    "1 min 30 s",
    "1 h",
    "2 d 3 h",
  ]);
  t.strictSame(
    [words.relative(0, 300), words.relative(0, 12_000), words.relative(12_000, 0)],
    ["now", "12 s ago", "in 12 s"],
  );
  t.equal(words.visible("a\u202eb\u0000\n"), "a\\u{202e}b\\u{0}\\u{a}");
  t.equal(words.visible("a\n\tb\r\n\u200b", true), "a\n\tb\n\\u{200b}");
});
