/**
 * Random operations on several stores in lock step: every one of them has to answer alike, reply by reply. What the
 * operations are comes from the sequence's number, so that the same number does the same again. Knows no right answers.
 */
import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import type { Store } from "../../src/core/ports.ts";
import type { RecordState, RecordSummary } from "../../src/core/record.ts";
import type { BatchResult } from "../proof/row.ts";
import { claimOf, DAY_MS, OTHER } from "./contract-values.ts";

/** Operations of one sequence, all on the same few records. */
export const SEQUENCE = 50;
const TOKENS = ["0a".repeat(16), "0b".repeat(16), "0c".repeat(16)];
const RESPONSES = [
  {
    status: 201,
    headers: [["A", "1"] as const, ["a", "\u00ff"] as const],
    body: Buffer.from("x\0"),
  },
  { status: 204, headers: [], body: Buffer.alloc(0) },
  { status: 200, headers: [["B", ""] as const], body: undefined },
] as const;
const STATES: readonly RecordState[] = ["in-flight", "completed", "unknown"];

/** A step that moves the clock does nothing to a store. */
type Apply = (store: Store, ids: readonly string[]) => Promise<unknown>;
interface Step {
  readonly name: string;
  readonly apply: Apply;
  readonly movesMs?: number;
}

const anyRecord = { at: fc.nat({ max: 2 }) };
const anyToken = { token: fc.constantFrom(...TOKENS) };
/** Of nothing: what it keeps is over at once, which is the end of a lease and of a retention without waiting. */
const someTimeMs = fc.constantFrom(0, DAY_MS, DAY_MS, 2 * DAY_MS);
const anyDuration = { durationMs: someTimeMs };

const step = <Values extends object>(
  weight: number,
  name: string,
  values: { [Name in keyof Values]: fc.Arbitrary<Values[Name]> },
  apply: (values: Values, store: Store, ids: readonly string[]) => Promise<unknown>,
): fc.WeightedArbitrary<Step> => ({
  weight,
  arbitrary: fc.record(values).map((chosen) => ({
    name: `${name} ${JSON.stringify(chosen)}`,
    apply: (store, ids) => apply(chosen, store, ids),
  })),
});

