/**
 * The workers, seen from the primary: which of them take traffic, that those that end are replaced, and that all of them
 * serve by one configuration. What a worker does with what it is told is `workers.ts`.
 */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import type { ServingProcess } from "./admin/configuration.ts";
import type { Recollection, Replayed } from "./admin/records.ts";
import type { GatewayConfig } from "./config/schema.ts";
import type { UnknownOutcome } from "./core/outcome.ts";
import type { Address } from "./gateway.ts";
import type { Log } from "./observe/log.ts";
import { Recalls } from "./recalls.ts";
import type { Edition } from "./reload.ts";

export type ToWorker =
  | {
      readonly type: "start";
      readonly edition: Edition;
      readonly storeIdentity: string | undefined;
      /** For what gateways that have ended left behind: one of those that start together, and each that replaces one. */
      readonly looksBack: boolean;
    }
  /** Answered with `prepared`, or with `unprepared` and why. Nothing changes yet. */
  | { readonly type: "prepare"; readonly edition: Edition }
  /** Requests that come from now on are served by it. Answered with `adopted`. */
  | { readonly type: "adopt"; readonly edition: Edition }
  /** Answered with `replayed`. */
  | { readonly type: "replays"; readonly question: number; readonly id: string }
  | { readonly type: "stop" }
  | { readonly type: "settled"; readonly id: string };

export type ToPrimary =
  | { readonly type: "up" }
  | { readonly type: "listening"; readonly address: Address; readonly pid: number }
  | { readonly type: "failed"; readonly reason: string }
  | { readonly type: "prepared"; readonly version: number }
  | { readonly type: "adopted"; readonly version: number; readonly digest: string }
  | { readonly type: "unprepared"; readonly version: number; readonly reason: string }
  | { readonly type: "settled"; readonly id: string }
  | { readonly type: "unknown"; readonly outcome: UnknownOutcome }
  | {
      readonly type: "replayed";
      readonly question: number;
      /** Empty where it has not told that record again. */
      readonly told: readonly Replayed[];
    };

type Reply = Extract<ToPrimary, { version: number }>;

const RESPAWN_PAUSE_MS = 1000;
/** For changes: a worker that says nothing for so long takes no requests either. */
const REPLY_TIMEOUT_MS = 5000;

export class Crew {
  #edition: Edition;
  readonly #storeIdentity: string | undefined;
  readonly #log: Log;
  /** Those that were told what to serve by, with what each has said since that it does serve by. */
  readonly #told = new Map<Worker, Pick<Edition, "version" | "digest"> | undefined>();
  readonly #listening = new Set<number>();
  readonly #respawns = new Set<NodeJS.Timeout>();
  /** Calls that began under an earlier configuration may take as long as that one said. */
  #stopBoundMs: number;
  #stopping = false;
  #lookedBack = false;
  readonly #recalls = new Recalls();
  readonly #unknown: (outcome: UnknownOutcome) => void;

  constructor(
    edition: Edition,
    identity: string | undefined,
    log: Log,
    unknown: (outcome: UnknownOutcome) => void,
  ) {
    this.#unknown = unknown;
    this.#edition = edition;
    this.#storeIdentity = identity;
    this.#log = log;
    this.#stopBoundMs = stopBoundMs(edition.config);
  }

