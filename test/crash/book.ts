/**
 * The clients of the crash tests, and what they write down: each request with its end. Together with the upstream's
 * file that is the history which the checker judges.
 */
import type http from "node:http";
import { check } from "../checker/check.ts";
import type { History, HistoryEvent } from "../checker/history.ts";
import { call, type Answer } from "../support/client.ts";
import { answerDigest, fingerprintOf, type Ledger } from "./ledger.ts";

/** An event and its place in the order of all that was seen. */
export interface Told {
  readonly seq: number;
  readonly event: HistoryEvent;
}

export interface Shot {
  readonly method: "POST" | "PUT";
  readonly path: string;
  readonly key: string;
  readonly scope: string;
  readonly body: string;
}

/** `undefined`: no whole reply came. */
export type Heard = Answer | undefined;

export interface Asked {
  readonly request: number;
  readonly shot: Shot;
  readonly heard: Heard;
  /** When the operating system had it whole; `undefined` where it never had. */
  readonly sentMs: number | undefined;
}

export class Book {
  readonly #told: Told[] = [];
  readonly #withdrawn = new Set<number>();
  #seq = 0;
  #requests = 0;
  /** Of every key that has been asked for: its record id, as the replies tell it. */
  readonly records = new Map<string, { readonly scope: string; readonly key: string }>();

  readonly next = (): number => (this.#seq += 1);

  get requests(): number {
    return this.#requests;
  }

  write(event: HistoryEvent): void {
    this.#told.push({ seq: this.next(), event });
  }

  async send(url: string, shot: Shot): Promise<Heard> {
    return (await this.ask(url, shot)).heard;
  }

  async ask(url: string, shot: Shot, agent?: http.Agent): Promise<Asked> {
    const { method, path, key, scope, body } = shot;
    const request = (this.#requests += 1);
    this.write({
      kind: "request",
      request,
      scope,
      key,
      fingerprint: fingerprintOf(method, path, body),
      // The defaults of these methods.
      onUnknown: method === "PUT" ? "resend" : "block",
      atMs: performance.now(),
    });
    const headers = { "Idempotency-Key": key, Authorization: scope, "Content-Type": "text/plain" };
    let sentMs: number | undefined;
    const onSent = (): void => {
      sentMs = performance.now();
    };
    const options = { method, headers, body, onSent, ...(agent !== undefined && { agent }) };
    let heard: Heard;
    try {
      heard = await call(`${url}${path}`, options);
    } catch (error) {
      if (!isConnectionError(error)) throw error;
      this.write({ kind: "no-reply", request, atMs: performance.now() });
      return { request, shot, heard: undefined, sentMs };
    }
    this.#heard(request, shot, heard);
    return { request, shot, heard, sentMs };
  }

  #heard(request: number, { scope, key }: Shot, heard: Answer): void {
    const answer = answerDigest(heard.status, heard.header("x-execution"), heard.body);
    this.write({
      kind: "reply",
      request,
      status: heard.status,
      outcome: outcomeOf(heard),
      ...(answer !== undefined && { answer }),
      atMs: performance.now(),
    });
    const record = heard.header("idempotency-record");
    if (record !== undefined) this.records.set(record, { scope, key });
  }

  /** Takes a request out of the history: it met a closed door, and nobody has seen it. */
  withdraw(request: number): void {
    this.#withdrawn.add(request);
  }

  /** What of the promises does not hold, judged by the clients' replies and the upstream's file. */
  judge(name: string, ledger: Ledger, faultFree = false): readonly string[] {
    const kept = this.#told.filter(
      ({ event }) => !("request" in event && this.#withdrawn.has(event.request)),
    );
    const told = [...kept, ...ledger.read()].toSorted((a, b) => a.seq - b.seq);
    const history: History = { name, faultFree, events: told.map(({ event }) => event) };
    return check(history).map(({ rule, text }) => `${name}: ${rule}: ${text}`);
  }
}

/** `Idempotency-Status`. */
export function outcomeOf(heard: Heard): string {
  return heard?.header("idempotency-status") ?? "none";
}

/** The gateway's end, as its clients see it; anything else is a defect of the test. */
function isConnectionError(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ECONNRESET" || code === "ECONNREFUSED" || code === "EPIPE";
}