const STEPS = [
  step(
    8,
    "claim",
    {
      ...anyRecord,
      ...anyToken,
      fingerprint: fc.constantFrom("ab".repeat(32), "ab".repeat(32), OTHER),
      onUnknown: fc.constantFrom("block" as const, "resend" as const),
      leaseMs: someTimeMs,
      unknownRetentionMs: someTimeMs,
    },
    ({ at, ...claim }, store, ids) => store.claim(claimOf({ ...claim, id: ids[at] ?? "" })),
  ),
  step(
    4,
    "complete",
    { ...anyRecord, ...anyToken, n: fc.nat({ max: 2 }), ...anyDuration },
    ({ at, token, n, durationMs }, store, ids) =>
      store.complete(ids[at] ?? "", token, RESPONSES[n] ?? RESPONSES[0], durationMs),
  ),
  step(2, "release", { ...anyRecord, ...anyToken }, ({ at, token }, store, ids) =>
    store.release(ids[at] ?? "", token),
  ),
  step(
    4,
    "markUnknown",
    {
      ...anyRecord,
      ...anyToken,
      reason: fc.constantFrom("timeout" as const, "reset" as const),
      ...anyDuration,
    },
    ({ at, token, reason, durationMs }, store, ids) =>
      store.markUnknown(ids[at] ?? "", token, reason, durationMs),
  ),
  step(2, "inspect", anyRecord, ({ at }, store, ids) => store.inspect(ids[at] ?? "")),
  step(2, "forget", anyRecord, ({ at }, store, ids) => store.forget(ids[at] ?? "")),
  step(
    2,
    "resolve",
    {
      ...anyRecord,
      outcome: fc.constantFrom("executed" as const, "not-executed" as const),
      ...anyDuration,
    },
    ({ at, outcome, durationMs }, store, ids) => store.resolve(ids[at] ?? "", outcome, durationMs),
  ),
  step(
    4,
    "settleUnknown",
    {
      ...anyRecord,
      attempt: fc.constantFrom(...TOKENS),
      kind: fc.constantFrom("executed" as const, "not-executed" as const),
      ...anyToken,
      n: fc.nat({ max: 2 }),
      ...anyDuration,
    },
    ({ at, attempt, kind, token, n, durationMs }, store, ids) =>
      store.settleUnknown(
        ids[at] ?? "",
        attempt,
        kind === "not-executed"
          ? { kind }
          : {
              kind,
              by: "probe",
              token,
              response: RESPONSES[n] ?? RESPONSES[0],
              retentionMs: durationMs,
            },
      ),
  ),
  step(2, "look", anyRecord, ({ at }, store, ids) => store.look(ids[at] ?? "")),
  step(
    1,
    "list",
    { state: fc.constantFrom(undefined, ...STATES), limit: fc.constantFrom(7, 1000) },
    ({ state, limit }, store, ids) => listed(store, state, limit, ids),
  ),
  step(
    4,
    "writeCell",
    {
      ...anyRecord,
      value: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }),
      revision: fc.nat({ max: 3 }),
      ...anyDuration,
    },
    ({ at, value, revision, durationMs }, store, ids) =>
      store.writeCell(ids[at] ?? "", value, revision, durationMs),
  ),
  /** With the revision that stands there, whatever it is, or a long sequence would only ever lose. */
  step(
    2,
    "changeCell",
    {
      ...anyRecord,
      value: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }),
      ...anyDuration,
    },
    async ({ at, value, durationMs }, store, ids) => {
      const { cell } = await store.readCell(ids[at] ?? "");
      return store.writeCell(ids[at] ?? "", value, cell?.revision ?? 0, durationMs);
    },
  ),
  step(2, "readCell", anyRecord, ({ at }, store, ids) => store.readCell(ids[at] ?? "")),
  step(
    6,
    "enterRoll",
    {
      ...anyRecord,
      most: fc.constantFrom(1, 2),
      keepMs: fc.constantFrom(DAY_MS, 2 * DAY_MS),
      how: fc.constantFrom("look" as const, "renew" as const, "always" as const),
    },
    async ({ at, ...entry }, store, ids) => {
      const id = ids[at] ?? "";
      const answer = await store.enterRoll({
        ...{ ...entry, id, scope: ids[0] ?? "" },
        claimMs: DAY_MS,
      });
      if (answer.kind === "entered") marksOf(store).set(id, answer.mark);
      if (answer.kind !== "full") return answer.kind;
      const { roomInMs } = answer;
      return `full${roomInMs === undefined ? "" : `, room in ${Math.round(roomInMs / DAY_MS)} days`}`;
    },
  ),
  step(3, "strikeRoll", anyRecord, ({ at }, store, ids) => {
    const id = ids[at] ?? "";
    return store.strikeRoll(ids[0] ?? "", id, marksOf(store).get(id) ?? 0);
  }),
];

/** Each store marks the entries of its roll in its own way; the last mark of each id. */
const marks = new WeakMap<Store, Map<string, number>>();

function marksOf(store: Store): Map<string, number> {
  const known = marks.get(store) ?? new Map<string, number>();
  marks.set(store, known);
  return known;
}

const MOVE: fc.WeightedArbitrary<Step> = {
  weight: 4,
  arbitrary: fc.constantFrom(1, DAY_MS - 1, DAY_MS, 2 * DAY_MS).map((movesMs) => ({
    name: `the clock moves by ${movesMs} ms`,
    movesMs,
    apply: () => Promise.resolve(undefined),
  })),
};

