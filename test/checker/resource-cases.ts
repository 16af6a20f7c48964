/** As `cases.ts`, for the rules of resources. */
import type { Case } from "./cases.ts";
import { answers, asks, breaks, executes, history, releases, told, writes } from "./written.ts";

const BOB = { scope: "bob" };
const once = writes("create", { once: true });
const serialized = writes("update", { serialized: true });
const mortal = { tombstones: true };

export const RESOURCE_CASES: readonly Case[] = [
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
  {
    rule: "precondition-passed",
    claim: "where nothing may stand, nothing does",
    breaks: history(
      executes(1, 1, {
        resource: writes("create", { condition: { wanted: "none", current: "a" } }),
      }),
    ),
    keeps: history(
      executes(1, 1, {
        resource: writes("create", { condition: { wanted: "none", current: undefined } }),
      }),
    ),
  },
];