  /** Resolves when every worker listens; rejects with the reason of the first that cannot. */
  async start(): Promise<Address> {
    const workers = Array.from({ length: this.#edition.config.workers }, () => this.#fork());
    const [first] = await Promise.all(workers);
    if (first === undefined) throw new Error("no worker was started");
    return first;
  }

  unready(): readonly string[] {
    if (this.#stopping) return ["draining"];
    const missing = this.#edition.config.workers - this.#listening.size;
    return missing === 0
      ? []
      : [`${missing} of ${this.#edition.config.workers} workers not listening`];
  }

  processes(): readonly ServingProcess[] {
    return [...this.#told].flatMap(([{ id, process }, serving]) => {
      if (serving === undefined || !this.#listening.has(id)) return [];
      return [{ worker: id, pid: process.pid ?? 0, ...serving }];
    });
  }

  /**
   * All workers or none. Resolves with why not all could be had, empty when all have it. A worker that ends meanwhile is
   * no reason: what replaces it starts with what holds by then.
   */
  async adopt(edition: Edition): Promise<readonly string[]> {
    const { version } = edition;
    const prepared = await this.#askAll({ type: "prepare", edition }, version);
    const problems = prepared.flatMap(({ worker, reply }) => {
      if (reply === "silent") return [`worker ${worker.id} does not answer`];
      return reply !== "gone" && reply.type === "unprepared"
        ? [`worker ${worker.id}: ${reply.reason}`]
        : [];
    });
    if (this.#stopping) problems.push("the gateway is stopping");
    if (problems.length > 0) return problems;
    // From here on it is what new workers start with, and there is no way back. Those that were told the old one while
    // the others prepared are told this one behind it.
    this.#edition = edition;
    this.#stopBoundMs = Math.max(this.#stopBoundMs, stopBoundMs(edition.config));
    for (const { worker, reply } of await this.#askAll({ type: "adopt", edition }, version)) {
      // It has said that it can, and the order waits for it in its channel.
      if (reply === "silent") {
        this.#log.event("warn", "worker takes its time to adopt the configuration", {
          worker: worker.id,
          version,
        });
      }
    }
    return [];
  }

  replaysOf(id: string): Promise<Recollection> {
    // One that has not listened yet has replayed nothing, and may not hear the question.
    return this.#recalls.ask([...this.#listening], (worker, question) => {
      const asked = cluster.workers?.[worker];
      if (asked !== undefined) tell(asked, { type: "replays", question, id });
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#respawns) clearTimeout(timer);
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    await Promise.all(
      workers.map(async (worker) => {
        if (worker.isDead()) return;
        const ended = once(worker, "exit");
        tell(worker, { type: "stop" });
        const stuck = setTimeout(() => worker.process.kill("SIGKILL"), this.#stopBoundMs);
        await ended;
        clearTimeout(stuck);
      }),
    );
  }

  #askAll(message: ToWorker, version: number) {
    return Promise.all(
      [...this.#told.keys()].map(async (worker) => {
        return { worker, reply: await askFor(worker, message, version) };
      }),
    );
  }

  #fork(): Promise<Address> {
    const worker = cluster.fork();
    return new Promise((resolve, reject) => {
      worker.on("message", (message: ToPrimary) => {
        // A stop that came while it was loading is told now.
        if (message.type === "up")
          tell(worker, this.#stopping ? { type: "stop" } : this.#start(worker));
        if (message.type === "listening") {
          this.#listening.add(worker.id);
          this.#log.event("info", "worker listening", { worker: worker.id, pid: message.pid });
          resolve(message.address);
        }
        if (message.type === "adopted") {
          const { version, digest } = message;
          this.#told.set(worker, { version, digest });
        }
        if (message.type === "failed") reject(new Error(message.reason));
        if (message.type === "settled") passOn(worker, message.id);
        if (message.type === "unknown") this.#unknown(message.outcome);
        if (message.type === "replayed") {
          this.#recalls.answered(worker.id, message.question, message.told);
        }
      });
      worker.on("exit", (code, signal) => {
        this.#told.delete(worker);
        this.#recalls.ended(worker.id);
        // One that has listened is replaced; one that never did ends the start, or is told by who asked for it.
        if (this.#listening.delete(worker.id)) this.#replace(worker, signal ?? String(code));
        reject(new Error("a worker ended before it listened"));
      });
    });
  }

  #start(worker: Worker): ToWorker {
    this.#told.set(worker, undefined);
    const looksBack = !this.#lookedBack;
    this.#lookedBack = true;
    return {
      type: "start",
      edition: this.#edition,
      storeIdentity: this.#storeIdentity,
      looksBack,
    };
  }

  /** `worker` is `undefined` where one did not even listen. */
  #replace(worker: Worker | undefined, how: string): void {
    if (this.#stopping) return;
    this.#lookedBack = false;
    this.#log.event("error", "worker ended; starting another", { worker: worker?.id, how });
    const timer = setTimeout(() => {
      this.#respawns.delete(timer);
      this.#fork().catch((error: unknown) => {
        this.#log.failure("worker did not start", error);
        this.#replace(undefined, "not started");
      });
    }, RESPAWN_PAUSE_MS);
    this.#respawns.add(timer);
  }
}

/** Far behind everything that a stopping worker waits for: one that is still there then is stuck. */
function stopBoundMs({ upstream, listen, store, defaults, routes }: GatewayConfig): number {
  const waits = [defaults, ...routes.map(({ policy }) => policy)].map((each) => each.waitTimeoutMs);
  return 3 * upstream.timeoutMs + listen.bodyTimeoutMs + store.leaseMs + Math.max(...waits);
}

function passOn(from: Worker, id: string): void {
  for (const worker of Object.values(cluster.workers ?? {})) {
    if (worker !== undefined && worker !== from) tell(worker, { type: "settled", id });
  }
}

function tell(worker: Worker, message: ToWorker): void {
  // With a callback a worker that has just ended is no 'error' event here; its exit is what counts.
  if (worker.isConnected()) worker.send(message, () => undefined);
}

function askFor(
  worker: Worker,
  message: ToWorker,
  version: number,
): Promise<Reply | "silent" | "gone"> {
  return new Promise((resolve) => {
    const settle = (reply: Reply | "silent" | "gone"): void => {
      clearTimeout(timer);
      worker.off("message", onMessage);
      worker.off("exit", onExit);
      resolve(reply);
    };
    const wanted = message.type === "adopt" ? ["adopted"] : ["prepared", "unprepared"];
    const onMessage = (reply: ToPrimary): void => {
      if (isReply(reply) && reply.version === version && wanted.includes(reply.type)) settle(reply);
    };
    const onExit = (): void => settle("gone");
    const timer = setTimeout(settle, REPLY_TIMEOUT_MS, "silent");
    worker.on("message", onMessage);
    worker.on("exit", onExit);
    if (worker.isDead()) onExit();
    else tell(worker, message);
  });
}

function isReply(message: ToPrimary): message is Reply {
  return "version" in message;
}
