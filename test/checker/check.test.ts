/** The checker itself: for each rule a history that breaks it and no other, and one like it that breaks none. */
import t from "tap";
import { check } from "./check.ts";
import { RULES, type History, type Rule } from "./history.ts";
import {
  answers,
  asks,
  breaks,
  claimed,
  completed,
  executes,
  faultFree,
  faultsOver,
  forgotten,
  found,
  history,
  lostWrite,
  releases,
  storeLost,
  told,
  unanswered,
  writes,
} from "./written.ts";

interface Case {
  readonly rule: Rule;
  readonly claim: string;
  readonly breaks: History;
  readonly keeps: History;
}

const RESEND = { onUnknown: "resend" } as const;
const OTHER = { fingerprint: "f2" };
const BOB = { scope: "bob" };

const once = writes("create", { once: true });
const serialized = writes("update", { serialized: true });
const mortal = { tombstones: true };

const CASES: readonly Case[] = [
  {
    rule: "executed-twice",
    claim: "blocked, a key executes once, whatever the fences",
    breaks: history(asks(1), executes(1, 1), breaks(1), asks(2), executes(2, 2), answers(2)),
    keeps: history(
      asks(1, RESEND),
      executes(1, 1),
      breaks(1),
      asks(2, RESEND),
      executes(2, 2),
      answers(2),
    ),
  },
  {
    rule: "executed-twice",
    claim: "resent, a key executes once for each fence",
    breaks: history(asks(1, RESEND), executes(1, 1), breaks(1), executes(2, 1), answers(2)),
    keeps: history(asks(1, RESEND), executes(1, 1), breaks(1), executes(2, 2), answers(2)),
  },
  {
    rule: "executed-twice",
    claim: "what the upstream has not processed is no execution",
    breaks: history(asks(1), executes(1, 1), answers(1), executes(2, 1), answers(2)),
    keeps: history(
      asks(1),
      executes(1, 1),
      releases(1),
      told(1, "released", "a1", 503),
      asks(2),
      executes(2, 1),
      answers(2),
    ),
  },
  {
    rule: "executed-twice",
    claim: "a forgotten key begins anew",
    breaks: history(asks(1), executes(1, 1), answers(1), executes(2, 1), forgotten()),
    keeps: history(asks(1), executes(1, 1), answers(1), forgotten(), executes(2, 1)),
  },
  {
    rule: "executed-twice",
    claim: "the same key of another caller is another key",
    breaks: history(asks(1), executes(1, 1), answers(1), asks(2), executes(2, 1)),
    keeps: history(asks(1), executes(1, 1), answers(1), asks(2, BOB), executes(2, 1, BOB)),
  },
  {
    rule: "executed-twice",
    claim: "what a store has lost is not promised",
    breaks: history(asks(1), executes(1, 1), answers(1), executes(2, 1), storeLost()),
    keeps: history(asks(1), executes(1, 1), answers(1), storeLost(), executes(2, 1)),
  },
  {
    rule: "unclaimed",
    claim: "an execution has a fence",
    breaks: history(asks(1), executes(1, undefined), answers(1)),
    keeps: history(asks(1, { mayBypass: true }), executes(1, undefined), answers(1)),
  },
  {
    rule: "unclaimed",
    claim: "where claims are told of, an execution has one of its own",
    breaks: history(asks(1, RESEND), claimed(1), executes(1, 1), breaks(1), executes(2, 2)),
    keeps: history(
      asks(1, RESEND),
      claimed(1),
      executes(1, 1),
      breaks(1),
      claimed(2),
      executes(2, 2),
    ),
  },
  {
    rule: "unclaimed",
    claim: "one claim is good for one execution, also where the first was none",
    breaks: history(asks(1), claimed(1), executes(1, 1), releases(1), executes(2, 1), answers(2)),
    keeps: history(
      asks(1),
      claimed(1),
      executes(1, 1),
      releases(1),
      claimed(1),
      executes(2, 1),
      answers(2),
    ),
  },
  {
    rule: "answers-differ",
    claim: "recorded answers are one answer",
    breaks: history(
      asks(1, RESEND),
      executes(1, 1),
      executes(2, 2),
      asks(2, RESEND),
      answers(1),
      answers(2),
      told(1, "executed", "a1"),
      told(2, "replayed", "a2"),
    ),
    keeps: history(
      asks(1, RESEND),
      executes(1, 1),
      executes(2, 2),
      asks(2, RESEND),
      answers(1),
      answers(2),
      told(1, "executed", "a2"),
      told(2, "replayed", "a2"),
    ),
  },
  {
    rule: "answers-differ",
    claim: "what was not recorded may be followed by a resend's answer, what was recorded may not",
    breaks: history(
      asks(1, RESEND),
      executes(1, 1),
      asks(2, RESEND),
      executes(2, 2),
      answers(1),
      told(1, "executed", "a1"),
      answers(2),
      told(2, "executed", "a2"),
    ),
    keeps: history(
      asks(1, RESEND),
      executes(1, 1),
      answers(1),
      told(1, "not-recorded", "a1"),
      asks(2, RESEND),
      executes(2, 2),
      answers(2),
      told(2, "executed", "a2"),
    ),
  },
  {
    rule: "foreign-answer",
    claim: "an answer is the upstream's own, whole",
    breaks: history(asks(1), executes(1, 1), breaks(1), told(1, "executed", "a1")),
    keeps: history(asks(1), executes(1, 1), breaks(1), told(1, "outcome-unknown", undefined, 502)),
  },
  {
    rule: "foreign-answer",
    claim: "an answer belongs to its caller",
    breaks: history(asks(1), executes(1, 1), answers(1), asks(2, BOB), told(2, "replayed", "a1")),
    keeps: history(asks(1), executes(1, 1), answers(1), asks(2), told(2, "replayed", "a1")),
  },
  {
    rule: "foreign-answer",
    claim: "an answer belongs to its key",
    breaks: history(
      asks(1),
      executes(1, 1),
      answers(1),
      asks(2, { key: "k2" }),
      told(2, "executed", "a1"),
    ),
    keeps: history(
      asks(1),
      executes(1, 1),
      answers(1),
      asks(2, { key: "k2" }),
      executes(2, 1, { key: "k2" }),
      answers(2),
      told(2, "executed", "a2"),
    ),
  },
  {
    rule: "mismatch-executed",
    claim: "one key, one fingerprint",
    breaks: history(asks(1), executes(1, 1), breaks(1), asks(2, OTHER), executes(2, 2, OTHER)),
    keeps: history(asks(1), executes(1, 1), releases(1), asks(2, OTHER), executes(2, 1, OTHER)),
  },
  {
    rule: "mismatch-hidden",
    claim: "a reused key is told so, also in flight",
    breaks: history(asks(1), executes(1, 1), asks(2, OTHER), told(2, "in-flight", undefined, 409)),
    keeps: history(asks(1), executes(1, 1), asks(2, OTHER), told(2, "key-reused", undefined, 409)),
  },
  {
    rule: "mismatch-hidden",
    claim: "a reuse is judged by what had been executed when it was begun",
    breaks: history(asks(1), executes(1, 1), asks(2, OTHER), told(2, "outcome-unknown")),
    keeps: history(asks(1), asks(2, OTHER), executes(1, 1), told(2, "in-flight", undefined, 409)),
  },
  {
    rule: "executed-after-recorded",
    claim: "after a recorded answer nothing executes, with whatever fence",
    breaks: history(
      asks(1, RESEND),
      executes(1, 1),
      answers(1),
      told(1, "executed", "a1"),
      executes(2, 2),
    ),
    keeps: history(
      asks(1, RESEND),
      executes(1, 1),
      answers(1),
      told(1, "not-recorded", "a1"),
      executes(2, 2),
    ),
  },
  {
    rule: "executed-after-recorded",
    claim: "a recorded answer binds also where the upstream would turn the next execution away",
    breaks: history(
      asks(1, RESEND),
      executes(1, 1),
      answers(1),
      told(1, "executed", "a1"),
      executes(2, 2),
      releases(2),
    ),
    keeps: history(asks(1, RESEND), executes(1, 1), releases(1), executes(2, 1), releases(2)),
  },
  {
    rule: "mismatch-executed",
    claim: "another request is not sent, whatever the upstream makes of it",
    breaks: history(asks(1), executes(1, 1), answers(1), executes(2, 2, OTHER), releases(2)),
    keeps: history(asks(1), executes(1, 1), releases(1), executes(2, 1, OTHER), releases(2)),
  },
  {
    rule: "executed-after-recorded",
    claim: "a late replay of a forgotten record binds nobody",
    breaks: history(
      asks(1, RESEND),
      executes(1, 1),
      answers(1),
      asks(2, RESEND),
      told(1, "executed", "a1"),
      told(2, "replayed", "a1"),
      executes(2, 2),
      answers(2),
    ),
    keeps: history(
      asks(1, RESEND),
      executes(1, 1),
      answers(1),
      asks(2, RESEND),
      told(1, "executed", "a1"),
      forgotten(),
      told(2, "replayed", "a1"),
      executes(2, 1),
      answers(2),
    ),
  },
  {
    rule: "completion-lost",
    claim: "what was completed is found completed",
    breaks: history(asks(1), executes(1, 1), answers(1), completed(), found("unknown")),
    keeps: history(asks(1), executes(1, 1), answers(1), completed(), forgotten(), found("absent")),
  },
  {
    rule: "completion-lost",
    claim: "whoever asks after the completion is not told that it is open",
    breaks: history(
      asks(1),
      executes(1, 1),
      answers(1),
      completed(),
      asks(2),
      told(2, "in-flight", undefined, 409),
    ),
    keeps: history(
      asks(1),
      executes(1, 1),
      answers(1),
      asks(2),
      completed(),
      told(2, "in-flight", undefined, 409),
    ),
  },
  {
    rule: "completion-lost",
    claim: "what a client was told as recorded counts as completed",
    breaks: history(
      asks(1),
      executes(1, 1),
      answers(1),
      told(1, "executed", "a1"),
      asks(2),
      told(2, "outcome-unknown", undefined, 409),
    ),
    keeps: history(
      asks(1),
      executes(1, 1),
      answers(1),
      told(1, "not-recorded", "a1"),
      asks(2),
      told(2, "outcome-unknown", undefined, 409),
    ),
  },
  {
    rule: "stuck",
    claim: "a lease and a second after the faults nothing is in flight without an owner",
    breaks: history(
      asks(1),
      executes(1, 1),
      unanswered(1),
      faultsOver(1500),
      found("in-flight"),
      asks(2),
      found("in-flight"),
    ),
    keeps: history(
      asks(1),
      executes(1, 1),
      unanswered(1),
      faultsOver(1500),
      found("in-flight"),
      asks(2),
      found("in-flight", true),
    ),
  },
  {
    rule: "stuck",
    claim: "then nobody who is alone is told in-flight",
    breaks: history(
      asks(1),
      executes(1, 1),
      unanswered(1),
      faultsOver(500),
      found("unknown"),
      asks(2),
      told(2, "in-flight", undefined, 409),
    ),
    keeps: history(
      asks(1),
      executes(1, 1),
      faultsOver(500),
      found("unknown"),
      asks(2),
      told(2, "in-flight", undefined, 409),
    ),
  },
  {
    rule: "stuck",
    claim: "the only request that there ever was is not told in-flight",
    breaks: history(asks(1), claimed(1), told(1, "in-flight", undefined, 409)),
    keeps: history(asks(1), claimed(1), asks(2), told(1, "in-flight", undefined, 409)),
  },
  {
    rule: "fault-free",
    claim: "where nothing goes wrong nobody is told that the outcome is unknown",
    breaks: faultFree(asks(1), executes(1, 1), breaks(1), told(1, "outcome-unknown")),
    keeps: history(asks(1), executes(1, 1), breaks(1), told(1, "outcome-unknown")),
  },
  {
    rule: "fault-free",
    claim: "where nothing goes wrong a 5xx is the upstream's own",
    breaks: faultFree(asks(1), told(1, "upstream-unreachable", undefined, 502)),
    keeps: faultFree(asks(1), executes(1, 1), answers(1), told(1, "executed", "a1", 500)),
  },
  {
    rule: "fault-free",
    claim: "where nothing goes wrong no write is lost and everybody has a reply",
    breaks: faultFree(asks(1), lostWrite("complete")),
    keeps: history(asks(1), lostWrite("complete"), unanswered(1)),
  },
  {
    rule: "overlap",
    claim: "serialized writes do not overlap",
    breaks: history(
      executes(1, 1, { resource: serialized }),
      executes(2, 1, { ...BOB, resource: serialized }),
      answers(1),
    ),
    keeps: history(
      executes(1, 1, { resource: serialized }),
      answers(1),
      executes(2, 1, { ...BOB, resource: serialized }),
    ),
  },
  {
    rule: "overlap",
    claim: "writes to two resources may overlap",
    breaks: history(
      executes(1, 1, { resource: serialized }),
      executes(2, 1, { ...BOB, resource: serialized }),
    ),
    keeps: history(
      executes(1, 1, { resource: serialized }),
      executes(2, 1, { ...BOB, resource: { ...serialized, id: "/other" } }),
    ),
  },
  {
    rule: "resurrected",
    claim: "what a client knows to be deleted is not updated",
    breaks: history(
      asks(1),
      executes(1, 1, { resource: writes("delete", mortal) }),
      answers(1),
      told(1, "executed", "a1"),
      executes(2, 1, { ...BOB, resource: writes("update", mortal) }),
    ),
    keeps: history(
      asks(1),
      executes(1, 1, { resource: writes("delete", mortal) }),
      answers(1),
      told(1, "executed", "a1"),
      executes(2, 1, { ...BOB, resource: writes("create", mortal) }),
      answers(2),
      executes(3, 1, { key: "k3", resource: writes("update", mortal) }),
    ),
  },
  {
    rule: "two-owners",
    claim: "the first write that succeeds owns the resource",
    breaks: history(
      executes(1, 1, { resource: once }),
      answers(1),
      executes(2, 1, { ...BOB, resource: once }),
      answers(2),
    ),
    keeps: history(
      executes(1, 1, { resource: once }),
      answers(1),
      executes(2, 1, { key: "k2", resource: writes("delete") }),
      answers(2),
      executes(3, 1, { ...BOB, resource: once }),
      answers(3),
    ),
  },
  {
    rule: "two-owners",
    claim: "a write that fails owns nothing",
    breaks: history(
      executes(1, 1, { resource: once }),
      breaks(1),
      executes(2, 1, { ...BOB, resource: once }),
      answers(2),
    ),
    keeps: history(
      executes(1, 1, { resource: once }),
      releases(1),
      executes(2, 1, { ...BOB, resource: once }),
      answers(2),
    ),
  },
  {
    rule: "precondition-passed",
    claim: "a condition holds when the write comes",
    breaks: history(
      executes(1, 1, { resource: writes("update", { condition: { wanted: "a", current: "b" } }) }),
    ),
    keeps: history(
      executes(1, 1, { resource: writes("update", { condition: { wanted: "b", current: "b" } }) }),
    ),
  },
  {
    rule: "precondition-passed",
    claim: "anything fits `*`, and nothing does not",
    breaks: history(
      executes(1, 1, {
        resource: writes("update", { condition: { wanted: "*", current: undefined } }),
      }),
    ),
    keeps: history(
      executes(1, 1, { resource: writes("update", { condition: { wanted: "*", current: "b" } }) }),
    ),
  },
];

for (const { rule, claim, breaks: broken, keeps } of CASES) {
  t.test(`${rule}: ${claim}`, async (q) => {
    const rules = check(broken).map((violation) => violation.rule);
    q.same([...new Set(rules)], [rule], "caught, by this rule alone");
    q.same(check(keeps), [], "what looks like it passes");
  });
}

t.test("every rule has a history that breaks it", async (q) => {
  const tried = new Set(CASES.map(({ rule }) => rule));
  q.same(RULES.filter((rule) => !tried.has(rule)), []); // prettier-ignore
});

t.test("a history that contradicts itself is not judged", async (q) => {
  q.throws(() => check(history(asks(1), asks(1))), /request 1 is told twice/u);
  q.throws(() => check(history(asks(1), told(2, "executed", "a1"))), /no beginning/u);
  q.throws(() => check(history(executes(1, 1), answers(1), answers(1))), /end of execution 1/u);
});
