/**
 * The store's decisions as the model knows them: every abstract situation is put to the functions of src/core/record.ts,
 * and what they answer is written down as Promela. So the model cannot drift from the code: `record.pml` is this text,
 * and a test generates it anew. Decides nothing itself.
 */
import {
  decideClaim,
  decideComplete,
  decideMarkUnknown,
  decideRelease,
  type ClaimRequest,
  type RecordedResponse,
  type StoredRecord,
} from "../../src/core/record.ts";
import type { Decision } from "../../src/core/record.ts";
import { decideSettleUnknown } from "../../src/core/probe.ts";
import type { Finding } from "../../src/core/probe-ports.ts";

const STATES = ["ABSENT", "INFLIGHT", "LAPSED", "COMPLETED", "UNKNOWN"] as const;

/** What a decision may depend on, as far as the model can tell situations apart. */
interface Situation {
  readonly state: (typeof STATES)[number];
  /** The token that is presented is the record's. */
  readonly mine: boolean;
  /** The fingerprints are equal. */
  readonly same: boolean;
  readonly first: boolean;
  readonly policy: "block" | "resend";
  /** What a probe has found out. */
  readonly finding: Finding["kind"];
}

/** How Promela asks for each of them. */
const QUESTIONS: readonly {
  readonly values: readonly Partial<Situation>[];
  readonly ask: (value: Partial<Situation>) => string;
}[] = [
  {
    values: STATES.map((state) => ({ state })),
    ask: ({ state }) => `sit == ${state}`,
  },
  {
    values: [{ same: false }, { same: true }],
    ask: ({ same }) => (same === true ? "same" : "!same"),
  },
  {
    values: [{ mine: true }, { mine: false }],
    ask: ({ mine }) => (mine === true ? "mine" : "!mine"),
  },
  {
    values: [{ first: true }, { first: false }],
    ask: ({ first }) => (first === true ? "fence == 1" : "fence > 1"),
  },
  {
    values: [{ policy: "block" }, { policy: "resend" }],
    ask: ({ policy }) => (policy === "block" ? "policy == BLOCKS" : "policy == RESENDS"),
  },
  {
    values: [{ finding: "executed" }, { finding: "not-executed" }],
    ask: ({ finding }) => (finding === "executed" ? "by > 0" : "by == 0"),
  },
];

const NOW_MS = 1_000_000;
const LEASE_MS = 40_000;
const RETENTION_MS = 500_000;
const MINE = "0a".repeat(16);
const OTHERS = "0b".repeat(16);
const FRESH = "0c".repeat(16);
const ID = "01".repeat(32);

const RESPONSE = { status: 201, headers: [], body: Buffer.from("new") };
const PROBED = { status: 200, headers: [], body: Buffer.from("found out") };

function storedIn({ state, mine, first }: Situation): StoredRecord | undefined {
  const base = {
    id: ID,
    fingerprint: "ab".repeat(32),
    fence: first ? 1 : 7,
    createdAtMs: NOW_MS - 100_000,
    method: "PUT",
    target: "/a",
    route: "a",
    claimedBy: "gateway/1",
    token: mine ? MINE : OTHERS,
    expiresAtMs: NOW_MS + RETENTION_MS,
  };
  switch (state) {
    case "ABSENT":
      return undefined;
    case "INFLIGHT":
      return { ...base, state: "in-flight", leaseUntilMs: NOW_MS + 1 };
    case "LAPSED":
      return { ...base, state: "in-flight", leaseUntilMs: NOW_MS };
    case "COMPLETED": {
      const response = { status: 200, headers: [], body: Buffer.from("old") };
      return { ...base, state: "completed", completedAtMs: NOW_MS - 50_000, response };
    }
    case "UNKNOWN":
      return { ...base, state: "unknown", reason: "reset", sinceMs: NOW_MS - 50_000 };
  }
}

const claimIn = ({ same, policy }: Situation): ClaimRequest => ({
  id: ID,
  token: MINE,
  fingerprint: (same ? "ab" : "cd").repeat(32),
  method: "PUT",
  target: "/a",
  route: "a",
  claimedBy: "gateway/1",
  leaseMs: LEASE_MS,
  unknownRetentionMs: RETENTION_MS,
  onUnknown: policy,
});

const findingIn = ({ finding }: Situation): Finding =>
  finding === "executed"
    ? { kind: finding, by: "probe", response: PROBED, retentionMs: RETENTION_MS, token: FRESH }
    : { kind: finding };

/** The transitions, so that a test can put a wrong one in the place of one. */
export interface Decisions {
  readonly decideClaim: typeof decideClaim;
  readonly decideComplete: typeof decideComplete;
  readonly decideRelease: typeof decideRelease;
  readonly decideMarkUnknown: typeof decideMarkUnknown;
  readonly decideSettleUnknown: typeof decideSettleUnknown;
}

export const OF_THE_CODE: Decisions = {
  decideClaim,
  decideComplete,
  decideRelease,
  decideMarkUnknown,
  decideSettleUnknown,
};

/** What a decision does, in Promela's words; the answer is the last of them. */
function effect(
  stored: StoredRecord | undefined,
  { answer, change }: Decision<string | { readonly kind: string }>,
): string {
  const word = typeof answer === "string" ? answer : answer.kind;
  const name = `ans = ${WORDS[word] ?? unheardOf(`the answer ${word}`)}`;
  if (change.kind === "keep") return name;
  if (change.kind === "delete") return `forgotten(); ${name}`;
  return [...difference(stored, change.record), name].join("; ");
}

