/**
 * The simulated service behind the gateways: it keeps what was made at each path, executes whatever reaches it, and
 * tells the journal. Faults are on the way to it, in it, and on the way back. It knows no keys and refuses nothing
 * twice: that is what the gateways are there for.
 */
import { computeEtag } from "../../src/core/conditional.ts";
import { fieldOf } from "../../src/core/fields.ts";
import type { BodyStream, ForwardOutcome, OutboundRequest } from "../../src/core/ports.ts";
import { isSuccess } from "../../src/core/recordable.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import type { Effect, ResourceAccess } from "../checker/history.ts";
import type { Faults } from "./faults.ts";
import type { Gateway } from "./gateway.ts";
import type { Journal } from "./journal.ts";
import { LONGEST_HELD_MS, policyOf, STATUS_PATH } from "./routes.ts";
import type { World } from "./world.ts";

export interface Limits {
  readonly deadlineMs: number;
  readonly responseBytes: number;
}

interface Answer {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: Uint8Array;
}

/** What the upstream said, as the checker compares it. */
export function digestOf(status: number, headers: readonly HeaderPair[], body: Uint8Array): string {
  const execution = fieldOf(headers, "x-execution") ?? "";
  const location = fieldOf(headers, "location") ?? "";
  return `${status} ${execution} ${location} ${Buffer.from(body).toString("latin1")}`;
}

/** How an upstream ends what it has begun when its caller has left: well inside the margin of a lease. */
const LETS_GO_MS = 300;

/** What a PUT must find, by its route. */
const PUTS_ON = { upsert: undefined, "create-only": "none", "update-only": "*" } as const;

export class SimulatedUpstream {
  readonly #world: World;
  readonly #faults: Faults;
  readonly #journal: Journal;
  readonly #things = new Map<string, Uint8Array>();
  /** What became of an operation whose route asks for that, by its `statusName`; the execution while it runs. */
  readonly #ends = new Map<string, Answer | number>();
  /** Whose each execution is, by its number less one. */
  readonly #executions: string[] = [];
  /** Locks and conditions rest on the store's clock: in seeds that set it, they are not promised. */
  readonly #locksHold: boolean;

  constructor(world: World, faults: Faults, journal: Journal) {
    this.#world = world;
    this.#faults = faults;
    this.#journal = journal;
    this.#locksHold = !faults.possible("store-clock");
  }

  get executions(): number {
    return this.#executions.length;
  }

  /** Scope and key of an execution. */
  askedBy(execution: number): string | undefined {
    return this.#executions[execution - 1];
  }

  /** The tag that the gateway computes for what is there now. */
  tagOf(path: string): string | undefined {
    const thing = this.#things.get(path);
    return thing === undefined ? undefined : computeEtag(THING, thing);
  }

  send(
    gateway: Gateway,
    life: number,
    request: OutboundRequest,
    limits: Limits,
  ): Promise<ForwardOutcome> {
    if (!gateway.lives(life)) return new Promise(() => undefined);
    return new Promise((resolve) => {
      const sentMs = this.#world.nowMs;
      let open = true;
      const end = (outcome: ForwardOutcome): void =>
        gateway.arrive(life, () => {
          if (!open) return;
          open = false;
          // Frozen past the deadline, it may find the timer first.
          const late = this.#world.nowMs - sentMs > limits.deadlineMs;
          const timedOut = late && outcome.kind !== "not-sent" && this.#world.random.chance(0.5);
          resolve(timedOut ? TIMEOUT : outcome);
        });
      this.#travel(gateway, request, limits, end);
      gateway.mayFail();
      gateway.mayFreezeCalling();
    });
  }

