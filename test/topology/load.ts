/**
 * Clients that keep sending guarded requests through several gateways and retry until the answer is final, and the
 * upstream that works on them, both writing down what they see. Knows nothing of what is done to the store meanwhile,
 * except that it may be told that acknowledged writes are being lost.
 */
import { Agent } from "node:http";
import { setTimeout as afterMs } from "node:timers/promises";
import type { HistoryEvent } from "../checker/history.ts";
import { call, type Answer } from "../support/client.ts";
import type { Teardown } from "../support/teardown.ts";
import { startUpstream, writeAnswer, type TestUpstream } from "../support/upstream.ts";

/** One key: its client's whole dealing with it. */
export interface Operation {
  readonly key: string;
  readonly beganMs: number;
  /** `undefined` while the client is still at it. */
  endedMs: number | undefined;
  /** What its client was told in the end: an answer, or that nobody knows. */
  told: "answered" | "unknown" | undefined;
  executions: number;
}

export interface Manners {
  /** A client hangs up on its first try when it has heard nothing for so long. Left out: it waits. */
  readonly patienceMs?: number;
  /** Each request is sent to every gateway at once. */
  readonly everywhere?: boolean;
}

const PAUSE_MS = 50;
const ANSWERED: ReadonlySet<string | undefined> = new Set(["executed", "replayed", "not-recorded"]);

export class Load {
  readonly events: HistoryEvent[] = [];
  readonly operations = new Map<string, Operation>();
  readonly upstream: TestUpstream;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #startedMs = performance.now();
  #requests = 0;
  #executions = 0;
  #refused = 0;
  #losing = false;

  private constructor(t: Teardown, upstream: TestUpstream, workMs: (key: string) => number) {
    this.upstream = upstream;
    t.teardown(() => this.#agent.destroy());
    upstream.respond(async (received, _req, res) => {
      const [key = ""] = received.all("idempotency-key");
      const [fence] = received.all("idempotency-fence");
      const execution = this.#executed(key, fence);
      await afterMs(workMs(key));
      const body = `execution ${execution} of ${key}`;
      this.events.push({
        kind: "execution-end",
        execution,
        answer: `201 ${body}`,
        released: false,
        succeeded: true,
        atMs: this.now(),
      });
      if (!res.destroyed) writeAnswer(res, { status: 201, body });
    });
  }

  /** `workMs`: how long the upstream takes for a key. */
  static async start(
    t: Teardown,
    workMs: (key: string) => number,
    upstream?: { readonly host: string },
  ): Promise<Load> {
    return new Load(t, await startUpstream(t, upstream), workMs);
  }

  now(): number {
    return Math.round(performance.now() - this.#startedMs);
  }

  get counts(): {
    readonly requests: number;
    readonly executions: number;
    readonly refused: number;
  } {
    return { requests: this.#requests, executions: this.#executions, refused: this.#refused };
  }

  /** From now on, until it is told otherwise, the store loses writes that it has acknowledged. */
  losing(is: boolean): void {
    this.#losing = is;
    this.#lost();
  }

  /** `clients` at once, one fresh key after the other, until `over`; resolves when the last key's answer is final. */
  async run(
    gateways: readonly string[],
    clients: number,
    over: AbortSignal,
    nextKey: () => string,
    manners: Manners,
  ): Promise<void> {
    const client = async (): Promise<void> => {
      while (!over.aborted) {
        const first = this.operations.size % gateways.length;
        const inTurn = [...gateways.slice(first), ...gateways.slice(0, first)];
        await this.operate(nextKey(), inTurn, manners);
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
  }

  /** Asks the gateways in turn, or all at once, until one of them gives a final answer. */
  async operate(key: string, gateways: readonly string[], manners: Manners): Promise<Operation> {
    const operation: Operation = {
      key,
      beganMs: this.now(),
      endedMs: undefined,
      told: undefined,
      executions: 0,
    };
    this.operations.set(key, operation);
    for (let attempt = 0; operation.told === undefined; attempt += 1) {
      if (attempt > 0) await afterMs(PAUSE_MS);
      const asked =
        manners.everywhere === true ? gateways : [gateways[attempt % gateways.length] ?? ""];
      // Impatient once: on a busy machine clients that always hang up would only keep everybody busy with that.
      const patienceMs = attempt === 0 ? manners.patienceMs : undefined;
      const told = await Promise.all(asked.map((url) => this.ask(key, url, patienceMs)));
      operation.told = told.find((final) => final !== undefined);
    }
    operation.endedMs = this.now();
    return operation;
  }

  /** Asks once. `undefined`: ask again. */
  async ask(key: string, gateway: string, patienceMs?: number): Promise<Operation["told"]> {
    const request = (this.#requests += 1);
    const scope = "anybody";
    const asked = { request, scope, key, fingerprint: key, onUnknown: "block" } as const;
    this.events.push({ kind: "request", ...asked, atMs: this.now() });
    if (this.#losing) this.#lost();
    let answer: Answer;
    try {
      answer = await call(`${gateway}/charges`, {
        method: "POST",
        headers: { "Idempotency-Key": key },
        body: key,
        agent: this.#agent,
        ...(patienceMs !== undefined && { signal: AbortSignal.timeout(patienceMs) }),
      });
    } catch {
      // Hung up, or the gateway did: the checker is told, and the client asks again.
      this.events.push({ kind: "no-reply", request, atMs: this.now() });
      return undefined;
    }
    return this.#heard(request, answer);
  }

  #heard(request: number, answer: Answer): Operation["told"] {
    const outcome = answer.header("idempotency-status") ?? "none";
    const { status } = answer;
    const answered = ANSWERED.has(outcome);
    this.events.push({
      kind: "reply",
      request,
      status,
      outcome,
      ...(answered && { answer: `${status} ${answer.body.toString()}` }),
      atMs: this.now(),
    });
    if (answered) return "answered";
    if (status === 503) this.#refused += 1;
    return outcome === "outcome-unknown" ? "unknown" : undefined;
  }

  #executed(key: string, fence: string | undefined): number {
    const execution = (this.#executions += 1);
    const operation = this.operations.get(key);
    if (operation !== undefined) operation.executions += 1;
    this.events.push({
      kind: "execution",
      execution,
      scope: "anybody",
      key,
      fingerprint: key,
      fence: fence === undefined ? undefined : Number(fence),
      atMs: this.now(),
    });
    return execution;
  }

  #lost(): void {
    this.events.push({ kind: "store-lost", atMs: this.now() });
  }
}

/** Of the keys that were under way at some time between the two. */
export function tally(
  operations: Iterable<Operation>,
  fromMs: number,
  toMs: number,
): { readonly keysInFlight: number; readonly executedTwice: number; readonly unknown: number } {
  const inFlight = [...operations].filter(
    ({ beganMs, endedMs }) => beganMs <= toMs && (endedMs ?? Infinity) >= fromMs,
  );
  return {
    keysInFlight: inFlight.length,
    executedTwice: inFlight.filter(({ executions }) => executions > 1).length,
    unknown: inFlight.filter(({ told }) => told === "unknown").length,
  };
}
