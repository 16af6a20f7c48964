/** The promise itself, over random bad days: whatever fails in whatever order, what may have run is not sent again. */
import * as fc from "fast-check";
import t from "tap";
import type { ForwardOutcome } from "../../src/core/ports.ts";
import { answered, LEASE_MS, newLine } from "../support/flow.ts";
import type { Fault } from "../support/faulty-store.ts";
import type { Line, Told } from "../support/flow.ts";

/** What the upstream does with one call; `ran`: it may have executed. */
const UPSTREAM = {
  made: { ran: true, outcome: (n: number) => answered(201, `made ${n}`) },
  failed: { ran: true, outcome: (n: number) => answered(500, `failed ${n}`) },
  gateway: { ran: true, outcome: () => answered(504, "no answer") },
  reset: { ran: true, outcome: () => broken("reset") },
  timeout: { ran: true, outcome: () => broken("timeout") },
  busy: { ran: false, outcome: () => answered(503, "busy") },
  refused: { ran: false, outcome: refused },
} as const satisfies Record<string, { ran: boolean; outcome: (n: number) => ForwardOutcome }>;

function broken(reason: "reset" | "timeout"): ForwardOutcome {
  return { kind: "unknown", reason, cause: "ECONNRESET" };
}

function refused(): ForwardOutcome {
  return { kind: "not-sent", status: 502, cause: "ECONNREFUSED" };
}

const fault = fc.constantFrom<Fault>("works", "works", "down", "lost", "full");
const faults = fc.array(fault, { maxLength: 4 });

const day = fc.record({
  onInFlight: fc.constantFrom("reject", "wait"),
  upstream: fc.array(fc.constantFrom(...(Object.keys(UPSTREAM) as (keyof typeof UPSTREAM)[])), {
    minLength: 12,
    maxLength: 12,
  }),
  rounds: fc.array(
    fc.record({
      together: fc.integer({ min: 1, max: 3 }),
      leaves: fc.boolean(),
      pauseMs: fc.constantFrom(0, 40, 1000, LEASE_MS - 300, LEASE_MS),
      afterMs: fc.constantFrom(0, 60, 2000, LEASE_MS),
      claim: faults,
      complete: faults,
      release: faults,
      markUnknown: faults,
      inspect: faults,
    }),
    { minLength: 1, maxLength: 4 },
  ),
});
type Day = typeof day extends fc.Arbitrary<infer D> ? D : never;

async function live({ onInFlight, upstream, rounds }: Day, method: string) {
  const line = newLine({ policy: { onInFlight } });
  line.respond((_, n) => UPSTREAM[upstream[n - 1] ?? "made"].outcome(n));
  const told: Told[] = [];
  for (const round of rounds) {
    for (const operation of ["claim", "complete", "release", "markUnknown", "inspect"] as const) {
      line.fail(operation, ...round[operation]);
    }
    const leaving = new AbortController();
    const release = line.hold();
    const asked = Array.from({ length: round.together }, () =>
      line.ask({ method, gone: leaving.signal }),
    );
    await line.clock.advance(0);
    if (round.leaves) leaving.abort();
    await line.clock.advance(round.pauseMs);
    release();
    await line.clock.advance(round.afterMs);
    await line.clock.advance(LEASE_MS);
    told.push(...(await Promise.all(asked)));
  }
  return { line, told, ran: ranAmong(line, upstream) };
}

/** The numbers of the calls that may have executed. */
function ranAmong(line: Line, upstream: Day["upstream"]): number[] {
  return line.sent.map((_, at) => at + 1).filter((n) => UPSTREAM[upstream[n - 1] ?? "made"].ran);
}

t.test(
  "property: a POST that may have run is never sent again, and its answer is the only one",
  async (t) => {
    let ran = 0;
    await fc.assert(
      fc.asyncProperty(day, async (bad) => {
        const { line, told, ran: executed } = await live(bad, "POST");
        ran += executed.length;
        if (executed.length > 1) throw new Error(`ran as calls ${executed.join()}`);
        if (executed.length === 1 && executed[0] !== line.calls())
          throw new Error("sent after it ran");
        const answers = told.filter(({ status }) => status === 201 || status === 500);
        if (new Set(answers.map(({ text }) => text)).size > 1) throw new Error("two answers");
      }),
      { numRuns: 400 },
    );
    t.ok(ran > 100, `${ran} of 400 days had an execution`);
  },
);

t.test(
  "property: a PUT is sent again only with a higher fence, and never after an answer is recorded",
  async (t) => {
    await fc.assert(
      fc.asyncProperty(day, async (bad) => {
        const { line, told } = await live(bad, "PUT");
        const fences = line.sent.map((sent) => Number(sent.header("Idempotency-Fence")));
        let highest = 0;
        for (const [at, fence] of fences.entries()) {
          const forgotten = fence === 1 && ranAmong(line, bad.upstream).every((n) => n > at);
          if (fence <= highest && !forgotten) throw new Error(`fences ${fences.join()}`);
          highest = Math.max(highest, fence);
        }
        const replayed = told.find(({ report }) => report.outcome === "replayed");
        const later = replayed === undefined ? [] : told.slice(told.indexOf(replayed));
        if (
          later.some(({ report, text }) => report.outcome === "executed" && text !== replayed?.text)
        ) {
          throw new Error("executed after a replay");
        }
      }),
      { numRuns: 400 },
    );
    t.pass("400 days");
  },
);
