/**
 * Mutated requests against a whole gateway in this process, each on a connection and from a loopback address of its own,
 * with a well-formed request right behind it: the one that a desync would hit. The recorder says whose address each
 * request carries, and the strict reader what that client sent; in between, fresh connections ask whether all is well.
 */
import type { ExchangeReport } from "../../src/core/ports.ts";
import type { BatchResult } from "../proof/row.ts";
import { withTeardown } from "../support/teardown.ts";
import { readAnswers } from "./answers.ts";
import { canaryAddress, Connections, loopbackAddress } from "./connections.ts";
import { explain, type Explanation, unexplained } from "./explain.ts";
import { mutated } from "./mutate.ts";
import { Random } from "../support/random.ts";
import { isLast, readAll, valuesOf, type SeenRequest } from "./reader.ts";
import { answerBody, startRecorder, type Recorder, type Seen } from "./recorder.ts";
import { startServing, type StartGateway } from "./serving.ts";

/** Mutated requests in one breath, and so the number of units that share a connection. */
export const PIPELINED = 4;
/** Connections at once: most of the time of a connection is waiting. */
const PARALLEL = 256;
/** After so many connections a clean request asks, on a fresh one, whether all is well. */
const CANARY_EVERY = 8;
/** How long what a client sent is remembered, in connections: what the upstream sees of it comes before. */
const REMEMBERED = 20_000;
const PATIENCE = { quietMs: 2000, hangMs: 10_000 };
/** Enough to work with; a broken gateway would fill the memory. */
const MAX_VIOLATIONS = 50;

/** Outcomes of requests of which nothing is sent; of all others something may have been. */
const REFUSED: ReadonlySet<string> = new Set([
  "request-invalid",
  "key-invalid",
  "key-reused",
  "in-flight",
  "replayed",
  "body-incomplete",
  "body-invalid",
  "body-too-large",
]);

interface Sender extends Explanation {
  readonly what: string;
  readonly bytes: string;
}

/** Sends the mutated requests `first` to `first + count - 1`; both numbers are multiples of `PIPELINED`. */
export function fuzz(
  first: number,
  count: number,
  startGateway: StartGateway = startServing,
): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const recorder = await startRecorder(t);
    const run = new Fuzz(recorder);
    const serving = await startGateway(t, recorder.port, (report) => run.onReport(report));
    const connections = new Connections(serving.port, PATIENCE);
    t.teardown(() => connections.close());
    // Making stack traces is a third of what a refusal costs, and nobody reads them.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 2;
    t.teardown(() => Object.assign(Error, { stackTraceLimit }));
    const onCrash = (error: unknown): void => run.onCrash(error);
    for (const event of CRASHES) process.on(event, onCrash);
    t.teardown(() => {
      for (const event of CRASHES) process.off(event, onCrash);
    });

    const seeds = Array.from({ length: count / PIPELINED }, (_, at) => first / PIPELINED + at);
    const next = seeds.values();
    const work = async (): Promise<void> => {
      for (const seed of next) {
        await run.attempt(connections, seed);
        if (seed % CANARY_EVERY === 0) await run.canary(connections, seed);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    // Handlers outlive their clients: the count is right when the last has ended.
    await serving.stop();
    return run.result(count);
  });
}

/** Without a listener of ours either would end the process, as it would end a gateway's. */
const CRASHES = ["uncaughtException", "unhandledRejection"] as const;

