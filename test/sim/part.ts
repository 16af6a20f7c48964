/**
 * The simulation's seeds of the suite in parts, so that several can run side by side; each in a process of its own,
 * because what a test runner watches of promises would take longer than the promises.
 */
import { spawn } from "node:child_process";
import t, { type Test } from "tap";
import type { BatchResult } from "../proof/row.ts";
import { BARE_NODE } from "../support/bare-node.ts";
import { bundled } from "../support/bundled.ts";
import { PROBE_RESULTS } from "../../src/core/probe-ports.ts";
import { FAULTS } from "./faults.ts";
import { rows } from "./rows.ts";

const TIMEOUT_MS = 600_000;

/** Runs part `part` of `parts`, from 1. */
export async function trySeeds(part: number, parts: number): Promise<void> {
  const [row] = rows;
  if (row === undefined) throw new Error("There is no simulation.");
  const { ci } = row;
  const count = ci / parts;
  t.setTimeout(TIMEOUT_MS);
  await t.test(
    `part ${part} of ${parts}: ${count} seeds, whatever goes wrong in them, break no promise`,
    { timeout: TIMEOUT_MS },
    async (t) => {
      const { done, violations, counts } = await inBatch(t, (part - 1) * count, count);
      t.equal(done, count);
      t.same(violations.slice(0, 10), [], `${violations.length} violations`);
      const requests = counts["requests"] ?? 0;
      t.ok(requests >= 200 * count, `${requests} requests`);
      const missing = FAULTS.filter((fault) => counts[fault] === undefined);
      t.same(missing, [], "every kind of fault has happened");
      t.same(
        OUTCOMES.filter((outcome) => counts[`told ${outcome}`] === undefined),
        [],
        "and every outcome was told",
      );
      t.same(
        PROBE_RESULTS.filter((result) => counts[`probe ${result}`] === undefined),
        [],
        "and every question to the upstream has ended in each way",
      );
      t.comment(JSON.stringify(counts));
    },
  );
}

/** What clients of the simulated routes can be told. */
const OUTCOMES = [
  "executed",
  "replayed",
  "released",
  "not-recorded",
  "unchanged",
  "bypassed",
  "key-reused",
  "in-flight",
  "outcome-unknown",
  "not-replayable",
  "conflict",
  "precondition-required",
  "precondition-failed",
  "resource-locked",
  "gone",
  "not-found",
  "store-unavailable",
  "upstream-unreachable",
];

async function inBatch(t: Test, first: number, count: number): Promise<BatchResult> {
  const program = await bundled(t, "test/sim/batch.ts");
  const args = ["--max-semi-space-size=64", program, String(first), String(count)];
  const child = spawn("env", [...BARE_NODE, ...args], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  return new Promise((resolve, reject) => {
    child.once("message", (result) => resolve(result as BatchResult));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`The batch ended with ${code}.`)));
  });
}