  #travel(
    gateway: Gateway,
    request: OutboundRequest,
    { deadlineMs, responseBytes }: Limits,
    end: (outcome: ForwardOutcome) => void,
  ): void {
    const { name } = gateway;
    const [world, faults] = [this.#world, this.#faults];
    const { random } = world;
    world.note("send", name, `${request.method} ${request.target}`);
    if (faults.happens("upstream-refused", name)) {
      return world.after(1, () => end({ kind: "not-sent", status: 502, cause: "ECONNREFUSED" }));
    }
    if (faults.happens("upstream-connect-timeout", name)) {
      const ms = Math.min(deadlineMs, 1000);
      return world.after(ms, () => end({ kind: "not-sent", status: 504, cause: "connect" }));
    }
    const wayMs = random.int(random.chance(0.1) ? 30 : 3);
    if (faults.happens("upstream-reset-early", name)) {
      return world.after(wayMs, () => end(RESET));
    }
    // Only where the route says for how long that may be: no lock and no lease waits for it.
    if (isWatched(request) && faults.happens("upstream-held", name)) {
      world.after(wayMs, () => end(RESET));
      return world.after(wayMs + random.int(LONGEST_HELD_MS), () => {
        const execution = this.#begin(request);
        world.after(usualMs(world), () =>
          this.#finish(gateway, execution, request, false, responseBytes, end),
        );
      });
    }
    const slow = faults.happens("upstream-slow", name);
    const workMs = slow ? deadlineMs + random.int(LETS_GO_MS) : usualMs(world);
    const leftMs = deadlineMs + LETS_GO_MS - wayMs;
    world.after(deadlineMs, () => end(TIMEOUT));
    world.after(wayMs, () => {
      if (request.method === "GET") {
        const read = this.#read(request);
        const whole = read.body.byteLength <= responseBytes;
        const { status, headers, body } = read;
        return world.after(Math.min(workMs, leftMs), () =>
          end(
            whole
              ? { kind: "answered", answer: read }
              : { kind: "streaming", status, headers, stream: streamOf(body) },
          ),
        );
      }
      const execution = this.#begin(request);
      const reset = faults.happens("upstream-reset", name);
      if (reset) world.after(random.int(workMs + 1), () => end(RESET));
      world.after(Math.max(Math.min(workMs, leftMs), 0), () => {
        const heard = !reset && workMs + wayMs < deadlineMs;
        this.#finish(gateway, execution, request, heard, responseBytes, end);
      });
    });
  }

  #begin(request: OutboundRequest): number {
    const { method, target, headers, body } = request;
    const scope = fieldOf(headers, "authorization") ?? "";
    const key = fieldOf(headers, "idempotency-key") ?? "";
    const execution = this.#executions.push(`${scope}/${key}`);
    const fence = fieldOf(headers, "idempotency-fence");
    const resource = this.#accessOf(request);
    if (isWatched(request)) this.#ends.set(statusName(request), execution);
    this.#journal.tell({
      kind: "execution",
      execution,
      scope,
      key,
      fingerprint: `${method} ${target} ${Buffer.from(body).toString("latin1")}`,
      fence: fence === undefined ? undefined : Number(fence),
      ...(resource !== undefined && { resource }),
    });
    return execution;
  }

  #accessOf({ method, target, headers }: OutboundRequest): ResourceAccess | undefined {
    const rules = policyOf(method, target).resource;
    if (rules === undefined) return undefined;
    const tag = fieldOf(headers, "if-match") ?? fieldOf(headers, "x-if-match");
    const asked = rules.precondition === "off" ? undefined : tag;
    const wanted = asked ?? (method === "PUT" ? PUTS_ON[rules.put] : undefined);
    return {
      id: target,
      effect: effectOf(method, rules.put === "create-only"),
      serialized: rules.serialize !== "off" && this.#locksHold,
      once: rules.once && method !== "DELETE",
      tombstones: rules.afterDelete !== undefined && this.#locksHold,
      ...(wanted !== undefined &&
        this.#locksHold && { condition: { wanted, current: this.tagOf(target) } }),
    };
  }

  #finish(
    { name }: Gateway,
    execution: number,
    request: OutboundRequest,
    heard: boolean,
    responseBytes: number,
    end: (outcome: ForwardOutcome) => void,
  ): void {
    const [world, faults] = [this.#world, this.#faults];
    const passing = heard && faults.happens("upstream-gateway-error", name);
    const answer = passing
      ? newAnswer(world.random.pick([502, 504]), execution, "no answer")
      : this.#execute(execution, request, world.random.chance(0.01) ? responseBytes * 2 : 0);
    const cut = heard && !passing && faults.happens("upstream-cut", name);
    const { status, headers, body } = answer;
    const released = status === 503 || status === 429;
    if (isWatched(request)) this.#remember(statusName(request), answer, released);
    const given = (heard && !cut) || isWatched(request);
    this.#journal.tell({
      kind: "execution-end",
      execution,
      answer: given ? digestOf(status, headers, body) : undefined,
      released,
      succeeded: isSuccess(status),
    });
    if (!heard) return;
    const backMs = world.random.int(3);
    if (cut) return world.after(backMs, () => end(TRUNCATED));
    if (body.byteLength <= responseBytes) {
      return world.after(backMs, () => end({ kind: "answered", answer }));
    }
    const stream = streamOf(body);
    world.after(backMs, () => end({ kind: "streaming", status, headers, stream }));
  }

  /** A gateway error may come from before the work or from behind it; then nothing is done here. */
  #execute(execution: number, { method, target, body }: OutboundRequest, length: number): Answer {
    const { random } = this.#world;
    if (random.chance(0.03)) return newAnswer(random.pick([503, 429]), execution, "busy");
    if (random.chance(0.04)) return newAnswer(random.pick([500, 422]), execution, "no");
    const there = this.#things.has(target);
    if (method === "DELETE") {
      if (!there) return newAnswer(404, execution, "nothing");
      this.#things.delete(target);
      return newAnswer(200, execution, "deleted");
    }
    this.#things.set(target, body);
    return newAnswer(there ? 200 : 201, execution, "made".padEnd(length, "."));
  }

  /** What was not processed is forgotten: whoever asks is told that nothing came of it. */
  #remember(name: string, answer: Answer, released: boolean): void {
    if (released) this.#ends.delete(name);
    else this.#ends.set(name, answer);
  }

  #read({ target, headers }: OutboundRequest): Answer {
    if (target.startsWith(STATUS_PATH)) {
      const key = new URLSearchParams(target.split("?")[1]).get("key") ?? "";
      const end = this.#ends.get(`${fieldOf(headers, "authorization") ?? ""}/${key}`);
      if (typeof end === "number") {
        return newAnswer(this.#world.random.pick([202, 409]), end, "running");
      }
      return end ?? { status: 404, headers: [], body: Buffer.from("nothing") };
    }
    const thing = this.#things.get(target);
    if (thing === undefined) return { status: 404, headers: [], body: Buffer.from("nothing") };
    return { status: 200, headers: THING, body: thing };
  }
}

