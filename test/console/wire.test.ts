/**
 * What the console's page takes the admin port to say (`wire.ts`), held to what the port says: words and counters by their
 * types, and every answer, as it stands on the wire, member by member.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { loadConfig } from "../../src/config/load.ts";
import type * as wire from "../../src/console/wire.ts";
import type { Resolution } from "../../src/core/desk.ts";
import type { RecordState, UnknownReason } from "../../src/core/record.ts";
import type { Counters } from "../../src/observe/counters.ts";
import { createLog } from "../../src/observe/log.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { sumSnapshots } from "../../src/observe/snapshots.ts";
import { consoleParts } from "../../src/operators.ts";
import { createDesk, IDS } from "../admin/desk.ts";
import { startPort } from "../admin/port.ts";
import { tempDir } from "../support/gateway.ts";
import { readShapes, type Shapes } from "./wire-shape.ts";

/** `true` where each can be used as the other, and has a member wherever the other has one, though it be optional. */
type Same<A, B> = [A, Whole<A>] extends [B, Whole<B>]
  ? [B, Whole<B>] extends [A, Whole<A>]
    ? true
    : false
  : false;

type Whole<T> = T extends readonly (infer Item)[]
  ? readonly Whole<Item>[]
  : T extends object
    ? { readonly [Name in keyof T]-?: Whole<T[Name]> }
    : T;

interface Proofs {
  readonly counters: Same<wire.Counters, Counters>;
  readonly state: Same<wire.RecordView["state"], RecordState>;
  readonly reason: Same<NonNullable<wire.RecordView["reason"]>, UnknownReason>;
  readonly outcome: Same<wire.Outcome, Resolution>;
  /** That the question can be answered with no. */
  readonly more: Same<readonly { readonly a: 1 }[], readonly { readonly a: 1; readonly b?: 2 }[]>;
  readonly maybe: Same<{ readonly a: 1 }, { readonly a?: 1 }>;
}

// Only the compiler can find fault with this.
void ({
  counters: true,
  state: true,
  reason: true,
  outcome: true,
  more: false,
  maybe: false,
} satisfies Proofs);

const WIRE = new URL("../../src/console/wire.ts", import.meta.url);
const TEXT = readFileSync(WIRE, "utf8");

const SETTINGS = {
  upstream: { url: "http://127.0.0.1:3000" },
  store: { url: "memory:" },
  quotas: { newKeys: { perSecond: 5 }, liveRecords: 9 },
  defaults: { key: { from: "body", pointers: ["/date"] } },
  routes: [{ name: "charges", match: { methods: ["POST"], path: "/v1/charges" } }],
};

/** A port that says everything that it can say. */
async function talkative(t: Test) {
  const file = join(tempDir(t), "gateway.json");
  writeFileSync(file, JSON.stringify(SETTINGS));
  const loaded = loadConfig(["--config", file], {});
  if (loaded.kind !== "run") throw new Error(JSON.stringify(loaded));
  const { config } = loaded;
  const metrics = createMetrics({ version: "test", routes: ["charges"] });
  metrics.began();
  metrics.finished({
    route: "charges",
    method: "POST",
    path: "/v1/charges",
    outcome: "shadow",
    wouldBe: "replayed",
    status: 201,
    durationMs: 12,
    upstreamMs: 10,
  });
  metrics.storeCall("claim", 0.001, false);
  const workers = { answering: 2, silent: 0 };
  const snapshot = async () => sumSnapshots([await metrics.snapshot()], workers).snapshot();
  const desk = createDesk();
  return startPort(t, {
    ...consoleParts(() => config, { log: createLog({ level: "silent" }), snapshot }),
    desk: {
      ...desk,
      list: async (query) => ({ ...(await desk.list(query)), damaged: ["d".repeat(64)] }),
    },
    problems: async () => ["the store cannot be reached"],
    showAnswers: () => true,
    replaysOf: async () => {
      return { told: [{ by: "gateway/1", count: 2, lastAtMs: 1_800_000_000_000 }], silent: 1 };
    },
  });
}

/** Everything that the page asks for, held to the type that it takes it for. */
async function complaints(t: Test, shapes: Shapes): Promise<readonly string[]> {
  const { ask } = await talkative(t);
  const pages: readonly (readonly [string, string])[] = [
    ["/v1/counters", "Counters"],
    ["/v1/status", "Status"],
    ["/v1/routes", "Routes"],
    ["/v1/records", "RecordPage"],
    ["/v1/records?limit=1", "RecordPage"],
    ...Object.values(IDS)
      .filter((id) => id !== IDS.absent)
      .flatMap((id): [string, string][] => [
        [`/v1/records/${id}`, "RecordStory"],
        [`/v1/records/${id}/answer`, "Recorded"],
      ]),
  ];
  const found = await Promise.all(
    pages.map(async ([path, name]) => {
      const answer = await ask(path);
      t.equal(answer.status, 200, path);
      return shapes.complaints(answer.json, name);
    }),
  );
  const headers = { "Content-Type": "application/json" };
  const body = JSON.stringify({ key: "a", headers: {} });
  const searched = await ask("/v1/records/search", { method: "POST", headers, body });
  t.equal(searched.status, 200);
  return [...found.flat(), ...shapes.complaints(searched.json, "RecordPage")];
}

t.test("every answer has the members that the page reads, and no other", async (t) => {
  const shapes = readShapes("wire.ts", TEXT);
  t.same(await complaints(t, shapes), []);
  t.same(shapes.unseen(), [], "and the page reads nothing that no answer has");
});

t.test("a name that drifts on one side is told, required or optional", async (t) => {
  const drifts = [
    ["readonly inFlight: number", "readonly inflight: number", "Counters.inFlight"],
    ["readonly leaseMs: number", "readonly lease: number", "Status.store.leaseMs"],
    ["readonly since?: string", "readonly sinceAt?: string", ".since: is in no type"],
    ["readonly shownBytes: number", "readonly shown: number", "shownBytes"],
    ["readonly methods: readonly string[]", "readonly methods: string", "match.methods"],
    ["readonly cursor?: string;\n", "", ".cursor: is in no type"],
  ];
  for (const [from = "", to = "", told = ""] of drifts) {
    t.equal(TEXT.split(from).length, 2, `${from} stands there once`);
    const found = await complaints(t, readShapes("wire.ts", TEXT.replace(from, to)));
    t.ok(
      found.some((line) => line.includes(told)),
      `${from}: ${found.join("; ")}`,
    );
  }
  const gone = readShapes(
    "wire.ts",
    TEXT.replace("cursor?", "older?: string;\n  readonly cursor?"),
  );
  t.same(await complaints(t, gone), []);
  t.same(gone.unseen(), ["RecordPage.older"], "one that the port no longer sends");
});
