/** A desk over a few records that run through all states, for the admin port to show and change. */
import type { ListPage, ListQuery, RecordDesk } from "../../src/core/ports.ts";
import { decideForget, decideResolve } from "../../src/core/desk.ts";
import { decideSettleUnknown } from "../../src/core/probe.ts";
import type { ProbeStore } from "../../src/core/probe-ports.ts";
import { asOf, type StoredRecord, summarise } from "../../src/core/record.ts";

export const NOW_MS = Date.parse("2026-01-02T03:04:05.678Z");

/** In what must never be shown: the token, the fingerprint, the query, bodies, and other recorded headers. */
export const CANARY = "c0ffee5ec2e7";

export const IDS = {
  inFlight: "1".repeat(64),
  completed: "2".repeat(64),
  notReplayable: "3".repeat(64),
  resolved: "4".repeat(64),
  unknown: "5".repeat(64),
  absent: "f".repeat(64),
};

function records(): readonly StoredRecord[] {
  const base = {
    fingerprint: CANARY.padEnd(64, "0"),
    fence: 1,
    createdAtMs: NOW_MS - 5000,
    method: "POST",
    target: `/v1/charges?card=${CANARY}`,
    route: "charges",
    claimedBy: "gateway/1",
    token: CANARY.padEnd(32, "0"),
    expiresAtMs: NOW_MS + 86_400_000,
  };
  const response = {
    status: 201,
    headers: [
      ["content-type", "application/json"],
      ["LOCATION", `/v1/charges/ch_1?signature=${CANARY}`],
      ["Set-Cookie", `session=${CANARY}`],
    ] as const,
    body: new TextEncoder().encode(CANARY),
  };
  const completed = {
    ...base,
    state: "completed",
    completedAtMs: NOW_MS - 1000,
    answeredBy: "upstream",
  } as const;
  return [
    { ...base, id: IDS.inFlight, state: "in-flight", leaseUntilMs: NOW_MS + 30_000 },
    { ...completed, id: IDS.completed, response },
    {
      ...completed,
      id: IDS.notReplayable,
      shadow: true,
      response: { status: 200, headers: [], body: undefined },
    },
    {
      ...completed,
      id: IDS.resolved,
      target: "/v1/charges",
      answeredBy: "operator",
      response: undefined,
    },
    {
      ...base,
      id: IDS.unknown,
      fence: 2,
      state: "unknown",
      reason: "reset",
      sinceMs: NOW_MS - 2000,
    },
  ];
}

export interface Desk extends RecordDesk, ProbeStore {
  /** What was asked of it, in order. */
  readonly asked: readonly unknown[];
  /** The next call rejects with this. */
  breakWith(error: Error): void;
  /** Before the next write of an answer another attempt takes the record over, and is unknown as well. */
  overtake(): void;
}

export function createDesk(): Desk {
  const held = new Map(records().map((record) => [record.id, record]));
  const asked: unknown[] = [];
  let broken: Error | undefined;
  let overtaken = false;
  const ask = (question: unknown): void => {
    asked.push(question);
    const error = broken;
    broken = undefined;
    if (error !== undefined) throw error;
  };
  return {
    asked,
    breakWith(error) {
      broken = error;
    },
    overtake() {
      overtaken = true;
    },
    async look(id) {
      ask({ look: id });
      const record = asOf(held.get(id), NOW_MS);
      return record && { record, nowMs: NOW_MS };
    },
    async settleUnknown(id, attempt, finding) {
      ask({ settle: id, attempt, finding });
      const record = held.get(id);
      if (overtaken && record !== undefined) {
        held.set(id, { ...record, token: "d".repeat(32), fence: record.fence + 1 });
      }
      const { answer, change } = decideSettleUnknown(held.get(id), attempt, finding, NOW_MS);
      if (change.kind === "put") held.set(id, change.record);
      return answer;
    },
    async inspect(id) {
      ask({ inspect: id });
      return asOf(held.get(id), NOW_MS);
    },
    async list(query) {
      ask({ list: query });
      return page([...held.values()], query);
    },
    async forget(id, attempt) {
      ask({ forget: id });
      const { answer, change } = decideForget(held.get(id), NOW_MS, attempt);
      if (change.kind === "delete") held.delete(id);
      return answer;
    },
    async resolve(id, outcome, retentionMs, attempt) {
      ask({ resolve: id, outcome, retentionMs });
      const { answer, change } = decideResolve(held.get(id), outcome, retentionMs, NOW_MS, attempt);
      if (change.kind === "delete") held.delete(id);
      if (change.kind === "put") held.set(id, change.record);
      return answer;
    },
  };
}

function page(all: readonly StoredRecord[], { state, limit, cursor = "0" }: ListQuery): ListPage {
  const from = Number(cursor);
  const found = all.filter((record) => state === undefined || record.state === state);
  const next = from + limit < found.length ? { cursor: String(from + limit) } : {};
  return { records: found.slice(from, from + limit).map(summarise), ...next };
}
