/** Every state of a record against every operation, as a table, and what holds however the operations are mixed. */
import * as fc from "fast-check";
import t from "tap";
import { RESOLVED_TOKEN, decideForget, decideResolve } from "../../src/core/desk.ts";
import { decideSettleUnknown } from "../../src/core/probe.ts";
import {
  asOf,
  decideClaim,
  decideComplete,
  decideMarkUnknown,
  decideRelease,
  summarise,
} from "../../src/core/record.ts";
import type { ClaimRequest, RecordedResponse, StoredRecord } from "../../src/core/record.ts";
import type { Decision } from "../../src/core/record.ts";

const NOW = 1_000_000;
const MINE = "a".repeat(32);
const THEIRS = "b".repeat(32);
const ANSWER: RecordedResponse = { status: 201, headers: [], body: Buffer.from("first") };
const OTHER: RecordedResponse = { status: 200, headers: [], body: Buffer.from("second") };

const FOUND = {
  kind: "executed",
  by: "probe",
  response: OTHER,
  retentionMs: 50,
  token: "d".repeat(32),
} as const;
const NOTHING = { kind: "not-executed" } as const;

const base = {
  id: "1".repeat(64),
  fingerprint: "f".repeat(64),
  fence: 1,
  createdAtMs: NOW - 500,
  method: "PUT",
  target: "/things/7",
  route: "things",
  claimedBy: "gateway/1",
  token: MINE,
  expiresAtMs: NOW + 10_000,
} as const;

const STATES = {
  absent: undefined,
  forgotten: { ...base, state: "completed", completedAtMs: 1, expiresAtMs: NOW, response: ANSWER },
  inFlight: { ...base, state: "in-flight", leaseUntilMs: NOW + 1 },
  resent: { ...base, fence: 3, state: "in-flight", leaseUntilMs: NOW + 1 },
  leaseOver: { ...base, state: "in-flight", leaseUntilMs: NOW },
  unknown: { ...base, fence: 2, state: "unknown", reason: "reset", sinceMs: NOW - 100 },
  completed: { ...base, state: "completed", completedAtMs: NOW - 100, response: ANSWER },
  resolved: { ...base, token: RESOLVED_TOKEN, state: "completed", completedAtMs: NOW - 100, response: undefined }, // prettier-ignore
} as const satisfies Record<string, StoredRecord | undefined>;
type State = keyof typeof STATES;

function claimOf(over: Partial<ClaimRequest> = {}): ClaimRequest {
  const { id, fingerprint, method, target, route, claimedBy } = base;
  const times = { leaseMs: 100, unknownRetentionMs: 900 };
  return { id, fingerprint, method, target, route, claimedBy, token: THEIRS, ...times, onUnknown: "block", ...over }; // prettier-ignore
}

/** `answer → change`, short enough for a table. */
function word(decision: Decision<unknown>): string {
  const { answer, change } = decision;
  const said = typeof answer === "string" ? answer : (answer as { kind: string }).kind;
  const fence = (answer as { fence?: number }).fence;
  const became = change.kind === "put" ? change.record.state : change.kind;
  return `${said}${fence === undefined ? "" : ` ${fence}`} → ${became}`;
}

const OPERATIONS = {
  claim: (stored) => decideClaim(stored, claimOf(), NOW),
  "claim again": (stored) => decideClaim(stored, claimOf({ token: MINE }), NOW),
  "claim, resend": (stored) => decideClaim(stored, claimOf({ onUnknown: "resend" }), NOW),
  "claim, other body": (stored) =>
    decideClaim(stored, claimOf({ fingerprint: "e".repeat(64), onUnknown: "resend" }), NOW),
  complete: (stored) => decideComplete(stored, MINE, OTHER, 50, NOW),
  "complete, foreign": (stored) => decideComplete(stored, THEIRS, OTHER, 50, NOW),
  release: (stored) => decideRelease(stored, MINE, NOW),
  "release, foreign": (stored) => decideRelease(stored, THEIRS, NOW),
  "mark unknown": (stored) => decideMarkUnknown(stored, MINE, "timeout", 50, NOW),
  "mark unknown, foreign": (stored) => decideMarkUnknown(stored, THEIRS, "timeout", 50, NOW),
  "resolve executed": (stored) => decideResolve(stored, "executed", 50, NOW),
  "resolve not-executed": (stored) => decideResolve(stored, "not-executed", 50, NOW),
  "probed, executed": (stored) => decideSettleUnknown(stored, MINE, FOUND, NOW),
  "probed, not executed": (stored) => decideSettleUnknown(stored, MINE, NOTHING, NOW),
  "probed, foreign": (stored) => decideSettleUnknown(stored, THEIRS, NOTHING, NOW),
  forget: (stored) => decideForget(stored, NOW),
} as const satisfies Record<string, (stored: StoredRecord | undefined) => Decision<unknown>>;

