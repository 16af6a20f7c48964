/** What is asked of a gateway while one of its calls to Redis goes wrong. Plays; judges nothing. */
import { setTimeout as delay } from "node:timers/promises";
import type { Request, Respond, Unit } from "./unit.ts";

export interface Scenario {
  readonly name: string;
  /** How many calls to Redis it takes where nothing goes wrong; each of them fails in turn. */
  readonly calls: number;
  /** Calls count from the first byte to Redis, not from the moment that the gateway is ready. */
  readonly fromTheStart?: true;
  readonly leaseMs?: number;
  /** Beside `upstream` and `store`, as in YAML. */
  readonly settings?: (redisUrl: string, unit: string) => Readonly<Record<string, unknown>>;
  /** More would be a violation of its own. */
  readonly mostExecutions?: number;
  readonly respond?: Respond;
  play(unit: Unit): Promise<void>;
  /** Each is asked again in the end until its answer is final. */
  readonly requests: readonly Request[];
}

const POST: Request = { method: "POST", path: "/charges", key: "key-1", body: '{"a":1}' };
const SECOND: Request = { ...POST, key: "key-2" };
const THIRD: Request = { ...POST, key: "key-3" };
const PUT: Request = { method: "PUT", path: "/charges/1", key: "key-1", body: '{"a":1}' };

/** Until it is so, or as long as nothing of it would be a violation of its own. */
async function soon(question: () => boolean): Promise<void> {
  for (let tries = 0; tries < 100 && !question(); tries += 1) await delay(5);
}

async function duplicate(unit: Unit, second: (first: Promise<unknown>) => Promise<void>) {
  unit.hold();
  let over = false;
  const first = unit.ask(POST).finally(() => (over = true));
  await soon(() => over || unit.executions > 0);
  await second(first);
  unit.release();
  await first;
}

const resource = { serialized: true, once: false, tombstones: true, id: "thing" };
const THING: Request = {
  ...{ method: "PUT", path: "/things/1", key: "put-1", body: '{"v":1}' },
  resource: { ...resource, effect: "create" },
};
const CHANGE: Request = {
  ...{ method: "PUT", path: "/things/1", key: "put-2", body: '{"v":2}' },
  headers: { "if-match": '"v1"' },
  resource: { ...resource, effect: "update" },
};
const REMOVE: Request = {
  ...{ method: "DELETE", path: "/things/1", key: "delete-1" },
  resource: { ...resource, effect: "delete" },
};
const LATE_CHANGE: Request = {
  ...{ method: "PUT", path: "/things/1", key: "put-3", body: '{"v":3}' },
  resource: { ...resource, effect: "update" },
};
const slot = {
  serialized: true,
  once: true,
  tombstones: false,
  id: "slot",
  effect: "create",
} as const;
const BOOKING: Request = {
  ...{ method: "POST", path: "/slots", key: "a", caller: "ann", body: '{"slot":"9"}' },
  resource: slot,
};
const RIVAL: Request = { ...BOOKING, key: "b", caller: "bob" };

