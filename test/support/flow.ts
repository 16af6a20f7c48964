/**
 * The line without sockets: exchange() over the memory store, with a clock that the test moves, an upstream that answers
 * what the test says, and a store that fails when the test says. Everything that happens is written down in `events`.
 */
import { Buffer } from "node:buffer";
import type {
  BodyRead,
  ExchangeReport,
  ForwardOutcome,
  Observer,
  OutboundRequest,
  Passed,
  Reply,
  Store,
} from "../../src/core/ports.ts";
import type { StoreOperation } from "../../src/core/outcome.ts";
import type { Policy, Route } from "../../src/core/policy.ts";
import type { ProbeReport } from "../../src/core/probe-ports.ts";
import type { HeaderPair, StoredRecord } from "../../src/core/record.ts";
import { readsFinder, routeFinder } from "../../src/core/route.ts";
import type { FlowDeps } from "../../src/flow/deps.ts";
import { exchange } from "../../src/flow/exchange.ts";
import { createProber } from "../../src/flow/prober.ts";
import { createDuplicates } from "../../src/flow/sights.ts";
import { createLatency } from "../../src/flow/latency.ts";
import { readJson } from "../../src/http/json.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { createEmbeddedLocks } from "../../src/lock/embedded.ts";
import { faultyStore } from "./faulty-store.ts";
import type { Fault, Faulty } from "./faulty-store.ts";
import { newPolicy } from "./policy.ts";
import { VirtualClock } from "./virtual-clock.ts";

export const LEASE_MS = 40_000;
export const DEADLINE_MS = 30_000;
export const LATE_CLAIM_MS = 300;
/** Longer than the policy keeps what it recorded itself. */
export const RESOLVED_MS = 30 * 86_400_000;
export const EPOCH_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

export interface Sent {
  readonly request: OutboundRequest;
  readonly deadlineMs: number;
  header(name: string): string | undefined;
}

type Script = (sent: Sent, n: number) => ForwardOutcome | Promise<ForwardOutcome>;

export interface Ask {
  readonly method?: string;
  readonly target?: string;
  /** `null`: no key header. */
  readonly key?: string | null;
  readonly headers?: readonly HeaderPair[];
  readonly body?: string;
  /** Instead of `body`. */
  readonly read?: () => BodyRead | Promise<BodyRead>;
  readonly gone?: AbortSignal;
  /** What the tunnel says where the request is passed. */
  readonly passed?: Passed;
}

/** What a client got, and what was reported of it. */
export interface Told {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly text: string;
  readonly report: ExchangeReport;
  /** Set where the request went to the tunnel instead. */
  readonly passed?: { readonly read: string | undefined; readonly told: readonly HeaderPair[] };
  header(name: string): string | undefined;
  problem(): Record<string, unknown>;
}

export function answered(status: number, text = "", headers: HeaderPair[] = []): ForwardOutcome {
  return { kind: "answered", answer: { status, headers, body: Buffer.from(text) } };
}

export interface Line {
  readonly clock: VirtualClock;
  readonly store: Store;
  readonly sent: readonly Sent[];
  readonly events: readonly string[];
  readonly lost: readonly StoreOperation[];
  readonly unknowns: readonly string[];
  readonly probes: readonly ProbeReport[];
  /** Routes of outcomes that are asked about no more, because there were too many. */
  readonly dropped: readonly string[];
  /** How often the upstream was called. */
  calls(): number;
  /** The n-th call (from 1), now or when it comes. */
  arrived(n: number): Promise<Sent>;
  /** From now on; the default answers 201 with the number of the call. */
  respond(script: Script): void;
  /** Calls from now on wait for the returned function. */
  hold(): () => void;
  /** The next calls of an operation do these instead of working. */
  fail(operation: Faulty, ...faults: readonly Fault[]): void;
  ask(ask?: Ask): Promise<Told>;
  /** The one record in the store. */
  record(): Promise<StoredRecord | undefined>;
  asked(operation: Faulty): number;
}

export interface LineOptions {
  readonly policy?: Partial<Policy>;
  readonly routes?: readonly Route[];
  readonly leaseMs?: number;
  /** Where keys in flight are locked as well. */
  readonly keyLocks?: FlowDeps["keyLocks"];
  /** How many unknown outcomes are asked about at once. */
  readonly mostProbed?: number;
  readonly liveRecords?: number;
}

