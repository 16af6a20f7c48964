/**
 * The simulated clients: they send what the plan says, hang up, try again with the same key and body, reuse a key with
 * another body, and tell the journal what they were told.
 */
import { fieldOf } from "../../src/core/fields.ts";
import type { BodyRead, Client, InboundRequest, Reply } from "../../src/core/ports.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import type { Faults } from "./faults.ts";
import type { Connection, Gateway } from "./gateway.ts";
import type { Journal } from "./journal.ts";
import type { Operation } from "./plan.ts";
import { LEAST_LEASE_MS } from "./routes.ts";
import { digestOf, type SimulatedUpstream } from "./upstream.ts";
import type { World } from "./world.ts";

export interface Scene {
  readonly world: World;
  readonly faults: Faults;
  readonly journal: Journal;
  readonly upstream: SimulatedUpstream;
  readonly gateways: readonly Gateway[];
}

/** Outcomes that carry the upstream's answer. */
const CARRIES = new Set(["executed", "replayed", "not-recorded", "released", "bypassed"]);

/** Told again when asked again. */
const FINAL = new Set(["executed", "replayed", "key-reused", "not-replayable", "unchanged"]);

/** How long a client waits for its reply, and before it tries again. */
const PATIENCE_MS = [1000, 10_000, 60_000, 60_000];
const BACKOFF_MS = [60, 60, 3000, 12_000];

export class Clients {
  /** Requests so far; the last one's number. */
  requests = 0;
  /** Requests that have no end yet, by the name of their key. */
  readonly open = new Map<string, number>();
  readonly #scene: Scene;
  /** Up to how many requests clients that were not told enough try again. */
  readonly #mostRequests: number;

  constructor(scene: Scene, mostRequests: number) {
    this.#scene = scene;
    this.#mostRequests = mostRequests;
  }

  ask(operation: Operation): void {
    const { world, faults, journal, gateways } = this.#scene;
    const { random } = world;
    const { scope, key, name, fingerprint, onUnknown, mayBypass } = operation;
    this.requests += 1;
    const request = this.requests;
    this.open.set(name, (this.open.get(name) ?? 0) + 1);
    journal.tell({ kind: "request", request, scope, key, fingerprint, onUnknown, mayBypass });
    const visit = new Visit(request, operation, random.pick(gateways), this.#scene, (final) => {
      this.open.set(name, (this.open.get(name) ?? 0) - 1);
      if (!final) this.#again(operation);
    });
    world.after(random.int(3), () => visit.arrive());
    // Nobody waits for a frozen gateway for ever; where nothing goes wrong, nobody has to.
    // Somebody asks again when the lease of a request that hangs is over.
    if (faults.some && random.chance(0.3)) this.#askLater(operation, LEAST_LEASE_MS, 6000);
    const losePatience = (): void => {
      if (!faults.over) visit.hangUp();
    };
    if (faults.some) world.after(random.pick(PATIENCE_MS), losePatience);
    if (!faults.happens("client-hang-up", name)) return;
    world.after(random.int(random.chance(0.5) ? 30 : 2000), () => visit.hangUp());
  }

  #again(operation: Operation): void {
    const { random } = this.#scene.world;
    if (random.chance(0.6)) this.#askLater(operation, 0, random.pick(BACKOFF_MS));
  }

  #askLater(operation: Operation, leastMs: number, spreadMs: number): void {
    const { world, faults } = this.#scene;
    const due = (): boolean => !faults.over && this.requests < this.#mostRequests;
    if (!due()) return;
    world.after(leastMs + world.random.int(spreadMs), () => {
      if (due()) this.ask(operation);
    });
  }
}

/** For requests that do not wait, so that nothing of the line looks at it. */
const NEVER_GONE = new AbortController();