/** All pages; other sequences have their records in the same store. */
async function listed(
  store: Store,
  state: RecordState | undefined,
  limit: number,
  ids: readonly string[],
): Promise<readonly RecordSummary[]> {
  const found = new Map<string, RecordSummary>();
  let cursor: string | undefined;
  do {
    const page = await store.list({
      limit,
      ...(state !== undefined && { state }),
      ...(cursor !== undefined && { cursor }),
    });
    for (const record of page.records) if (ids.includes(record.id)) found.set(record.id, record);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return ids.map((id) => found.get(id)).filter((record) => record !== undefined);
}

/** What two answers are compared by. */
export type Normal = (answer: unknown, startMs: number) => unknown;

/** On one clock, every time counts as it is. */
export const exact: Normal = (answer) => plain(answer, (_name, value) => value);

/** Clocks that differ by some milliseconds: a time says only which of the few durations it is away from now. */
export const byDays: Normal = (answer, startMs) =>
  plain(answer, (name, value) =>
    name.endsWith("Ms") ? `${Math.round((value - startMs) / DAY_MS)} days` : value,
  );

function plain(answer: unknown, number: (name: string, value: number) => unknown): unknown {
  if (answer instanceof Uint8Array) return Buffer.from(answer).toString("hex");
  if (Array.isArray(answer)) return answer.map((item) => plain(item, number));
  if (typeof answer !== "object" || answer === null) return answer;
  return Object.fromEntries(
    Object.entries(answer).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === "number" ? number(name, value) : plain(value, number),
    ]),
  );
}

/** Leaves nothing behind, or the listings of later sequences would grow without end. */
const CLEANING: readonly Step[] = [0, 1, 2].flatMap((n) => [
  ...TOKENS.map((token) => ({
    name: `release ${n} ${token}`,
    apply: (store: Store, ids: readonly string[]) => store.release(ids[n] ?? "", token),
  })),
  {
    name: `forget ${n}`,
    apply: (store: Store, ids: readonly string[]) => store.forget(ids[n] ?? ""),
  },
]);

export interface LockStep {
  readonly stores: readonly Store[];
  readonly normal: Normal;
  /** Moves the clock of all of them; `undefined` where it cannot be moved. */
  readonly move?: (ms: number) => void;
  /** Sequences at the same time; 1 where the clock is moved. */
  readonly atOnce: number;
}

/** `first` and `count` are operations; whole sequences are done. */
export async function inLockStep(
  first: number,
  count: number,
  lockStep: LockStep,
): Promise<BatchResult> {
  const violations: string[] = [];
  let next = Math.floor(first / SEQUENCE);
  const end = Math.ceil((first + count) / SEQUENCE);
  let compared = 0;
  const work = async (): Promise<void> => {
    while (next < end) {
      const sequence = next;
      next += 1;
      const differs = await runSequence(sequence, lockStep, () => (compared += 1));
      if (differs !== undefined) violations.push(`sequence ${sequence}: ${differs}`);
    }
  };
  await Promise.all(Array.from({ length: lockStep.atOnce }, work));
  return { done: count, violations, counts: { "answers compared": compared } };
}

async function runSequence(
  sequence: number,
  { stores, normal, move }: LockStep,
  compared: () => void,
): Promise<string | undefined> {
  const one = fc.oneof(...STEPS, ...(move === undefined ? [] : [MOVE]));
  const lengths = { minLength: SEQUENCE, maxLength: SEQUENCE };
  const [steps = []] = fc.sample(fc.array(one, lengths), { seed: sequence, numRuns: 1 });
  const ids = [0, 1, 2].map((n) => createHash("sha256").update(`${sequence} ${n}`).digest("hex"));
  const startMs = Date.now();
  for (const [n, { name, apply, movesMs }] of [...steps, ...CLEANING].entries()) {
    if (movesMs !== undefined) move?.(movesMs);
    const answers = await Promise.all(stores.map((store) => apply(store, ids)));
    const [expected, ...others] = answers.map((answer) => normal(answer, startMs));
    for (const other of others) {
      compared();
      if (isDeepStrictEqual(other, expected)) continue;
      return `step ${n}, ${name}: ${JSON.stringify(other)} is not ${JSON.stringify(expected)}`;
    }
  }
  return undefined;
}