const lost = "lost → keep";
const TABLE: Record<keyof typeof OPERATIONS, Record<State, string>> = {
  claim: { absent: "granted 1 → in-flight", forgotten: "granted 1 → in-flight", inFlight: "busy → keep", resent: "busy → keep", leaseOver: "unknown → keep", unknown: "unknown → keep", completed: "replay → keep", resolved: "replay → keep" },
  "claim again": { absent: "granted 1 → in-flight", forgotten: "granted 1 → in-flight", inFlight: "granted 1 → keep", resent: "granted 3 → keep", leaseOver: "unknown → keep", unknown: "unknown → keep", completed: "replay → keep", resolved: "replay → keep" },
  "claim, resend": { absent: "granted 1 → in-flight", forgotten: "granted 1 → in-flight", inFlight: "busy → keep", resent: "busy → keep", leaseOver: "granted 2 → in-flight", unknown: "granted 3 → in-flight", completed: "replay → keep", resolved: "replay → keep" },
  "claim, other body": { absent: "granted 1 → in-flight", forgotten: "granted 1 → in-flight", inFlight: "mismatch → keep", resent: "mismatch → keep", leaseOver: "mismatch → keep", unknown: "mismatch → keep", completed: "mismatch → keep", resolved: "mismatch → keep" },
  complete: { absent: lost, forgotten: lost, inFlight: "done → completed", resent: "done → completed", leaseOver: "done → completed", unknown: "done → completed", completed: "done → keep", resolved: lost },
  "complete, foreign": { absent: lost, forgotten: lost, inFlight: lost, resent: lost, leaseOver: lost, unknown: lost, completed: lost, resolved: lost },
  release: { absent: lost, forgotten: lost, inFlight: "done → delete", resent: "done → unknown", leaseOver: "done → delete", unknown: lost, completed: lost, resolved: lost },
  "release, foreign": { absent: lost, forgotten: lost, inFlight: lost, resent: lost, leaseOver: lost, unknown: lost, completed: lost, resolved: lost },
  "mark unknown": { absent: lost, forgotten: lost, inFlight: "done → unknown", resent: "done → unknown", leaseOver: "done → unknown", unknown: "done → keep", completed: lost, resolved: lost },
  "mark unknown, foreign": { absent: lost, forgotten: lost, inFlight: lost, resent: lost, leaseOver: lost, unknown: lost, completed: lost, resolved: lost },
  "resolve executed": { absent: "absent → keep", forgotten: "absent → keep", inFlight: "not-unknown → keep", resent: "not-unknown → keep", leaseOver: "done → completed", unknown: "done → completed", completed: "not-unknown → keep", resolved: "not-unknown → keep" },
  "resolve not-executed": { absent: "absent → keep", forgotten: "absent → keep", inFlight: "not-unknown → keep", resent: "not-unknown → keep", leaseOver: "done → delete", unknown: "done → delete", completed: "not-unknown → keep", resolved: "not-unknown → keep" },
  "probed, executed": { absent: lost, forgotten: lost, inFlight: lost, resent: lost, leaseOver: "done → completed", unknown: "done → completed", completed: lost, resolved: lost },
  "probed, not executed": { absent: lost, forgotten: lost, inFlight: lost, resent: lost, leaseOver: "done → delete", unknown: "done → delete", completed: lost, resolved: lost },
  "probed, foreign": { absent: lost, forgotten: lost, inFlight: lost, resent: lost, leaseOver: lost, unknown: lost, completed: lost, resolved: lost },
  forget: { absent: "absent → keep", forgotten: "absent → keep", inFlight: "in-flight → keep", resent: "in-flight → keep", leaseOver: "done → delete", unknown: "done → delete", completed: "done → delete", resolved: "done → delete" },
}; // prettier-ignore

const keysOf = <Key extends string>(table: Readonly<Record<Key, unknown>>): Key[] =>
  Object.keys(table) as Key[];

t.test("every state and every operation", async (t) => {
  for (const operation of keysOf(TABLE)) {
    for (const state of keysOf(STATES)) {
      const decision = OPERATIONS[operation](STATES[state]);
      t.equal(word(decision), TABLE[operation][state], `${operation} on ${state}`);
    }
  }
});

t.test(
  "a grant writes the claim, its lease, and the retention of unknowns behind it",
  async (t) => {
    const { change } = decideClaim(undefined, claimOf(), NOW);
    t.match(change, {
      record: { token: THEIRS, fence: 1, createdAtMs: NOW, leaseUntilMs: NOW + 100, expiresAtMs: NOW + 1000 }, // prettier-ignore
    });
    const resend = decideClaim(STATES.unknown, claimOf({ onUnknown: "resend" }), NOW);
    t.match(resend.change, { record: { token: THEIRS, fence: 3, createdAtMs: NOW - 500 } });
  },
);

t.test("what is said of a collision holds no body", async (t) => {
  const { answer } = OPERATIONS["claim, other body"](STATES.completed);
  t.match(answer, { kind: "mismatch", record: { replayable: true, response: { status: 201, body: undefined } } }); // prettier-ignore
  t.match(summarise(STATES.resolved), { replayable: false, response: undefined });
  t.equal(summarise(STATES.unknown), STATES.unknown);
});

