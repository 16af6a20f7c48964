/**
 * The simulated clients: they send what the plan says, hang up, try again with the same key and body, reuse a key with
 * another body, and tell the journal what they were told.
 */
import { fieldOf } from "../../src/core/fields.ts";
import type { Client, InboundRequest, Reply } from "../../src/core/ports.ts";
import type { HeaderPair } from "../../src/core/record.ts";
import type { Faults } from "./faults.ts";
import type { Connection, Gateway } from "./gateway.ts";
import type { Journal } from "./journal.ts";
import type { Operation } from "./plan.ts";
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
    const { scope, key, fingerprint, onUnknown, mayBypass } = operation;
    this.requests += 1;
    const request = this.requests;
    const name = `${scope}/${key}`;
    this.open.set(name, (this.open.get(name) ?? 0) + 1);
    journal.tell({ kind: "request", request, scope, key, fingerprint, onUnknown, mayBypass });
    const leaves = faults.happens("client-hang-up", name);
    const gone = new AbortController();
    let open = true;
    let sending = false;
    const close = (): boolean => {
      if (!open) return false;
      open = false;
      this.open.set(name, (this.open.get(name) ?? 0) - 1);
      return true;
    };
    const unanswered = (): void => {
      if (!close()) return;
      journal.tell({ kind: "no-reply", request });
      this.#again(operation);
    };
    const connection: Connection = {
      broken: () => {
        // What was written already may arrive all the same.
        if (!(sending && random.chance(0.5))) unanswered();
      },
    };
    const gateway = random.pick(gateways);
    const told = (reply: Reply, body: Uint8Array): void => {
      if (close()) this.#told(operation, request, reply, body);
    };
    world.after(random.int(3), () => {
      if (!open) return;
      gateway.accept(connection, (life) => [
        inbound(
          operation,
          this.#conditionOf(operation),
          gone.signal,
          (read) =>
            new Promise((resolve) =>
              world.after(random.int(3), () => gateway.arrive(life, () => resolve(read))),
            ),
        ),
        this.#client(gateway, life, told, unanswered, () => {
          sending = true;
        }),
      ]);
    });
    if (!leaves) return;
    world.after(random.int(random.chance(0.5) ? 30 : 2000), () => {
      unanswered();
      gone.abort();
    });
  }

  #client(
    gateway: Gateway,
    life: number,
    told: (reply: Reply, body: Uint8Array) => void,
    unanswered: () => void,
    sending: () => void,
  ): Client {
    const { world } = this.#scene;
    const { random } = world;
    return {
      send: async (reply) => {
        const body = await whole(reply.body);
        if (!gateway.lives(life)) return;
        sending();
        await new Promise<void>((resolve) => {
          world.after(random.int(3), () => {
            told(reply, body);
            gateway.arrive(life, resolve);
          });
          gateway.mayFail();
        });
      },
      pass: () => {
        unanswered();
        throw new Error("Nothing in a simulation passes unguarded.");
      },
    };
  }

  #told(operation: Operation, request: number, reply: Reply, body: Uint8Array): void {
    const { status, headers } = reply;
    const outcome = fieldOf(headers, "idempotency-status") ?? "none";
    const carries = CARRIES.has(outcome) && fieldOf(headers, "x-execution") !== undefined;
    this.#scene.journal.tell({
      kind: "reply",
      request,
      status,
      outcome,
      ...(carries &&
        !this.#isOldDeletion(operation, headers) && { answer: digestOf(status, headers, body) }),
    });
    if (!FINAL.has(outcome)) this.#again(operation);
  }

  /** `afterDelete: replay` answers a DELETE with what the first one was told, under whatever key. */
  #isOldDeletion(
    { method, repeatsDeletion, scope, key }: Operation,
    headers: readonly HeaderPair[],
  ): boolean {
    if (method !== "DELETE" || !repeatsDeletion) return false;
    const execution = Number(fieldOf(headers, "x-execution"));
    return this.#scene.upstream.askedBy(execution) !== `${scope}/${key}`;
  }

  /** What the client has read before. Conditions are not part of a fingerprint: a retry may bring another one. */
  #conditionOf({ condition, target }: Operation): string | undefined {
    switch (condition) {
      case "none":
        return undefined;
      case "any":
        return "*";
      case "stale":
        return '"stale"';
      case "current":
        return this.#scene.upstream.tagOf(target) ?? '"nothing"';
    }
  }

  #again(operation: Operation): void {
    const { world, faults } = this.#scene;
    if (this.requests >= this.#mostRequests || faults.over || !world.random.chance(0.6)) return;
    const { random } = world;
    world.after(random.int(random.chance(0.5) ? 60 : 3000), () => {
      if (!faults.over) this.ask(operation);
    });
  }
}

function inbound(
  { method, target, scope, key, body }: Operation,
  ifMatch: string | undefined,
  gone: AbortSignal,
  later: (read: {
    readonly kind: "body";
    readonly bytes: Uint8Array;
  }) => ReturnType<InboundRequest["readBody"]>,
): InboundRequest {
  const headers: HeaderPair[] = [
    ["Authorization", scope],
    ["Idempotency-Key", key],
    ["Content-Type", "application/json"],
  ];
  // The gateway takes a condition that it has judged off the request; under this name it stays to be seen.
  if (ifMatch !== undefined) headers.push(["If-Match", ifMatch], ["X-If-Match", ifMatch]);
  return {
    method,
    target,
    headers,
    forwardHeaders: headers,
    gone,
    readBody: () => later({ kind: "body", bytes: body }),
  };
}

async function whole(body: Reply["body"]): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}