export function newLine(options: LineOptions = {}): Line {
  const clock = new VirtualClock();
  const events: string[] = [];
  const lost: StoreOperation[] = [];
  const unknowns: string[] = [];
  const probes: ProbeReport[] = [];
  const dropped: string[] = [];
  const faults = new Map<Faulty, Fault[]>();
  const memory = createMemoryStore({ now: () => EPOCH_MS + clock.monotonicMs() });
  const store = faultyStore(memory, clock, faults, events);
  const upstream = scriptedUpstream(events);
  let tokens = 0;
  const newToken = (): string => {
    tokens += 1;
    return String(tokens).padStart(32, "0");
  };
  const observer: Observer = {
    began: () => {
      events.push("began");
      return () => events.push("ended");
    },
    finished: () => events.push("finished"),
    lostWrite: (operation) => lost.push(operation),
    unknownOutcome: ({ route, reason }) => unknowns.push(`${route} ${reason}`),
    leftBehind: ({ route, reason }) => unknowns.push(`${route} ${reason}`),
    recordedBytes: () => undefined,
    probed: (report) => probes.push(report),
    probeDropped: (route) => dropped.push(route),
  };
  const deps: FlowDeps = {
    name: "gateway/1",
    findRoute: routeFinder(options.routes ?? [], newPolicy(options.policy)),
    findReads: readsFinder(options.routes ?? []),
    keyLocks: options.keyLocks,
    liveRecords: options.liveRecords,
    locks: createEmbeddedLocks({ cells: memory, newToken, clock }),
    readJson,
    store,
    upstream: { send: upstream.send },
    clock,
    newToken,
    observer,
    latency: createLatency(),
    duplicates: createDuplicates("salt"),
    prober: createProber({
      terms: () => deps,
      store,
      clock,
      observer,
      newToken,
      chance: () => 1,
      most: options.mostProbed ?? 100,
      // Uncaught, it fails the test.
      failed: (error) => {
        throw new Error("a probe failed", { cause: error });
      },
    }),
    limits: {
      leaseMs: options.leaseMs ?? LEASE_MS,
      deadlineMs: DEADLINE_MS,
      lateClaimMs: LATE_CLAIM_MS,
      lockLeaseMs: 3 * DEADLINE_MS,
      resolvedMs: RESOLVED_MS,
    },
    // A rejection here is a defect: unhandled, it fails the test.
    background: (work) => void work,
  };
  return {
    clock,
    store,
    sent: upstream.sent,
    events,
    lost,
    unknowns,
    probes,
    dropped,
    calls: () => upstream.sent.length,
    arrived: upstream.arrived,
    respond: upstream.respond,
    hold: upstream.hold,
    fail: (operation, ...next) => faults.set(operation, [...next]),
    ask: (ask = {}) => askOnce(ask, deps, events),
    record: async () => {
      const [summary] = (await memory.list({ limit: 1 })).records;
      return summary === undefined ? undefined : memory.inspect(summary.id);
    },
    asked: (operation) => events.filter((event) => event === `store.${operation}`).length,
  };
}

async function askOnce(ask: Ask, deps: FlowDeps, events: string[]): Promise<Told> {
  const key: HeaderPair[] = ask.key === null ? [] : [["Idempotency-Key", ask.key ?? "key-1"]];
  const headers: HeaderPair[] = [...key, ["Content-Type", "application/json"], ...(ask.headers ?? [])]; // prettier-ignore
  let reply: Reply | undefined;
  let passed: Told["passed"];
  let report: ExchangeReport | undefined;
  const bytes = Buffer.from(ask.body ?? '{"amount":1}');
  await exchange(
    {
      method: ask.method ?? "POST",
      target: ask.target ?? "/v1/charges",
      headers,
      forwardHeaders: headers,
      readBody: async (limit) => {
        events.push("read body");
        if (ask.read !== undefined) return ask.read();
        if (bytes.length > limit) return { kind: "too-large", read: bytes.subarray(0, limit) };
        return { kind: "body", bytes };
      },
      watchBody: async (limit) => {
        events.push("watch body");
        if (ask.read !== undefined) return ask.read();
        return bytes.length > limit
          ? { kind: "too-large", read: new Uint8Array() }
          : { kind: "body", bytes };
      },
      gone: ask.gone ?? new AbortController().signal,
    },
    {
      send: async (told) => {
        events.push("client.send");
        reply = { ...told, body: await whole(told.body) };
      },
      pass: async (read, told = []) => {
        events.push("client.pass");
        passed = { read: read === undefined ? undefined : Buffer.from(read).toString(), told };
        return ask.passed ?? { status: 200, outcome: "passed" };
      },
    },
    {
      ...deps,
      observer: {
        ...deps.observer,
        finished: (finished) => {
          report = finished;
          deps.observer.finished(finished);
        },
      },
    },
  );
  if (report === undefined) throw new Error("an exchange ended without a report");
  return newTold(report, reply, passed);
}

function newTold(report: ExchangeReport, reply: Reply | undefined, passed: Told["passed"]): Told {
  const headers = reply?.headers ?? [];
  const text = Buffer.from((reply?.body ?? "") as Uint8Array).toString();
  return {
    status: reply?.status ?? 0,
    headers,
    text,
    report,
    ...(passed !== undefined && { passed }),
    header: (name) => headers.find(([field]) => field.toLowerCase() === name.toLowerCase())?.[1],
    problem: () => JSON.parse(text) as Record<string, unknown>,
  };
}

async function whole(body: Reply["body"]): Promise<Buffer> {
  if (body instanceof Uint8Array) return Buffer.from(body);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function scriptedUpstream(events: string[]) {
  const sent: Sent[] = [];
  const waiting = new Map<number, (sent: Sent) => void>();
  let script: Script = (_, n) => answered(201, `execution ${n}`, [["X-Execution", String(n)]]);
  let gate: Promise<void> = Promise.resolve();
  const send: FlowDeps["upstream"]["send"] = async (request, { deadlineMs }) => {
    const call: Sent = {
      request,
      deadlineMs,
      header: (name) =>
        request.headers.find(([field]) => field.toLowerCase() === name.toLowerCase())?.[1],
    };
    const n = sent.push(call);
    events.push("upstream.send");
    const [held, answer] = [gate, script];
    waiting.get(n)?.(call);
    await held;
    return answer(call, n);
  };
  return {
    sent,
    send,
    arrived: (n: number): Promise<Sent> => {
      const call = sent[n - 1];
      if (call !== undefined) return Promise.resolve(call);
      return new Promise((resolve) => waiting.set(n, resolve));
    },
    respond: (next: Script): void => {
      script = next;
    },
    hold: (): (() => void) => {
      let release = (): void => undefined;
      gate = new Promise((resolve) => {
        release = resolve;
      });
      return () => {
        gate = Promise.resolve();
        release();
      };
    },
  };
}