t.test("a lease that is over reads as unknown by crash, since the lease's end", async (t) => {
  t.match(asOf(STATES.leaseOver, NOW), { state: "unknown", reason: "crash", sinceMs: NOW });
  t.notOk("leaseUntilMs" in (asOf(STATES.leaseOver, NOW) ?? {}));
  t.equal(asOf(STATES.leaseOver, NOW - 1), STATES.leaseOver);
  t.equal(asOf(STATES.completed, STATES.completed.expiresAtMs), undefined);
});

t.test(
  "a resend that was never sent leaves the outcome unknown, and the next fence is higher",
  async (t) => {
    const { change } = decideRelease(STATES.resent, MINE, NOW);
    const left = change.kind === "put" ? change.record : undefined;
    t.match(left, { state: "unknown", fence: 3, expiresAtMs: STATES.resent.expiresAtMs });
    t.match(decideClaim(left, claimOf({ onUnknown: "resend" }), NOW).answer, { kind: "granted", fence: 4 }); // prettier-ignore
    t.match(decideClaim(left, claimOf(), NOW).answer, { kind: "unknown" });
    const { answer } = OPERATIONS["claim, other body"](left);
    t.match(answer, { kind: "mismatch" }, "and the key still belongs to its request");
  },
);

type Operation = keyof typeof OPERATIONS;
const step = fc.record({
  token: fc.constantFrom(MINE, THEIRS, "c".repeat(32)),
  operation: fc.constantFrom<Operation>(...keysOf(OPERATIONS)),
  passMs: fc.constantFrom(0, 1, 50, 100, 2000),
});

/** One step of a client, an owner or an operator on a record, at a moment, with a token. */
function take(
  stored: StoredRecord | undefined,
  operation: Operation,
  token: string,
  nowMs: number,
) {
  switch (operation) {
    case "claim":
    case "claim again":
      return decideClaim(stored, claimOf({ token }), nowMs);
    case "claim, resend":
      return decideClaim(stored, claimOf({ token, onUnknown: "resend" }), nowMs);
    case "claim, other body":
      return decideClaim(stored, claimOf({ token, fingerprint: "e".repeat(64) }), nowMs);
    case "complete":
    case "complete, foreign":
      return decideComplete(stored, token, ANSWER, 1500, nowMs);
    case "release":
    case "release, foreign":
      return decideRelease(stored, token, nowMs);
    case "mark unknown":
    case "mark unknown, foreign":
      return decideMarkUnknown(stored, token, "reset", 1500, nowMs);
    case "resolve executed":
      return decideResolve(stored, "executed", 1500, nowMs);
    case "resolve not-executed":
      return decideResolve(stored, "not-executed", 1500, nowMs);
    case "probed, executed":
      return decideSettleUnknown(stored, token, { ...FOUND, retentionMs: 1500 }, nowMs);
    case "probed, not executed":
    case "probed, foreign":
      return decideSettleUnknown(stored, token, NOTHING, nowMs);
    case "forget":
      return decideForget(stored, nowMs);
  }
}

interface Taken {
  readonly before: StoredRecord | undefined;
  readonly stored: StoredRecord | undefined;
  readonly after: StoredRecord | undefined;
  readonly kind: string;
  readonly operation: Operation;
  readonly token: string;
}

/** What must never happen in one step, said in words. */
function violation({ before, stored, after, kind, operation, token }: Taken): string | undefined {
  const refused = ["mismatch", "busy", "replay", "lost"].includes(kind);
  if (refused && after !== stored) return `${kind} changed the record`;
  if (before === undefined) return undefined;
  if (kind === "granted" && before.state === "in-flight" && before.token !== token) {
    return "two owners at once";
  }
  if (after === undefined) {
    // Who says that nothing was executed says it of all sends.
    const ordered = operation === "forget" || operation === "resolve not-executed";
    const found = operation === "probed, not executed" || operation === "probed, foreign";
    return before.fence > 1 && !ordered && !found ? "an earlier send was forgotten" : undefined;
  }
  if (after.fence < before.fence) return "the fence fell";
  if (after.fingerprint !== before.fingerprint) return "another operation took over";
  return before.state === "completed" && after !== stored
    ? "a completion was overwritten"
    : undefined;
}

t.test(
  "property: fences rise, completions stay, mismatches change nothing, leases are exclusive",
  async (t) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        let nowMs = NOW;
        let stored: StoredRecord | undefined;
        for (const { token, operation, passMs } of steps) {
          nowMs += passMs;
          const before = asOf(stored, nowMs);
          const { answer, change } = take(stored, operation, token, nowMs);
          const kind = typeof answer === "string" ? answer : answer.kind;
          const after = change.kind === "put" ? change.record : change.kind === "keep" ? stored : undefined; // prettier-ignore
          const broken = violation({ before, stored, after, kind, operation, token });
          if (broken !== undefined) throw new Error(broken);
          stored = after;
        }
      }),
      { numRuns: 20_000 },
    );
    t.pass("20,000 histories");
  },
);
