/** Bugs of the core, the line and the locks, which the simulation must find. See `bugs.ts`. */
import type { Bug } from "./bugs.ts";

const RECORD = "core/record.ts";
const SETTLE = "flow/settle.ts";

export const LINE_BUGS: readonly Bug[] = [
  {
    name: "a completion without a look at the token",
    hunt: "wire",
    rule: "answers-differ",
    edits: [
      {
        file: RECORD,
        search: `  if (record === undefined || record.token !== token) {
    return { answer: { kind: "lost" }, change: KEEP };`,
        replace: `  if (record === undefined) {
    return { answer: { kind: "lost" }, change: KEEP };`,
      },
    ],
  },
  {
    name: "a claim in flight is taken over",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: RECORD,
        search: `      return { answer: { kind: "busy", record, nowMs }, change: KEEP };`,
        replace: `      return grant(claim, record.fence + 1, record.createdAtMs, nowMs);`,
      },
    ],
  },
  {
    name: "a claim that is asked for again counts as somebody else's",
    hunt: "sim",
    rule: "stuck",
    edits: [
      {
        file: RECORD,
        search: `      if (record.token === claim.token) {`,
        replace: `      if (record.token === "") {`,
      },
    ],
  },
  {
    name: "a lease is as long as the retention",
    hunt: "sim",
    rule: "stuck",
    edits: [
      {
        file: RECORD,
        search: `  if (record.state !== "in-flight" || record.leaseUntilMs > nowMs) return record;`,
        replace: `  if (record.state !== "in-flight" || record.expiresAtMs > nowMs) return record;`,
      },
    ],
  },
  {
    name: "a reset releases the key",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: SETTLE,
        search: `    case "unknown":
      return markUnknown(owned, forwarded.reason, policy, deps);`,
        replace: `    case "unknown":
      if (forwarded.reason === "reset") return release(owned, deps);
      return markUnknown(owned, forwarded.reason, policy, deps);`,
      },
    ],
  },
  {
    name: "the answer is told before it is recorded",
    hunt: "sim",
    rule: "completion-lost",
    edits: [
      {
        file: "flow/exchange.ts",
        search: `  const settled = await settle(guarded, owned, admitted.policy, deps);`,
        replace: `  const settling2 = settle(guarded, owned, admitted.policy, deps);
  const isAnswer = guarded.forwarded.kind === "answered" && guarded.forwarded.answer.status < 400;
  if (isAnswer) deps.background(settling2.then(() => undefined));
  const settled = isAnswer ? { kind: "recorded" as const, expiresAtMs: 0 } : await settling2;`,
      },
    ],
  },
  {
    name: "the scope is left out of the record id",
    hunt: "sim",
    rule: "foreign-answer",
    seed: 47,
    edits: [
      {
        file: "core/key.ts",
        search: `  digest.add(scope);
  digest.add(key);`,
        replace: `  digest.add(scope.slice(64));
  digest.add(key);`,
      },
    ],
  },
  {
    name: "a claim is decided by what a replica has",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: "store/memory.ts",
        search: `  const hub = new SettleHub(POLL_MS);`,
        replace: `  const hub = new SettleHub(POLL_MS);
  const replica = new Map<string, StoredRecord | undefined>();
  let replicate = (): void => undefined;`,
      },
      {
        file: "store/memory.ts",
        search: `    const { answer, change } = decide(records.get(id), nowMs);`,
        replace: `    const { answer, change } = decide(replica.get(id), nowMs);
    replicate();
    replicate = () => void replica.set(id, records.get(id));`,
      },
    ],
  },
  {
    name: "a mismatch is told only once the first request has ended",
    hunt: "sim",
    rule: "mismatch-hidden",
    seed: 14,
    edits: [
      {
        file: RECORD,
        search: `  if (record.fingerprint !== claim.fingerprint) {`,
        replace: `  if (record.state !== "in-flight" && record.fingerprint !== claim.fingerprint) {`,
      },
    ],
  },
  {
    name: "an unknown outcome is resent without a look at the fingerprint",
    hunt: "sim",
    rule: "mismatch-executed",
    seed: 173,
    edits: [
      {
        file: RECORD,
        search: `  if (record.fingerprint !== claim.fingerprint) {`,
        replace: `  if (record.state !== "unknown" && record.fingerprint !== claim.fingerprint) {`,
      },
    ],
  },
  {
    name: "every unknown outcome is resent",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: "flow/claim.ts",
        search: `    onUnknown: unknownPolicy(policy, method),`,
        replace: `    onUnknown: "resend",`,
      },
    ],
  },
  {
    name: "the release of a resend forgets the earlier send",
    hunt: "sim",
    rule: "executed-twice",
    seed: 30,
    edits: [
      {
        file: RECORD,
        search: `  if (stored.fence === 1) return { answer: "done", change: { kind: "delete" } };`,
        replace: `  if (stored.fence >= 1) return { answer: "done", change: { kind: "delete" } };`,
      },
    ],
  },
  {
    name: "a resend has the fence of the send before it",
    hunt: "sim",
    rule: "executed-twice",
    seed: 11,
    edits: [
      {
        file: RECORD,
        search: `        return grant(claim, record.fence + 1, record.createdAtMs, nowMs);`,
        replace: `        return grant(claim, record.fence, record.createdAtMs, nowMs);`,
      },
    ],
  },
  {
    name: "an unknown outcome is written over a completion, whoever says so",
    hunt: "wire",
    rule: "completion-lost",
    edits: [
      {
        file: RECORD,
        search: `  const owned = stored !== undefined && stored.token === token && stored.expiresAtMs > nowMs;
  if (!owned || stored.state === "completed") return { answer: "lost", change: KEEP };`,
        replace: `  const owned = stored !== undefined && stored.expiresAtMs > nowMs;
  if (!owned) return { answer: "lost", change: KEEP };`,
      },
      {
        file: RECORD,
        search: `    ...baseOf(stored),
    state: "unknown",
    reason,`,
        replace: `    ...baseOf(stored as UnknownRecord),
    state: "unknown",
    reason,`,
      },
    ],
  },
  {
    name: "an unknown outcome is forgotten after a second",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: RECORD,
        search: `  if (record === undefined || record.expiresAtMs <= nowMs) return undefined;`,
        replace: `  if (record === undefined || record.expiresAtMs <= nowMs) return undefined;
  if (record.state === "unknown" && record.sinceMs + 1000 < nowMs) return undefined;`,
      },
    ],
  },
  {
    name: "a claim whose lease is over is released",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: RECORD,
        search: `  return { ...base, state: "unknown", reason: "crash", sinceMs: leaseUntilMs };`,
        replace: `  return { ...base, leaseUntilMs } && undefined;`,
      },
    ],
  },
  {
    name: "an answer that could not be recorded releases the key",
    hunt: "sim",
    rule: "executed-twice",
    edits: [
      {
        file: SETTLE,
        search: `    void writeLater(owned, "complete", again, deps);`,
        replace: `    const free = (): Promise<WriteAnswer> => deps.store.release(owned.id, owned.token);
    void writeLater(owned, "complete", free, deps);`,
      },
    ],
  },
  {
    name: "a completion that is lost is told as recorded",
    hunt: "wire",
    rule: "answers-differ",
    edits: [
      {
        file: SETTLE,
        search: `    deps.observer.lostWrite("complete");
    return await whatStandsThere(owned, deps);`,
        replace: `    deps.observer.lostWrite("complete");
    await whatStandsThere(owned, deps);
    return { kind: "recorded", expiresAtMs: 0 };`,
      },
    ],
  },
  {
    name: "the fence is not sent",
    hunt: "sim",
    rule: "unclaimed",
    edits: [
      {
        file: "flow/forward.ts",
        search: `  return [...kept, ...key, ...fence];`,
        replace: `  return fence.length > 1 ? [...kept, ...key, ...fence] : [...kept, ...key];`,
      },
    ],
  },
  {
    name: "the fingerprint is not compared",
    hunt: "sim",
    rule: "foreign-answer",
    edits: [
      {
        file: RECORD,
        search: `  if (record.fingerprint !== claim.fingerprint) {`,
        replace: `  if (record.fingerprint.length !== claim.fingerprint.length) {`,
      },
    ],
  },
  {
    name: "a store that cannot be asked is passed by",
    hunt: "sim",
    rule: "unclaimed",
    edits: [
      {
        file: "flow/exchange.ts",
        search: `  if (claimed.kind === "unavailable" && policy.onStoreError === "bypass") {`,
        replace: `  if (claimed.kind === "unavailable") {`,
      },
    ],
  },
  {
    name: "a completion is acknowledged and not written",
    hunt: "sim",
    rule: "executed-after-recorded",
    edits: [
      {
        file: RECORD,
        search: `    change: { kind: "put", record: completed },`,
        replace: `    change: completed.fence > 0 ? KEEP : { kind: "put", record: completed },`,
      },
    ],
  },
  {
    name: "an answer that says not processed makes the outcome unknown",
    hunt: "sim",
    rule: "fault-free",
    edits: [
      {
        file: SETTLE,
        search: `    case "release":
      return release(owned, deps);`,
        replace: `    case "release":
      return markUnknown(owned, "reset", policy, deps);`,
      },
    ],
  },
];