const THING: readonly HeaderPair[] = [["Content-Type", "application/json"]];
const TIMEOUT: ForwardOutcome = { kind: "unknown", reason: "timeout", cause: "deadline" };
const RESET: ForwardOutcome = { kind: "unknown", reason: "reset", cause: "ECONNRESET" };
const TRUNCATED: ForwardOutcome = { kind: "unknown", reason: "truncated", cause: "cut" };

/** Whether its gateway asks what became of it. */
function isWatched({ method, target }: OutboundRequest): boolean {
  return method !== "GET" && policyOf(method, target).probe !== undefined;
}

/** Where the caller asks, its key is its own; where the gateway does, the key says all. */
function statusName({ method, target, headers }: OutboundRequest): string {
  const key = fieldOf(headers, "idempotency-key") ?? "";
  const asCaller = policyOf(method, target).probe?.as === "caller";
  return `${asCaller ? (fieldOf(headers, "authorization") ?? "") : ""}/${key}`;
}

function usualMs({ random }: World): number {
  return random.chance(0.05) ? random.int(1500) : random.int(random.chance(0.3) ? 200 : 20);
}

function effectOf(method: string, createOnly: boolean): Effect {
  if (method === "DELETE") return "delete";
  return method === "POST" || createOnly ? "create" : "update";
}

function newAnswer(status: number, execution: number, text: string): Answer {
  const headers: readonly HeaderPair[] = [
    ["Content-Type", "text/plain"],
    ["X-Execution", String(execution)],
  ];
  return { status, headers, body: Buffer.from(text) };
}

function streamOf(body: Uint8Array): BodyStream {
  return {
    async *[Symbol.asyncIterator]() {
      yield body.subarray(0, 100);
      yield body.subarray(100);
    },
    cancel: () => undefined,
  };
}
