/**
 * Where the story plays: the gateway of the moment, the upstream, and what is asked and checked again and again. Knows
 * nothing of the order of events.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Child } from "./child.ts";
import { type Answer, type Ask, header, send } from "./client.ts";
import type { Fact, Transcript } from "./transcript.ts";

export interface Gateway {
  readonly process: Child;
  readonly url: string;
}

export interface Stage {
  readonly upstream: Child;
  readonly upstreamUrl: string;
  readonly startGateway: () => Promise<Gateway>;
  readonly transcript: Transcript;
}

/** What a client has when its connection ends without an answer. */
export const CUT = "a broken connection";

export class Scene {
  readonly transcript: Transcript;
  readonly #stage: Stage;
  #gateway: Gateway;

  constructor(stage: Stage, gateway: Gateway) {
    this.transcript = stage.transcript;
    this.#stage = stage;
    this.#gateway = gateway;
  }

  get gatewayUrl(): string {
    return this.#gateway.url;
  }

  /** Sends and shows both directions. */
  async ask(what: Ask): Promise<Answer> {
    this.transcript.asked(what);
    const answer = await send(this.gatewayUrl, what);
    this.transcript.answered(answer);
    return answer;
  }

  /** What a well-behaved client does with 409 in-flight: waits as long as it is told, and sends the same again. */
  async persist(what: Ask): Promise<Answer> {
    for (;;) {
      const answer = await this.ask(what);
      if (header(answer, "Idempotency-Status") !== "in-flight") return answer;
      const seconds = Number(header(answer, "Retry-After"));
      this.transcript.note(`… waits ${seconds} s, as told`);
      await delay(seconds * 1000);
    }
  }

  /**
   * Sends, and resolves once the upstream has begun to charge, with the answer still to come; `ended` resolves with
   * what the client saw in the end.
   */
  async askAndLeaveRunning(what: Ask, hangUp?: AbortSignal): Promise<{ ended: Promise<string> }> {
    this.transcript.asked(what);
    const charging = this.#stage.upstream.line("charging");
    const ended = send(this.gatewayUrl, what, hangUp).then(
      (answer) => `status ${answer.status}`,
      () => CUT,
    );
    await Promise.race([charging, ended]);
    return { ended };
  }

  async kill(signal: "SIGKILL" | "SIGTERM", expected: string): Promise<void> {
    const is = await this.#gateway.process.end(signal);
    this.transcript.check({ what: "the gateway ended by", is, expected });
  }

  /** A new process on the same store; it listens on another port. */
  async startAgain(): Promise<void> {
    this.#gateway = await this.#stage.startGateway();
    this.transcript.note("the gateway is started again");
  }

  /** Asks the upstream itself how often it has charged since the beginning. */
  async checkExecutions(expected: number): Promise<void> {
    const { body } = await send(this.#stage.upstreamUrl, { method: "GET", path: "/v1/charges" });
    const is = /"executions":(\d+)/.exec(body)?.[1] ?? "unknown";
    this.transcript.check({ what: "upstream executions:", is, expected: `${expected}` });
  }

  checkAnswer(answer: Answer, status: number, told: string): void {
    this.transcript.check(...asTold(answer, status, told));
  }

  /** A replay: the first answer again, byte for byte, and marked as such. */
  checkReplay(answer: Answer, first: Answer): void {
    this.transcript.check(
      ...asTold(answer, first.status, "replayed"),
      { what: "at", is: header(answer, "Location"), expected: header(first, "Location") },
      { what: "body", is: answer.body === first.body ? "same" : "other", expected: "same" },
    );
  }
}

function asTold(answer: Answer, status: number, told: string): Fact[] {
  return [
    { what: "status", is: answer.status, expected: status },
    { what: "told", is: header(answer, "Idempotency-Status"), expected: told },
  ];
}
