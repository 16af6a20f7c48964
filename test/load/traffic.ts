/**
 * Even, mixed traffic of ordinary clients: new keys, repeats, keys used for something else, reads, answers that are too
 * long to keep, clients that leave and an upstream that breaks. Each reply is judged at once and then forgotten, and each
 * request has a connection of its own, so that what connections leave behind shows.
 */
import http from "node:http";
import type { Random } from "../support/random.ts";
import { call, type Answer } from "../support/client.ts";

interface Known {
  readonly key: string;
  readonly body: string;
  readonly answer: string;
}

type Kind = "fresh" | "repeat" | "reuse" | "read" | "large" | "leaves" | "broken";

/** Out of 20. */
const MIX: readonly Kind[] = (
  [
    ["fresh", 9],
    ["repeat", 4],
    ["reuse", 1],
    ["read", 3],
    ["large", 1],
    ["leaves", 1],
    ["broken", 1],
  ] as const
).flatMap(([kind, share]) => Array.from({ length: share }, () => kind));

/** So few are asked for again that their records are surely there still. */
const REMEMBERED = 100;
/** In a second. What comes together costs less than what comes one by one. */
const BURSTS = 4;

export class Traffic {
  readonly counts: Record<string, number> = { requests: 0, executed: 0 };
  readonly violations: string[] = [];
  readonly #url: string;
  readonly #random: Random;
  readonly #perSecond: number;
  readonly #known: Known[] = [];
  readonly #running = new Set<Promise<void>>();
  #keys = 0;

  constructor(url: string, random: Random, perSecond: number) {
    this.#url = url;
    this.#random = random;
    this.#perSecond = perSecond;
  }

  /** Begins a second's requests, spread over it. */
  second(): void {
    for (let burst = 0; burst < BURSTS; burst += 1) {
      setTimeout(
        () => {
          for (let n = 0; n < this.#perSecond / BURSTS; n += 1) this.#one();
        },
        (burst * 1000) / BURSTS,
      );
    }
    // The bursts hold this second open, also before their first request.
    this.#track(new Promise((resolve) => setTimeout(resolve, 1000)));
  }

  /** Resolves when everything that was begun is over. */
  async over(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  #one(): void {
    const kind = this.#random.pick(MIX);
    this.counts["requests"] = (this.counts["requests"] ?? 0) + 1;
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
    this.#track(this.#send(kind).catch((error: unknown) => this.#object(kind, String(error))));
  }

  #object(kind: Kind, text: string): void {
    if (this.violations.length < 20) this.violations.push(`${kind}: ${text}`);
  }

  async #send(kind: Kind): Promise<void> {
    if (kind === "read") {
      const { status } = await call(`${this.#url}/thing`);
      if (status !== 200) this.#object(kind, String(status));
      return;
    }
    const known = this.#known.length > 0 ? this.#random.pick(this.#known) : undefined;
    if ((kind === "repeat" || kind === "reuse") && known !== undefined) {
      const body = kind === "repeat" ? known.body : `${known.body}!`;
      const answer = await this.#post("/things", known.key, body);
      const wanted = kind === "repeat" ? known.answer : "409 key-reused";
      const told = kind === "repeat" ? told201(answer) : `${answer.status} ${statusOf(answer)}`;
      if (told !== wanted) this.#object(kind, `${told} instead of ${wanted}`);
      return;
    }
    await this.#execute(kind);
  }

  async #execute(kind: Kind): Promise<void> {
    this.#keys += 1;
    const key = `soak-${this.#keys}`;
    const body = "b".repeat(this.#random.between(1, 2000));
    this.counts["executed"] = (this.counts["executed"] ?? 0) + 1;
    if (kind === "leaves") return this.#leave(key, body);
    const target = kind === "large" || kind === "broken" ? `/${kind}` : "/things";
    const answer = await this.#post(target, key, body);
    const told = `${answer.status} ${statusOf(answer)}`;
    const wanted = kind === "broken" ? "502 outcome-unknown" : "201 executed";
    if (told !== wanted) this.#object(kind, `${told} instead of ${wanted}`);
    if (target !== "/things" || told !== wanted) return;
    if (String(answer.body) !== `got ${body.length} bytes`) this.#object(kind, String(answer.body));
    this.#known.push({ key, body, answer: told201(answer) });
    if (this.#known.length > REMEMBERED) this.#known.shift();
  }

  /** Hangs up as soon as the request is out: it is executed all the same. */
  #leave(key: string, body: string): Promise<void> {
    return new Promise((resolve) => {
      const headers = { "Idempotency-Key": key, "Content-Length": String(body.length) };
      const req = http.request(`${this.#url}/things`, { method: "POST", headers, agent: false });
      req.on("error", () => resolve());
      req.on("close", () => resolve());
      req.end(body, () => req.destroy());
    });
  }

  #post(target: string, key: string, body: string): Promise<Answer> {
    const headers = { "Idempotency-Key": key, "Content-Length": String(body.length) };
    return call(this.#url + target, { method: "POST", headers, body });
  }
}

function statusOf(answer: Answer): string {
  return answer.header("idempotency-status") ?? "none";
}

function told201({ status, body }: Answer): string {
  return `${status} ${String(body)}`;
}
