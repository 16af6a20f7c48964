/**
 * What a contender does, checked before it is timed: a fast wrong answer is worth nothing. Judged by how often the
 * upstream was called, and by the answers' bytes: the upstream never gives the same one twice.
 */
import { call, type Answer } from "../test/support/client.ts";
import type { Contender, Started } from "./contenders.ts";
import { bodyOf } from "./load.ts";
import type { Site } from "./site.ts";

const KEYS = 20;
/** How many ask at once for a key that nobody has. */
export const RACERS = 6;

/** @throws on the first thing that is not as the contender claims */
export async function checkCorrect(
  contender: Contender,
  { url }: Started,
  site: Site,
): Promise<void> {
  const { name, guards } = contender;
  const keys = Array.from({ length: KEYS }, (_, n) => `check-${n}`);
  const executed = async (what: string, n: number, act: () => Promise<void>): Promise<void> => {
    const before = await site.executions();
    await act();
    const count = (await site.executions()) - before;
    expect(name, `${what}: the upstream was called ${count} times, not ${n}`, count === n);
  };
  const first = new Map<string, Answer>();
  await executed("first executions", KEYS, async () => {
    for (const key of keys) {
      const answer = await post(url, key, bodyOf(250));
      expect(name, `a first execution is answered ${answer.status}`, answer.status === 201);
      expect(name, `an answer has ${answer.body.length} bytes`, answer.body.length === 180);
      first.set(key, answer);
    }
  });
  if (!guards) return;
  await executed("replays", 0, async () => {
    for (const key of keys) {
      const { status, body } = await post(url, key, bodyOf(250));
      const same = status === 201 && body.equals(first.get(key)?.body ?? Buffer.alloc(0));
      expect(name, `a replay is another answer: ${status} ${body.toString()}`, same);
    }
  });
  await executed("other bodies", 0, async () => {
    for (const key of keys) {
      const { status } = await post(url, key, bodyOf(251));
      expect(name, `another body is answered ${status}`, [400, 409, 422].includes(status));
    }
  });
  await executed("races", KEYS, async () => {
    for (const key of keys) {
      const racers = Array.from({ length: RACERS }, () => post(url, `raced-${key}`, bodyOf(250)));
      const answers = await Promise.all(racers);
      const odd = answers.find(({ status }) => status !== 201 && status !== 409);
      expect(name, `a racer is answered ${odd?.status}`, odd === undefined);
      const bodies = answers
        .filter(({ status }) => status === 201)
        .map(({ body }) => body.toString());
      expect(name, "racers get different answers", new Set(bodies).size === 1);
    }
  });
  await executed("a duplicate in flight", 1, () => checkInFlight(name, url, site));
}

async function checkInFlight(name: string, url: string, { gate }: Site): Promise<void> {
  const arrived = gate.hold();
  const slow = post(url, "slow", bodyOf(250), "/held");
  await arrived;
  const { status } = await post(url, "slow", bodyOf(250), "/held");
  gate.release();
  expect(name, `a duplicate in flight is answered ${status}`, status === 409);
  const { body } = await slow;
  expect(name, "the first in flight gets another answer", body.toString() === "held");
}

/** A contender that holds a duplicate back is not waited for for ever. */
const PATIENCE_MS = 10_000;

export function post(
  url: string,
  key: string,
  body: string,
  path = "/v1/charges",
  patienceMs = PATIENCE_MS,
): Promise<Answer> {
  const headers = { "Idempotency-Key": key, "Content-Type": "application/json" };
  const signal = AbortSignal.timeout(patienceMs);
  return call(`${url}${path}`, { method: "POST", headers, body, signal });
}

function expect(name: string, what: string, holds: boolean): void {
  if (!holds) throw new Error(`${name}: ${what}`);
}
