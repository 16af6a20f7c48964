/** Bugs in what guards resources, which the simulation must find. See `bugs.ts`. */
import type { Bug } from "./bugs.ts";

const RESOURCE = "core/resource.ts";
const GUARD = "flow/guard.ts";
const LOCK = "lock/embedded.ts";

export const RESOURCE_BUGS: readonly Bug[] = [
  {
    name: "the resource's lock is not taken",
    hunt: "sim",
    rule: "overlap",
    seed: 10,
    edits: [
      {
        file: GUARD,
        search: `  if (rules.serialize === "off") return`,
        replace: `  if (rules.serialize !== "reject") return`,
      },
    ],
  },
  {
    name: "a lock that somebody holds is taken",
    hunt: "sim",
    rule: "overlap",
    seed: 10,
    edits: [
      {
        file: LOCK,
        search: `readState(cell.value).leaseUntilMs > nowMs) return { kind: "busy" };`,
        replace: `readState(cell.value).leaseUntilMs > nowMs + 1e9) return { kind: "busy" };`,
      },
    ],
  },
  {
    name: "the lock is given back although the outcome is unknown",
    hunt: "sim",
    rule: "overlap",
    seed: 163,
    edits: [
      {
        file: "flow/aftermath.ts",
        search: `  let others = end.kind !== "unknown";`,
        replace: `  let others = true;`,
      },
    ],
  },
  {
    name: "cells are written without a look at their revision",
    hunt: "sim",
    rule: "overlap",
    seed: 15,
    edits: [
      {
        file: "store/cell.ts",
        search: `  if (standing !== revision) return { answer: "lost" };`,
        replace: `  if (standing > revision + 1e9) return { answer: "lost" };`,
      },
    ],
  },
  {
    name: "a tombstone is not looked at",
    hunt: "sim",
    rule: "resurrected",
    seed: 84,
    edits: [
      {
        file: RESOURCE,
        search: `    if (write.method !== "DELETE" && !revives(write, policy)) {
      return { kind: "gone"`,
        replace: `    if (write.method === "PATCH" && !revives(write, policy)) {
      return { kind: "gone"`,
      },
    ],
  },
  {
    name: "a deletion leaves no tombstone",
    hunt: "sim",
    rule: "resurrected",
    seed: 84,
    edits: [
      {
        file: RESOURCE,
        search: `    return { writer, tombstone: { deletedAtMs: nowMs, untilMs, response, scope: write.scope } };`,
        replace: `    return untilMs < 0 ? { writer, tombstone: { deletedAtMs: nowMs, untilMs, response, scope: write.scope } } : { writer };`,
      },
    ],
  },
  {
    name: "nobody owns what is made once",
    hunt: "sim",
    rule: "two-owners",
    edits: [
      {
        file: RESOURCE,
        search: `    if (taken !== undefined && (taken.settled || taken.record !== write.record)) {`,
        replace: `    if (taken !== undefined && taken.record === "") {`,
      },
    ],
  },
  {
    name: "ownership is written only once the outcome is known",
    hunt: "sim",
    rule: "two-owners",
    seed: 18,
    edits: [
      {
        file: GUARD,
        search: `  if (!rules.once || method === "DELETE") return recalled;`,
        replace: `  if (!rules.once || method !== "PATCH") return recalled;`,
      },
    ],
  },
  {
    name: "an owner whose request is not completed owns nothing",
    hunt: "sim",
    rule: "two-owners",
    seed: 9,
    edits: [
      {
        file: GUARD,
        search: `  if (record.state !== "completed") return verdict;`,
        replace: `  if (record.state !== "completed") return undefined;`,
      },
    ],
  },
  {
    name: "a condition that does not hold is passed",
    hunt: "sim",
    rule: "precondition-passed",
    edits: [
      {
        file: RESOURCE,
        search: `    if (condition === "fails") {`,
        replace: `    if (condition === "malformed") {`,
      },
    ],
  },
  {
    name: "a create-only PUT replaces what stands there",
    hunt: "sim",
    rule: "precondition-passed",
    seed: 22,
    edits: [
      {
        file: RESOURCE,
        search: `    return same ? { kind: "already-there", current } : { kind: "exists" };`,
        replace: `    return same ? { kind: "already-there", current } : { kind: "go" };`,
      },
    ],
  },
  {
    name: "an update-only PUT makes what was not there",
    hunt: "sim",
    rule: "precondition-passed",
    edits: [
      {
        file: RESOURCE,
        search: `  if (policy.put === "update-only" && current.kind === "absent") return { kind: "missing" };\n`,
        replace: "",
      },
    ],
  },
];