/** One request of one client, with its connection. */
class Visit implements Connection, Client, InboundRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly HeaderPair[];
  readonly forwardHeaders: readonly HeaderPair[];
  readonly gone: AbortSignal;
  readonly #leaving: AbortController;
  readonly #request: number;
  readonly #operation: Operation;
  readonly #gateway: Gateway;
  readonly #scene: Scene;
  readonly #ended: (final: boolean) => void;
  #life = 0;
  #open = true;
  #sending = false;
  #answered = false;

  constructor(
    request: number,
    operation: Operation,
    gateway: Gateway,
    scene: Scene,
    ended: (final: boolean) => void,
  ) {
    this.#request = request;
    this.#operation = operation;
    this.#gateway = gateway;
    this.#scene = scene;
    this.#ended = ended;
    this.method = operation.method;
    this.target = operation.target;
    this.#leaving = operation.waits ? new AbortController() : NEVER_GONE;
    this.gone = this.#leaving.signal;
    const ifMatch = conditionOf(operation, scene.upstream);
    this.headers =
      ifMatch === undefined
        ? operation.headers
        : // The gateway takes a condition that it has judged off the request; under this name it stays to be seen.
          [...operation.headers, ["If-Match", ifMatch], ["X-If-Match", ifMatch]];
    this.forwardHeaders = this.headers;
  }

  arrive(): void {
    if (this.#open) this.#gateway.accept(this);
  }

  hangUp(): void {
    // Nothing of the line waits any more for this to be told.
    if (this.#answered) return;
    this.#unanswered();
    if (this.#operation.waits) this.#leaving.abort();
  }

  begins(life: number): void {
    this.#life = life;
  }

  /** What was written already may arrive all the same. */
  broken(): void {
    if (!this.#sending || this.#scene.world.random.chance(0.5)) this.#unanswered();
  }

  readBody(): Promise<BodyRead> {
    const { world } = this.#scene;
    return new Promise((resolve) => {
      world.after(world.random.int(3), () => {
        const read: BodyRead = { kind: "body", bytes: this.#operation.body };
        this.#gateway.arrive(this.#life, () => resolve(read));
      });
    });
  }

  watchBody(): Promise<BodyRead> {
    return this.readBody();
  }

  async send(reply: Reply): Promise<void> {
    const body = reply.body instanceof Uint8Array ? reply.body : await whole(reply.body);
    if (!this.#gateway.lives(this.#life)) return;
    this.#sending = true;
    const { world } = this.#scene;
    await new Promise<void>((resolve) => {
      world.after(world.random.int(3), () => {
        this.#told(reply, body);
        this.#gateway.arrive(this.#life, resolve);
      });
      this.#gateway.mayFail();
    });
  }

  pass(): Promise<never> {
    throw new Error("Nothing in a simulation passes unguarded.");
  }

  #told({ status, headers }: Reply, body: Uint8Array): void {
    if (!this.#close()) return;
    this.#answered = true;
    const outcome = fieldOf(headers, "idempotency-status") ?? "none";
    const request = this.#request;
    const { journal } = this.#scene;
    if (CARRIES.has(outcome) && this.#isOwn(headers)) {
      const answer = digestOf(status, headers, body);
      journal.tell({ kind: "reply", request, status, outcome, answer });
    } else {
      journal.tell({ kind: "reply", request, status, outcome });
    }
    this.#ended(FINAL.has(outcome));
  }

  /** `afterDelete: replay` answers a DELETE with what the first one was told, under whatever key. */
  #isOwn(headers: readonly HeaderPair[]): boolean {
    const execution = fieldOf(headers, "x-execution");
    if (execution === undefined) return false;
    const { method, repeatsDeletion, name } = this.#operation;
    if (method !== "DELETE" || !repeatsDeletion) return true;
    return this.#scene.upstream.askedBy(Number(execution)) === name;
  }

  #unanswered(): void {
    if (!this.#close()) return;
    this.#scene.journal.tell({ kind: "no-reply", request: this.#request });
    this.#ended(false);
  }

  #close(): boolean {
    const open = this.#open;
    this.#open = false;
    return open;
  }
}

/** What the client has read before. Conditions are not part of a fingerprint: a retry may bring another one. */
function conditionOf(
  { condition, target }: Operation,
  upstream: SimulatedUpstream,
): string | undefined {
  switch (condition) {
    case "none":
      return undefined;
    case "any":
      return "*";
    case "stale":
      return '"stale"';
    case "current":
      return upstream.tagOf(target) ?? '"nothing"';
  }
}

async function whole(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
