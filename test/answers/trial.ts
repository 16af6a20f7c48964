/**
 * One answer after another, sound and unsound, through the line: the real flow and the real upstream client over real
 * sockets. Each is asked for twice, and both replies are judged by the oracle's reading of the bytes.
 */
import { createUpstream, type UpstreamPool } from "../../src/http/upstream.ts";
import type { BatchResult } from "../proof/row.ts";
import { newLine, type Line } from "../support/flow.ts";
import { withTeardown } from "../support/teardown.ts";
import { told, type Pair } from "../support/wire.ts";
import { RESPONSE_BYTES, saidBy, type Said } from "./mutations.ts";
import { strictReading, type Reading } from "./reading.ts";
import { startSpeaker, type Speaker } from "./speaker.ts";

/** What a client has, in whichever way it asked. */
export interface Reply {
  readonly status: number;
  readonly pairs: readonly Pair[];
  readonly body: string;
}

/** The connection was cut within the body. */
export const BROKEN: Reply = { status: 0, pairs: [], body: "" };

type Kind = "answers" | "unknown" | "streamed" | "broken" | "not-kept" | "wrong";

export type Ask = (said: Said, reading: Reading) => Promise<Reply>;

/** What waits for more than comes is let go soon; what comes has time. */
const SOON_MS = 1000;
const LATE_MS = 20_000;
const LANES = 96;
/** A line keeps every request that it has seen. */
const PER_LINE = 250;

/** What the gateway's flow makes of the status alone; drawn by accident, and told, but not kept. */
const NOT_KEPT = new Set([401, 407, 408, 421, 425, 429, 502, 503, 504]);

export function runTrials(first: number, count: number): Promise<BatchResult> {
  return withTeardown(async (t) => {
    const speaker = await startSpeaker(t, saidBy);
    const pool = createUpstream({ url: speaker.url, connectTimeoutMs: 5000, connections: 1000 });
    t.teardown(() => pool.close());
    return judgeAll(first, count, speaker, () => newAsker(pool));
  });
}

/** `newAsk` is called again from time to time. */
export async function judgeAll(
  first: number,
  count: number,
  speaker: Speaker,
  newAsk: () => Ask,
): Promise<BatchResult> {
  const violations: string[] = [];
  const counts: Record<string, number> = {};
  let next = first;
  let ask = newAsk();
  const lane = async (): Promise<void> => {
    while (next < first + count) {
      const number = next;
      next += 1;
      if ((number - first) % PER_LINE === PER_LINE - 1) ask = newAsk();
      const said = saidBy(number);
      const verdict = await judge(said, ask, speaker);
      counts[verdict.kind] = (counts[verdict.kind] ?? 0) + 1;
      for (const fault of verdict.faults)
        violations.push(`answer ${number} (${said.what}): ${fault}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { done: count, violations, counts: { ...counts, requests: speaker.requests() } };
}

function newAsker(pool: UpstreamPool): Ask {
  const line: Line = newLine({
    policy: { onUnknown: "block", limits: { requestBytes: 1024, responseBytes: RESPONSE_BYTES } },
  });
  const deadlines = new Map<string, number>();
  line.respond(({ request }) => {
    const deadlineMs = deadlines.get(request.target) ?? SOON_MS;
    return pool.send(request, { deadlineMs, responseBytes: RESPONSE_BYTES });
  });
  return async ({ method, number, ending }, reading) => {
    const target = `/unit/${number}`;
    deadlines.set(target, reading.kind === "none" && ending === "stays" ? SOON_MS : LATE_MS);
    try {
      const reply = await line.ask({ method, target, key: `k-${number}`, body: "{}" });
      return { status: reply.status, pairs: reply.headers, body: reply.text };
    } catch {
      // The body broke off while it was told; a client sees its connection cut.
      return BROKEN;
    }
  };
}

async function judge(
  said: Said,
  ask: Ask,
  speaker: Speaker,
): Promise<{ readonly kind: Kind; readonly faults: readonly string[] }> {
  const reading = strictReading(said.bytes, said.ending, said.method);
  const first = await ask(said, reading);
  const kind = kindOf(reading, first);
  if (kind === undefined) return { kind: "wrong", faults: [`told ${show(first)}`] };
  if (kind === "not-kept") return { kind, faults: [] };
  const again = await ask(said, reading);
  const faults: string[] = [];
  const calls = speaker.count(said.number);
  // None at all where the deadline was over first: nobody can promise more than that it may have been sent.
  if (calls > 1 || (calls === 0 && first.status !== 504)) faults.push(`asked ${calls} times`);
  const sound = kind === "answers" ? isReplay(first, again) : isRefusal(again, kind);
  if (!sound) faults.push(`after ${kind} ${show(first)} told ${show(again)}`);
  return { kind, faults };
}

/** What was told, where the reading of the bytes allows that. */
function kindOf(reading: Reading, reply: Reply): Kind | undefined {
  const isUnknown = reply.status === 502 || reply.status === 504;
  if (reading.kind === "none") {
    if (isUnknown && outcomeOf(reply) === "outcome-unknown") return "unknown";
    const { begun } = reading;
    const tooLong =
      begun !== undefined && Math.max(begun.announced, begun.body.length) > RESPONSE_BYTES;
    return tooLong && reply === BROKEN ? "broken" : undefined;
  }
  const asRead = isTold(reading, reply);
  if (NOT_KEPT.has(reading.status)) return asRead ? "not-kept" : undefined;
  const tooLong = reading.body.length > RESPONSE_BYTES;
  if (asRead) return tooLong || reading.unframed ? "streamed" : "answers";
  // Nobody can tell what the reset has overtaken.
  if (!reading.resetBehind) return undefined;
  if (isUnknown && outcomeOf(reply) === "outcome-unknown") return "unknown";
  return tooLong && reply === BROKEN ? "broken" : undefined;
}

function isTold(reading: Extract<Reading, { kind: "answer" }>, reply: Reply): boolean {
  return (
    reply.status === reading.status &&
    reply.body === reading.body.toString() &&
    same(told(reply.pairs), told(reading.pairs))
  );
}

function isReplay(first: Reply, again: Reply): boolean {
  return (
    outcomeOf(again) === "replayed" &&
    again.status === first.status &&
    again.body === first.body &&
    same(told(again.pairs), told(first.pairs))
  );
}

function isRefusal(again: Reply, kind: Kind): boolean {
  const wanted = kind === "unknown" ? "outcome-unknown" : "not-replayable";
  return again.status === 409 && outcomeOf(again) === wanted;
}

function same(some: readonly Pair[], others: readonly Pair[]): boolean {
  return JSON.stringify(some) === JSON.stringify(others);
}

function outcomeOf({ pairs }: Reply): string | undefined {
  return pairs.find(([name]) => name.toLowerCase() === "idempotency-status")?.[1];
}

function show(reply: Reply): string {
  return `${reply.status} ${outcomeOf(reply)} ${JSON.stringify(reply.body.slice(0, 80))}`;
}
