/**
 * Counts what a TAP stream really says: leaf assertions, not the test points that sum up a subtest. A broken stream
 * (plan not met, bailed out, cut off, empty) counts as a failure, so that it can never read as success. As a program:
 * `tally.ts FILE` prints what failed, then `N passed, N failed`; exits non-zero unless something passed and nothing failed.
 */
import { readFileSync } from "node:fs";
import { argv, exit, stdout } from "node:process";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { type FinalResults, Parser, type Result } from "tap-parser";

export interface Tally {
  passed: number;
  failed: number;
  /** Skipped and todo assertions: neither passed nor failed. */
  skipped: number;
  /** Name and diagnostics of each failure, for people. */
  failures: string[];
}

export function tally(tap: string): Tally {
  const parser = new Parser();
  const total = watch(parser);
  parser.end(tap);
  // The parser takes a stream without a test for one that was skipped.
  if (total.passed + total.failed + total.skipped === 0) fail(total, "there is no TAP");
  return total;
}

function watch(parser: Parser): Tally {
  const total: Tally = { passed: 0, failed: 0, skipped: 0, failures: [] };
  let subtest: Tally | undefined;
  parser.on("child", (child: Parser) => {
    subtest = watch(child);
  });
  parser.on("assert", (point: Result) => {
    if (subtest === undefined) {
      count(total, point);
      return;
    }
    // The closing point of a subtest says nothing new, unless it failed for a reason of its own (exit code, time-out).
    if (!point.ok && subtest.failed === 0) count(total, point);
    total.passed += subtest.passed;
    total.failed += subtest.failed;
    total.skipped += subtest.skipped;
    total.failures.push(...subtest.failures);
    subtest = undefined;
  });
  parser.on("complete", (results: FinalResults) => {
    if (!results.ok && total.failed === 0) fail(total, `${parser.fullname}: broken TAP`, results);
  });
  return total;
}

function count(total: Tally, point: Result): void {
  if (point.skip !== false || point.todo !== false) total.skipped += 1;
  else if (point.ok) total.passed += 1;
  else fail(total, point.fullname, point.diag);
}

function fail(total: Tally, name: string, diagnostics?: unknown): void {
  total.failed += 1;
  const told = [`not ok: ${name}`];
  for (const [what, value] of Object.entries(diagnostics ?? {})) {
    const text = typeof value === "string" ? value : inspect(value, { breakLength: 100 });
    told.push(`  ${what}: ${text.trimEnd().replaceAll("\n", "\n    ")}`);
  }
  total.failures.push(told.join("\n"));
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { passed, failed, skipped, failures } = tally(readFileSync(argv[2] ?? "", "utf8"));
  for (const failure of failures) stdout.write(`${failure}\n`);
  if (skipped > 0) stdout.write(`${skipped} skipped\n`);
  stdout.write(`${passed} passed, ${failed} failed\n`);
  exit(passed > 0 && failed === 0 ? 0 : 1);
}