const WORDS: Readonly<Record<string, string>> = {
  granted: "GRANTED",
  replay: "REPLAY",
  busy: "BUSY",
  mismatch: "MISMATCH",
  unknown: "IS_UNKNOWN",
  done: "DONE",
  lost: "LOST",
};

/** What of the record is other than before, field by field. */
function difference(before: StoredRecord | undefined, after: StoredRecord): string[] {
  return [
    stateOf(after),
    ...(after.token === before?.token ? [] : [tokenOf(after)]),
    ...(after.fence === before?.fence ? [] : [fenceOf(before, after)]),
    ...(before === undefined ? ["recfp = FP(t)"] : []),
    ...(before !== undefined && after.fingerprint !== before.fingerprint ? ["recfp = FP(t)"] : []),
  ];
}

function stateOf(after: StoredRecord): string {
  switch (after.state) {
    case "in-flight":
      if (after.leaseUntilMs !== NOW_MS + LEASE_MS) return unheardOf("a lease");
      return "st = INFLIGHT; over = false";
    case "completed":
      return `st = COMPLETED; over = false; ${answerOf(after.response)}`;
    case "unknown":
      return "st = UNKNOWN; over = false";
  }
}

function answerOf(response: RecordedResponse | undefined): string {
  if (response === RESPONSE) return "val = t + 1";
  return response === PROBED ? "val = by" : unheardOf("a response");
}

function tokenOf({ token }: StoredRecord): string {
  if (token === MINE) return "tok = t";
  return token === FRESH ? "tok = NOBODY" : unheardOf("a token");
}

function fenceOf(before: StoredRecord | undefined, { fence }: StoredRecord): string {
  if (fence === 1) return "fence = 1";
  return fence === (before?.fence ?? 0) + 1 ? "fence = fence + 1" : unheardOf("a fence");
}

function unheardOf(what: string): never {
  throw new Error(`The model has no word for ${what} that src/core/record.ts decides.`);
}

/** One question after another, each only where the effect depends on it. */
function tree(
  situation: Partial<Situation>,
  effectIn: (at: Situation) => string,
  asked = 0,
): string[] {
  const effects = new Set(everySituation(situation, asked).map(effectIn));
  const [only] = effects;
  if (effects.size === 1 && only !== undefined) return [only];
  const question = QUESTIONS[asked] ?? unheardOf("a difference");
  const branches = question.values.map((value) => ({
    when: question.ask(value),
    lines: tree({ ...situation, ...value }, effectIn, asked + 1),
  }));
  const [first] = branches;
  if (first !== undefined && branches.every(({ lines }) => lines.join() === first.lines.join())) {
    return first.lines;
  }
  return [
    "if",
    ...branches.flatMap(({ when, lines: [head = "", ...rest] }) => [
      `:: ${when} -> ${head}`,
      ...rest.map((line) => `   ${line}`),
    ]),
    "fi",
  ];
}

function everySituation(situation: Partial<Situation>, asked: number): Situation[] {
  return QUESTIONS.slice(asked)
    .reduce<Partial<Situation>[]>(
      (all, { values }) => all.flatMap((one) => values.map((value) => ({ ...one, ...value }))),
      [situation],
    )
    .map((one) => one as Situation);
}

/** The text of `record.pml`. */
export function recordModel(decisions: Decisions): string {
  const claim = (at: Situation): string => {
    const stored = storedIn(at);
    return effect(stored, decisions.decideClaim(stored, claimIn(at), NOW_MS));
  };
  const complete = (at: Situation): string => {
    const stored = storedIn(at);
    return effect(stored, decisions.decideComplete(stored, MINE, RESPONSE, RETENTION_MS, NOW_MS));
  };
  const release = (at: Situation): string => {
    const stored = storedIn(at);
    return effect(stored, decisions.decideRelease(stored, MINE, NOW_MS));
  };
  const mark = (at: Situation): string => {
    const stored = storedIn(at);
    const decision = decisions.decideMarkUnknown(stored, MINE, "reset", RETENTION_MS, NOW_MS);
    return effect(stored, decision);
  };
  const settle = (at: Situation): string => {
    const stored = storedIn(at);
    return effect(stored, decisions.decideSettleUnknown(stored, MINE, findingIn(at), NOW_MS));
  };
  return [
    "/*",
    " * What the store decides, generated from src/core/record.ts: `sit` is the record's state as of now, `mine` whether the",
    " * token is the one that is presented, `same` whether the fingerprints are equal. Not to be edited by hand.",
    " */",
    "",
    "#define forgotten() st = ABSENT; over = false; tok = 0; fence = 0; val = 0; recfp = 0",
    ...inline("decide_claim", tree({}, claim)),
    ...inline("decide_complete", tree({}, complete)),
    ...inline("decide_release", tree({}, release)),
    ...inline("decide_mark", tree({}, mark)),
    ...inline("decide_settle", tree({}, settle)),
    "",
  ].join("\n");
}

function inline(name: string, lines: readonly string[]): string[] {
  return ["", `inline ${name}(t) {`, ...lines.map((line) => `  ${line}`), "}"];
}
