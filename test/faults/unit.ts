/**
 * One gateway on one Redis with the proxy between them, one fault, and everything that clients and the upstream see of
 * it as a history. What is asked is the scenario's; what may follow is the checker's, and two rules that need more than
 * a history: a caller whose request ran gets its answer, and whoever asks again gets a final answer in time.
 */
import type { ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { StoreUnavailable } from "../../src/core/ports.ts";
import { recordId, scopeOf } from "../../src/core/key.ts";
import type { HeaderPair, RecordState } from "../../src/core/record.ts";
import { check } from "../checker/check.ts";
import type { HistoryEvent, ResourceAccess } from "../checker/history.ts";
import { call as ask, type Answer } from "../support/client.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { withTeardown, type Teardown } from "../support/teardown.ts";
import type { Call } from "../support/upstream.ts";
import { writeAnswer } from "../support/upstream.ts";
import { startChaosProxy, type ChaosProxy, type Plan } from "./chaos-proxy.ts";
import type { Scenario } from "./scenarios.ts";

export const STORE_TIMEOUT_MS = 300;
export const UPSTREAM_TIMEOUT_MS = 1500;
/** What a busy machine may add before an answer is final. */
const SLACK_MS = 3000;
const PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 400;

export interface Request {
  readonly method: string;
  readonly path: string;
  readonly key: string;
  readonly body?: string;
  readonly caller?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly resource?: ResourceAccess;
}

/**
 * `answer`: what the upstream says; `cut`: it breaks the connection in place of an answer. `told`: with this status it
 * tells whoever asks by the key what the answer would have been.
 */
export type Response =
  | { readonly kind: "answer"; readonly status: number; readonly padding?: number }
  | { readonly kind: "cut"; readonly told?: number };

export interface Place {
  readonly redisPort: number;
  readonly upstreamUrl: string;
  /** By `x-unit`. */
  readonly units: Map<string, Witnessed>;
}

export interface UnitResult {
  readonly violations: readonly string[];
  readonly executions: number;
  readonly requests: number;
  /** The names of the calls that counted. */
  readonly calls: readonly string[];
  readonly struck: boolean;
}

/** What the upstream does with a request; left out: 201. `execution` counts from 1. */
export type Respond = (execution: number, request: Request) => Response;

/** Everything that clients and the upstream see of one gateway. */
export class Witnessed {
  readonly name: string;
  readonly gateway: TestGateway;
  readonly #respond: Respond;
  readonly #startedMs = performance.now();
  readonly #events: HistoryEvent[] = [];
  readonly #answered = new Map<number, string>();
  readonly #violations: string[] = [];
  readonly #things = new Map<string, string>();
  readonly #byKey = new Map<string, { readonly status: number; readonly body: string }>();
  #requests = 0;
  #executions = 0;
  #open: Promise<void> | undefined;
  #release: () => void = () => undefined;

  constructor(
    name: string,
    gateway: TestGateway,
    respond: Respond = () => ({ kind: "answer", status: 201 }),
  ) {
    this.name = name;
    this.gateway = gateway;
    this.#respond = respond;
  }

  /** What the store has granted, whether the gateway heard of it or not. */
  granted(recordKey: string, fence: number): void {
    const id = /\{([0-9a-f]{64})\}/u.exec(recordKey)?.[1];
    const request = [...this.#asked.values()].find((asked) => recordIdOf(asked) === id);
    if (request === undefined) throw new Error(`${this.name}: a claim that nobody asked for`);
    const { key, caller = "" } = request;
    this.#events.push({
      ...{ kind: "claimed", scope: caller, key, fence },
      atMs: this.#atMs(),
    });
  }

  get executions(): number {
    return this.#executions;
  }

  get requests(): number {
    return this.#requests;
  }

  /** Answers of the upstream wait until `release`. */
  hold(): void {
    this.#open = new Promise((resolve) => (this.#release = resolve));
  }

  release(): void {
    this.#release();
    this.#open = undefined;
  }

  #atMs(): number {
    return performance.now() - this.#startedMs;
  }

  /** What the upstream does with a call of this unit. */
  async respond(call: Call, res: ServerResponse): Promise<void> {
    const thing = this.#things.get(call.url);
    if (call.method === "GET") {
      const known = this.#byKey.get(call.url);
      if (known !== undefined) return writeAnswer(res, known);
      return thing === undefined
        ? writeAnswer(res, { status: 404 })
        : writeAnswer(res, { headers: ["ETag", `"${thing}"`], body: thing });
    }
    const execution = (this.#executions += 1);
    const request = Number(call.all("x-request")[0]);
    const [key = ""] = call.all("idempotency-key");
    const asked = this.#asked.get(request);
    if (asked === undefined) throw new Error(`${this.name}: the upstream got what nobody sent`);
    this.#events.push({
      kind: "execution",
      execution,
      scope: asked.caller ?? "",
      key,
      fingerprint: fingerprintOf(asked),
      fence: Number(call.all("idempotency-fence")[0] ?? Number.NaN) || undefined,
      ...(asked.resource && {
        resource: { ...asked.resource, ...this.#conditionOf(asked, thing) },
      }),
      atMs: this.#atMs(),
    });
    await this.#open;
    const response = this.#respond(execution, asked);
    if (response.kind === "cut") {
      const { told } = response;
      const body = JSON.stringify({ execution });
      if (told !== undefined) this.#byKey.set(`/by-key/${key}`, { status: told, body });
      this.#end(execution, told === undefined ? undefined : `${told} ${body}`, false, true);
      res.destroy();
      return;
    }
    const { status, padding = 0 } = response;
    const body = JSON.stringify({ execution, padding: "x".repeat(padding) });
    const succeeded = status < 300;
    if (succeeded && call.method === "DELETE") this.#things.delete(call.url);
    else if (succeeded && call.method === "PUT") this.#things.set(call.url, `v${execution}`);
    const released = status === 503;
    if (!released) this.#answered.set(request, `${status} ${body}`);
    this.#end(execution, `${status} ${body}`, released, succeeded);
    writeAnswer(res, { status, headers: ["Content-Type", "application/json"], body });
  }

  #conditionOf(asked: Request, current: string | undefined) {
    const wanted = asked.headers?.["if-match"];
    return wanted === undefined
      ? {}
      : { condition: { wanted, current: current && `"${current}"` } };
  }

  #end(execution: number, answer: string | undefined, released: boolean, succeeded: boolean): void {
    const atMs = this.#atMs();
    this.#events.push({ kind: "execution-end", execution, answer, released, succeeded, atMs });
  }

  readonly #asked = new Map<number, Request>();
  readonly #records = new Map<string, Request>();

  /** One request of a client. `undefined`: the gateway gave no answer. */
  async ask(request: Request): Promise<Answer | undefined> {
    const number = (this.#requests += 1);
    this.#asked.set(number, request);
    const { method, path, key, body, caller, headers } = request;
    const scope = caller ?? "";
    const onUnknown = method === "POST" ? "block" : "resend";
    const fingerprint = fingerprintOf(request);
    this.#events.push({
      ...{ kind: "request", request: number, scope, key, fingerprint, onUnknown },
      atMs: this.#atMs(),
    });
    let answer: Answer;
    try {
      answer = await ask(`${this.gateway.url}${path}`, {
        method,
        headers: {
          "idempotency-key": key,
          "x-unit": this.name,
          "x-request": String(number),
          "content-type": "application/json",
          ...(caller !== undefined && { "x-api-key": caller }),
          ...headers,
        },
        ...(body !== undefined && { body }),
      });
    } catch {
      this.#events.push({ kind: "no-reply", request: number, atMs: this.#atMs() });
      this.#violations.push(`request ${number} got no answer`);
      return undefined;
    }
    const text = answer.body.toString();
    const told = `${answer.status} ${text}`;
    const outcome = answer.header("idempotency-status") ?? "none";
    const record = answer.header("idempotency-record");
    if (record !== undefined) this.#records.set(record, request);
    this.#events.push({
      kind: "reply",
      request: number,
      status: answer.status,
      outcome,
      ...(text.startsWith('{"execution"') && { answer: told }),
      atMs: this.#atMs(),
    });
    if (outcome === "executed") this.#completed(request);
    const truth = this.#answered.get(number);
    // An upstream that was too late for the gateway's patience, on a machine that is busy.
    if (truth !== undefined && truth !== told && answer.status !== 504) {
      this.#violations.push(`request ${number} ran and was told ${answer.status} instead`);
    }
    return answer;
  }

  /** The store has acknowledged it, or its caller had been told otherwise. */
  #completed({ key, caller = "" }: Request): void {
    this.#events.push({ kind: "completed", scope: caller, key, atMs: this.#atMs() });
  }

  /** Asks again until the answer is final; a violation where it takes longer than the lease and a second. */
  async settle(request: Request, leaseMs: number): Promise<void> {
    const startedMs = performance.now();
    let last = "nothing";
    let pauseMs = PAUSE_MS;
    while (performance.now() - startedMs < leaseMs + 1000 + SLACK_MS) {
      const answer = await this.ask(request);
      last = `${answer?.status} ${answer?.header("idempotency-status")}`;
      if (answer !== undefined && answer.status !== 503 && !/in-flight|locked/u.test(last)) return;
      await delay(pauseMs);
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
    this.#violations.push(`${request.method} ${request.key} got no final answer, but ${last}`);
  }

  faultsOver(leaseMs: number): void {
    this.#events.push({ kind: "faults-over", leaseMs, atMs: this.#atMs() });
  }

  /** Looks into the store at what stands there in the end. */
  async look(leaseMs: number): Promise<void> {
    const startedMs = performance.now();
    for (const [id, { key, caller = "" }] of this.#records) {
      let state = await this.#stateOf(id);
      // An unknown outcome is final for its caller before the record says so.
      while (state === "in-flight" && performance.now() - startedMs < leaseMs + 1000) {
        await delay(PAUSE_MS);
        state = await this.#stateOf(id);
      }
      this.#events.push({
        ...{ kind: "found", scope: caller, key, state, owned: false },
        atMs: this.#atMs(),
      });
      if (state === "in-flight") this.#violations.push(`the record of ${key} is left in flight`);
    }
  }

  /** A machine that is busy may need more than one try; that it answers at all was seen before. */
  async #stateOf(id: string): Promise<RecordState | "absent"> {
    for (;;) {
      try {
        return (await this.gateway.store.inspect(id))?.state ?? "absent";
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        await delay(PAUSE_MS);
      }
    }
  }

  violations(): readonly string[] {
    const history = { name: this.name, faultFree: false, events: this.#events };
    const found = check(history).map(({ rule, text }) => `${rule}: ${text}`);
    return [...found, ...this.#violations].map((violation) => `${this.name}: ${violation}`);
  }
}

/** One scenario, through the proxy. */
export class Unit extends Witnessed {
  readonly proxy: ChaosProxy;

  constructor(name: string, scenario: Scenario, gateway: TestGateway, proxy: ChaosProxy) {
    super(name, gateway, scenario.respond);
    this.proxy = proxy;
    proxy.onReply((call, key, reply) => {
      const [word, fence] = reply;
      if (call === "claim" && word?.toString() === "granted") this.granted(key, Number(fence));
    });
  }
}

function recordIdOf({ key, caller }: Request): string {
  const headers: HeaderPair[] = caller === undefined ? [] : [["X-Api-Key", caller]];
  const scope = scopeOf(headers, ["authorization", "x-api-key"]);
  return recordId(scope, { from: "header", name: "Idempotency-Key" }, "", key);
}

function fingerprintOf({ method, path, body = "" }: Request): string {
  return `${method} ${path} ${body}`;
}

/** Plays a scenario once, with the planned fault or with none. */
export function playUnit(
  name: string,
  scenario: Scenario,
  plan: Plan | undefined,
  place: Place,
): Promise<UnitResult> {
  return withTeardown(async (t) => {
    const proxy = await startChaosProxy(t, place.redisPort);
    let struck = false;
    void proxy.struck.then(() => (struck = true));
    if (scenario.fromTheStart) proxy.arm(plan);
    const gateway = await openGateway(t, name, scenario, proxy.port, place.upstreamUrl);
    const unit = new Unit(name, scenario, gateway, proxy);
    place.units.set(name, unit);
    t.teardown(() => place.units.delete(name));
    if (!scenario.fromTheStart) proxy.arm(plan);
    await scenario.play(unit);
    const calls = [...proxy.calls];
    // A call that is held back has its end here, too.
    if (calls.length >= (plan?.call ?? 0)) await proxy.struck;
    const { leaseMs } = gateway.config.store;
    unit.faultsOver(leaseMs);
    for (const request of scenario.requests) await unit.settle(request, leaseMs);
    await unit.look(leaseMs);
    const { executions, requests } = unit;
    const violations = [...unit.violations()];
    if (executions > (scenario.mostExecutions ?? Infinity)) {
      violations.push(`${name}: ${executions} executions`);
    }
    return { violations, executions, requests, calls, struck };
  });
}

function openGateway(
  t: Teardown,
  name: string,
  scenario: Scenario,
  port: number,
  upstreamUrl: string,
): Promise<TestGateway> {
  const url = `redis://app:secret@127.0.0.1:${port}/1`;
  const ms = (value: number): string => `${value}ms`;
  return startGateway(
    t,
    {
      upstream: {
        url: upstreamUrl,
        timeout: ms(UPSTREAM_TIMEOUT_MS),
        connectTimeout: ms(UPSTREAM_TIMEOUT_MS),
      },
      store: {
        url,
        timeout: ms(STORE_TIMEOUT_MS),
        keyPrefix: `${name}:`,
        lease: ms(scenario.leaseMs ?? 3200),
      },
      ...scenario.settings?.(url, name),
    },
    {
      ready: async (store) => {
        if (scenario.fromTheStart) return;
        while ((await store.problems()).length > 0) await delay(PAUSE_MS);
      },
    },
  );
}
