/**
 * What "exactly one" means, round by round: 50 clients, one key, two gateway processes, and the upstream's count. One
 * round in two holds the upstream's answer until the duplicates have been dealt with; the others let it race them.
 */
import type { Test } from "tap";
import { openBurst, settled, type Burst, type Shot } from "../support/burst.ts";
import type { Answer } from "../support/client.ts";
import { writeAnswer, type Call, type TestUpstream } from "../support/upstream.ts";

const CLIENTS = 50;

export interface Place {
  /** Two gateways, or one that has two workers. */
  readonly gateways: readonly string[];
  readonly upstream: TestUpstream;
}

/** The settings that these rounds need. */
export const ROUTES = [
  { name: "reject", match: { path: "/reject" } },
  { name: "wait", match: { path: "/wait" }, onInFlight: "wait", waitTimeout: "20s" },
];

type OnInFlight = "reject" | "wait";

interface Round {
  readonly key: string;
  readonly shots: readonly Shot[];
  readonly answers: readonly Answer[];
  /** What the upstream saw of this key. */
  readonly calls: readonly Call[];
}

/** No two executions answer alike, so that equal answers are one execution's. */
export function countExecutions(upstream: TestUpstream): void {
  upstream.respond(({ body }, _req, res) => {
    const headers = ["Content-Type", "text/plain", "Set-Cookie", "a=1", "Set-Cookie", "b=2"];
    const status = 201;
    writeAnswer(res, { status, headers, body: `execution ${upstream.count()} of ${String(body)}` });
  });
}

/** 50 identical requests at once, over and over. */
export async function identical(t: Test, place: Place, onInFlight: OnInFlight, rounds: number) {
  const tally = new Map<string, number>();
  await run(t, place, onInFlight, rounds, {
    bodyOf: () => "amount=100",
    // With `reject` the 49 others are refused while the answer is held; with `wait` none of them is.
    heldUntil: onInFlight === "reject" ? CLIENTS - 1 : 0,
    judge: ({ answers, calls }) => [
      ...(calls.length === 1 ? [] : [`the upstream was called ${calls.length} times`]),
      ...judgeSame(answers, onInFlight, tally),
    ],
  });
  t.comment(JSON.stringify(Object.fromEntries(tally)));
}

/** 25 of the 50 carry another body. */
export async function mixed(t: Test, place: Place, onInFlight: OnInFlight, rounds: number) {
  const tally = new Map<string, number>();
  const bodies = ["amount=100", "amount=999"];
  await run(t, place, onInFlight, rounds, {
    // By turns: one body goes first, or each gateway gets one of them.
    bodyOf: (n, round) => {
      const other = round % 4 < 2 ? n < CLIENTS / 2 : n % 2 === 0;
      return bodies[(Number(other) + round) % 2]!;
    },
    heldUntil: onInFlight === "reject" ? CLIENTS - 1 : CLIENTS / 2,
    judge: ({ shots, answers, calls }) => {
      if (calls.length !== 1) return [`the upstream was called ${calls.length} times`];
      const won = String(calls[0]?.body);
      const winners = answers.filter((_, n) => shots[n]?.body === won);
      const losers = answers.filter((_, n) => shots[n]?.body !== won);
      tally.set(won, (tally.get(won) ?? 0) + 1);
      return [
        ...(winners.length === CLIENTS / 2 ? [] : [`${winners.length} sent the body that won`]),
        ...judgeSame(winners, onInFlight, tally),
        ...losers.filter((answer) => !isReuse(answer)).map((answer) => `reuse: ${told(answer)}`),
      ];
    },
  });
  t.comment(JSON.stringify(Object.fromEntries(tally)));
}

interface Rules {
  bodyOf(n: number, round: number): string;
  /** How many answers must be there before the upstream gives its own, in the rounds that hold it. */
  readonly heldUntil: number;
  judge(round: Round): string[];
}

async function run(
  t: Test,
  { gateways, upstream }: Place,
  onInFlight: OnInFlight,
  rounds: number,
  rules: Rules,
): Promise<void> {
  const burst = await openBurst(t, gateways, CLIENTS);
  const wrong: string[] = [];
  const before = upstream.count();
  const startedMs = performance.now();
  for (let round = 0; round < rounds; round += 1) {
    const played = await play(t.name, burst, upstream, onInFlight, round, rules);
    wrong.push(...rules.judge(played).map((fault) => `${played.key}: ${fault}`));
  }
  const perSecond = (rounds / (performance.now() - startedMs)) * 1000;
  t.comment(`${rounds} rounds of ${CLIENTS}, ${perSecond.toFixed(1)} rounds/s`);
  t.same(wrong.slice(0, 10), [], "no round went wrong");
  t.equal(upstream.count() - before, rounds, "the upstream was called once per key");
}

async function play(
  name: string,
  burst: Burst,
  upstream: TestUpstream,
  onInFlight: OnInFlight,
  round: number,
  rules: Rules,
): Promise<Round> {
  const key = `${name.replaceAll(/\W+/gu, "-")}-${round}`;
  const shots = Array.from({ length: burst.size }, (_, n) => ({
    method: "POST",
    path: `/${onInFlight}`,
    headers: { "Idempotency-Key": key },
    body: rules.bodyOf(n, round),
  }));
  const first = upstream.calls.length;
  const gate = round % 2 === 0 ? upstream.hold() : undefined;
  const fired = burst.fire(shots);
  if (gate !== undefined) {
    await upstream.arrived(first + 1);
    if (rules.heldUntil > 0) await settled(rules.heldUntil, fired);
    gate.release();
  }
  const answers = await Promise.all(fired);
  const calls = upstream.calls
    .slice(first)
    .filter((call) => call.all("idempotency-key")[0] === key);
  return { key, shots, answers, calls };
}

/** One executed, and nobody told anything else than that same answer, or (with `reject`) that it is in flight. */
function judgeSame(
  answers: readonly Answer[],
  onInFlight: OnInFlight,
  tally: Map<string, number>,
): string[] {
  const faults: string[] = [];
  const executed = answers.filter((answer) => statusOf(answer) === "executed");
  const [original] = executed;
  if (executed.length !== 1) faults.push(`${executed.length} were told that theirs was executed`);
  for (const answer of answers) {
    const status = statusOf(answer);
    tally.set(status, (tally.get(status) ?? 0) + 1);
    if (onInFlight === "reject" && answer.status === 409 && status === "in-flight") {
      if (!(Number(answer.header("retry-after")) >= 1)) faults.push("in-flight, no Retry-After");
      continue;
    }
    const same = answer.status === 201 && original?.body.equals(answer.body);
    const cookies = answer.all("set-cookie").join("; ") === "a=1; b=2";
    if (!same || !cookies) faults.push(`another answer: ${told(answer)}`);
  }
  return faults;
}

function isReuse(answer: Answer): boolean {
  return answer.status === 409 && answer.json()["code"] === "key-reused";
}

function statusOf(answer: Answer): string {
  return answer.header("idempotency-status") ?? "none";
}

function told(answer: Answer): string {
  return `${answer.status} ${statusOf(answer)} ${String(answer.body).slice(0, 200)}`;
}