const wait = { serialize: "wait" };
const thingRoute = {
  name: "things",
  waitTimeout: "300ms",
  match: { path: "/things/:id", methods: ["PUT", "DELETE"] },
  resource: {
    ...wait,
    ...{ id: "path", precondition: "honour" },
    afterDelete: { remember: "1h", put: 410, delete: "replay" },
  },
};

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "plain",
    calls: 4,
    requests: [POST],
    async play(unit) {
      await unit.ask(POST);
      await unit.ask(POST);
    },
  },
  {
    name: "from-the-start",
    calls: 10,
    fromTheStart: true,
    requests: [POST],
    async play(unit) {
      await soon(() => unit.proxy.calls.length >= 3);
      await unit.ask(POST);
      await unit.ask(POST);
    },
  },
  {
    name: "health",
    calls: 2,
    requests: [POST],
    async play(unit) {
      await unit.gateway.store.problems();
      await unit.gateway.store.problems();
    },
  },
  {
    name: "duplicate-rejected",
    calls: 4,
    requests: [POST],
    play: (unit) =>
      duplicate(unit, async () => {
        await unit.ask(POST);
      }),
  },
  {
    name: "duplicate-waits",
    calls: 13,
    requests: [POST],
    settings: () => ({ defaults: { onInFlight: "wait", waitTimeout: "1s" } }),
    async play(unit) {
      let second: Promise<unknown> | undefined;
      await duplicate(unit, async () => {
        second = unit.ask(POST);
        await soon(() => unit.proxy.calls.filter((name) => name === "claim").length >= 4);
      });
      await second;
    },
  },
  {
    name: "mismatch",
    calls: 4,
    requests: [POST],
    async play(unit) {
      await unit.ask(POST);
      await unit.ask({ ...POST, body: '{"a":2}' });
    },
  },
  {
    name: "unknown",
    calls: 4,
    requests: [POST],
    respond: () => ({ kind: "cut" }),
    async play(unit) {
      await unit.ask(POST);
      await unit.ask(POST);
    },
  },
  {
    name: "probed",
    calls: 8,
    requests: [POST],
    settings: (_, unit) => ({
      defaults: {
        onUnknown: "probe",
        probe: { path: "/by-key/{key}", headers: [{ name: "x-unit", value: unit }] },
      },
    }),
    respond: () => ({ kind: "cut", told: 201 }),
    async play(unit) {
      await unit.ask(POST);
      await unit.ask(POST);
      await unit.ask(POST);
    },
  },
  {
    name: "quota",
    calls: 11,
    requests: [POST, SECOND, THIRD],
    settings: () => ({ quotas: { liveRecords: 2 } }),
    mostExecutions: 2,
    async play(unit) {
      await unit.ask(POST);
      await unit.ask(SECOND);
      await unit.ask(THIRD);
    },
  },
  {
    name: "resend",
    calls: 5,
    requests: [PUT],
    respond: (execution) => (execution === 1 ? { kind: "cut" } : { kind: "answer", status: 200 }),
    async play(unit) {
      await unit.ask(PUT);
      await unit.ask(PUT);
    },
  },
  {
    name: "released",
    calls: 5,
    requests: [POST],
    respond: (execution) => ({ kind: "answer", status: execution === 1 ? 503 : 201 }),
    async play(unit) {
      await unit.ask(POST);
      await unit.ask(POST);
    },
  },
  {
    name: "not-replayable",
    calls: 4,
    requests: [POST],
    settings: () => ({ defaults: { limits: { responseBytes: "1KiB" } } }),
    respond: () => ({ kind: "answer", status: 201, padding: 3000 }),
    async play(unit) {
      await unit.ask(POST);
      await unit.ask(POST);
    },
  },
  {
    name: "things",
    calls: 24,
    leaseMs: 6200,
    requests: [THING, CHANGE, REMOVE, LATE_CHANGE],
    settings: () => ({ routes: [thingRoute] }),
    respond: (_, { method }) => ({ kind: "answer", status: method === "DELETE" ? 200 : 201 }),
    async play(unit) {
      await unit.ask(THING);
      await unit.ask(CHANGE);
      await unit.ask(REMOVE);
      await unit.ask(LATE_CHANGE);
    },
  },
  {
    name: "once",
    calls: 13,
    leaseMs: 6200,
    requests: [BOOKING, RIVAL],
    settings: () => ({
      routes: [
        {
          name: "slots",
          waitTimeout: "300ms",
          match: { path: "/slots", methods: ["POST"] },
          resource: { ...wait, id: { pointers: ["/slot"] }, once: true },
        },
      ],
    }),
    async play(unit) {
      await unit.ask(BOOKING);
      await unit.ask(RIVAL);
    },
  },
  {
    name: "lock-nodes",
    calls: 6,
    requests: [POST],
    settings: (url) => ({ locks: { nodes: [url] } }),
    async play(unit) {
      await unit.ask(POST);
      await unit.ask(POST);
    },
  },
];