class Fuzz {
  readonly #recorder: Recorder;
  readonly #violations: string[] = [];
  readonly #senders = new Map<string, Sender>();
  readonly #outcomes = new Map<string, number>();
  readonly #statuses = new Map<number, number>();
  #canaries = 0;
  #answered = 0;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
    recorder.onSeen = (seen) => this.#onSeen(seen);
  }

  onReport({ outcome }: ExchangeReport): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
    if (outcome === "internal-error") this.#violate("the gateway reports an internal error");
  }

  onCrash(error: unknown): void {
    this.#violate(`the process would have ended: ${String(error)} ${(error as Error).stack ?? ""}`);
  }

  /** Some mutated requests, and a well-formed one behind them in the same breath. */
  async attempt(connections: Connections, seed: number): Promise<void> {
    const random = new Random(seed);
    const id = seed.toString(36);
    const attack = Array.from({ length: PIPELINED }, (_, at) => mutated(random, `${id}-${at}`));
    const bytes = `${attack.join("")}${victim(id)}`;
    const cutAt = random.int(4) === 0 ? random.int(bytes.length) : bytes.length;
    const from = loopbackAddress(seed);
    const requests = this.#expect(from, `seed ${seed}`, bytes);
    const pieces = [bytes.slice(0, cutAt), bytes.slice(cutAt)].filter((piece) => piece !== "");
    const { received, halfClosed, hung } = await connections.exchange(
      from,
      pieces,
      answersBeforeLastWord(requests),
    );
    const judged = this.#judge(from, requests, received, halfClosed);
    for (const fault of [hung ? "hung" : undefined, judged]) {
      if (fault === undefined) continue;
      const told = `${JSON.stringify(bytes)} answered ${JSON.stringify(received)}`;
      this.#violate(`${fault}: seed ${seed}: ${told}`);
    }
  }

  /** A clean request on a fresh connection. It shares the upstream's connections with everything before it. */
  async canary(connections: Connections, seed: number): Promise<void> {
    this.#canaries += 1;
    const bytes = victim(`c${seed.toString(36)}`);
    const from = canaryAddress(this.#canaries);
    const [request] = this.#expect(from, `canary after seed ${seed}`, bytes);
    const { received } = await connections.exchange(from, [bytes], undefined);
    const answers = readAnswers(received, []);
    const right =
      request !== undefined &&
      typeof answers !== "string" &&
      answers.length === 1 &&
      answers[0]?.body === answerBody(from, request);
    if (!right) this.#violate(`canary after seed ${seed}: ${JSON.stringify(received)}`);
    if (this.#senders.get(from)?.of.size !== 1)
      this.#violate(`canary after seed ${seed}: the upstream never saw it`);
  }

  result(done: number): BatchResult {
    const sent = [...this.#outcomes].reduce((n, [name, of]) => (REFUSED.has(name) ? n : n + of), 0);
    const { count, violations } = this.#recorder;
    if (count > sent)
      this.#violate(`${count} requests at the upstream, ${sent} sent by the gateway`);
    return {
      done,
      violations: [...this.#violations, ...violations.slice(0, MAX_VIOLATIONS)],
      counts: {
        answered: this.#answered,
        canaries: this.#canaries,
        "requests at the upstream": count,
        ...Object.fromEntries([...this.#outcomes].map(([name, n]) => [`reports ${name}`, n])),
        ...Object.fromEntries([...this.#statuses].map(([status, n]) => [`answers ${status}`, n])),
      },
    };
  }

  #expect(from: string, what: string, bytes: string): readonly SeenRequest[] {
    const requests = readAll(Buffer.from(bytes, "latin1"));
    this.#senders.set(from, { what, bytes, sent: requests, of: new Map() });
    for (const [oldest] of this.#senders) {
      if (this.#senders.size <= REMEMBERED) break;
      this.#senders.delete(oldest);
    }
    return requests;
  }

  /** Each request of a client explains one at the upstream, and no more. */
  #onSeen(seen: Seen): void {
    const sender = this.#senders.get(seen.from);
    const spoofed = valuesOf(seen.fields, "x-forwarded-for")[0] !== seen.from;
    if (!spoofed && sender !== undefined && explain(seen, sender)) return;
    const told = JSON.stringify({ ...seen, body: seen.body.toString("latin1") });
    if (spoofed) return this.#violate(`a client spoke for others: ${told}`);
    if (sender === undefined) return this.#violate(`nobody at ${seen.from} sent ${told}`);
    const why = sender.sent.map((sent) => unexplained(seen, sent) ?? "seen twice").join(", ");
    this.#violate(`${sender.what}: ${JSON.stringify(sender.bytes)} became (${why}) ${told}`);
  }

  /** What is wrong with what this client was told. */
  #judge(
    from: string,
    requests: readonly SeenRequest[],
    received: string,
    halfClosed: boolean,
  ): string | undefined {
    const answers = readAnswers(
      received,
      requests.map(({ method }) => method),
    );
    if (typeof answers === "string") return answers;
    this.#answered += answers.length;
    for (const { status } of answers) {
      this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1);
    }
    // One more than there are requests: what is no request is answered, too.
    if (answers.length > requests.length + 1) return "more answers than requests";
    for (const [at, answer] of answers.entries()) {
      const request = requests[at];
      if (answer.status !== 200) continue;
      if (request === undefined) return "an answer to nothing";
      const own = request.method === "HEAD" || answer.body === answerBody(from, request);
      if (!own && answer.whole) return "somebody else's answer";
    }
    const last = answers.at(-1);
    const next = requests[answers.length];
    const goesOn = last?.status === 200 && last.fields.get("connection") !== "close";
    if (goesOn && next?.whole === true && !halfClosed) return "no answer to a whole request";
    return undefined;
  }

  #violate(text: string): void {
    if (this.#violations.length < MAX_VIOLATIONS) this.#violations.push(text);
  }
}

/** `undefined`: the last of them ends the connection. */
function answersBeforeLastWord(requests: readonly SeenRequest[]): number | undefined {
  const last = requests.at(-1);
  if (last !== undefined && last.whole && isLast(last)) return undefined;
  return requests.filter(({ whole }) => whole).length;
}

/** The request that a desync would turn into something else. It ends the connection. */
function victim(id: string): string {
  const body = `{"victim":"${id}"}`;
  return [
    `POST /victim/${id} HTTP/1.1`,
    "Host: gateway.test",
    "Content-Type: application/json",
    `Idempotency-Key: "victim-${id}"`,
    `Content-Length: ${body.length}`,
    "Connection: close",
    "",
    body,
  ].join("\r\n");
}
