import * as fc from "fast-check";
import t from "tap";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/config/units.ts";

void t.test("durations are read in milliseconds", (t) => {
  t.equal(parseDuration("250ms"), 250);
  t.equal(parseDuration("30s"), 30_000);
  t.equal(parseDuration("5m"), 300_000);
  t.equal(parseDuration("24h"), 86_400_000);
  t.equal(parseDuration("7d"), 604_800_000);
  t.equal(parseDuration("0s"), 0);
  t.end();
});

void t.test("sizes are read in bytes, in powers of 1024", (t) => {
  t.equal(parseSize("512B"), 512);
  t.equal(parseSize("64KiB"), 65_536);
  t.equal(parseSize("1MiB"), 1_048_576);
  t.equal(parseSize("1GiB"), 1_073_741_824);
  t.end();
});

const notDurations = [
  "",
  "30",
  "s",
  "30 s",
  " 30s",
  "30s\n",
  "-1s",
  "+1s",
  "1.5s",
  "1e3s",
  "30S",
  "30sec",
  "1h30m",
  "٣s",
];
for (const text of notDurations) {
  void t.test(`${JSON.stringify(text)} is not a duration`, (t) => {
    t.equal(parseDuration(text), undefined);
    t.end();
  });
}

for (const text of ["", "1", "1MB", "1mib", "1 MiB", "1.5MiB", "-1B", "MiB", "1MiB\n"]) {
  void t.test(`${JSON.stringify(text)} is not a size`, (t) => {
    t.equal(parseSize(text), undefined);
    t.end();
  });
}

void t.test("an amount that cannot be counted exactly is refused, not rounded", (t) => {
  t.equal(parseDuration(`${"9".repeat(30)}d`), undefined);
  t.equal(parseSize(`${Number.MAX_SAFE_INTEGER}KiB`), undefined);
  t.end();
});

void t.test("amounts are printed in their largest whole unit", (t) => {
  t.equal(formatDuration(90_000), "90s");
  t.equal(formatDuration(60_000), "1m");
  t.equal(formatDuration(31_500), "31500ms");
  t.equal(formatDuration(0), "0s");
  t.equal(formatSize(1536), "1536B");
  t.equal(formatSize(1_048_576), "1MiB");
  t.throws(() => formatDuration(0.5), RangeError);
  t.end();
});

void t.test("whatever is printed is read back to the same amount", (t) => {
  const amount = fc.oneof(
    fc.maxSafeNat(),
    fc.nat(10_000).map((n) => n * 60_000),
  );
  t.doesNotThrow(() => {
    fc.assert(fc.property(amount, (ms) => parseDuration(formatDuration(ms)) === ms));
    fc.assert(fc.property(amount, (bytes) => parseSize(formatSize(bytes)) === bytes));
  });
  t.end();
});

void t.test(
  "no text makes the readers answer anything but a safe whole number or undefined",
  (t) => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^\d{0,20}(ms|s|m|h|d|B|KiB|MiB|GiB)?$/u));
    const property = fc.property(text, (value) =>
      [parseDuration(value), parseSize(value)].every(
        (amount) => amount === undefined || (Number.isSafeInteger(amount) && amount >= 0),
      ),
    );
    t.doesNotThrow(() => fc.assert(property));
    t.end();
  },
);
