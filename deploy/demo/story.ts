/**
 * What clients send on a bad day, step by step, and what has to come back. After each step the upstream itself is asked
 * how often it has charged: that number is what the gateway is for. Starts and ends no process but the gateway.
 */
import { type Answer, type Ask, header, send } from "./client.ts";
import { CUT, Scene, type Stage } from "./scene.ts";

/** Slow enough to be overtaken by what is sent while it runs. */
const SLOW = "/v1/charges?delay=800";

const CONCURRENT = 20;

function charge(key: string, amount: number, path = "/v1/charges"): Ask {
  return { method: "POST", path, key, body: `{"amount":${amount},"currency":"eur"}` };
}

const ORDER_1 = charge('"order-1"', 4200);

export async function tellStory(stage: Stage): Promise<void> {
  const scene = new Scene(stage, await stage.startGateway());
  stage.transcript.note(`client → gateway ${scene.gatewayUrl} → charges API ${stage.upstreamUrl}`);

  const first = await executeOnce(scene);
  await refuse(scene);
  await crowd(scene);
  await hangUpAndRetry(scene);
  await killAndRetry(scene, first);

  stage.transcript.step("The gateway stops gracefully on SIGTERM");
  await scene.kill("SIGTERM", "exit code 0");
}

async function executeOnce(scene: Scene): Promise<Answer> {
  scene.transcript.step("A first request is executed and recorded");
  const first = await scene.ask(ORDER_1);
  scene.checkAnswer(first, 201, "executed");
  await scene.checkExecutions(1);

  scene.transcript.step("Retries get the recorded answer");
  scene.checkReplay(await scene.ask(ORDER_1), first);
  scene.checkReplay(await scene.ask(ORDER_1), first);
  await scene.checkExecutions(1);

  scene.transcript.step("The same key without its quotes is the same key");
  scene.checkReplay(await scene.ask(charge("order-1", 4200)), first);
  await scene.checkExecutions(1);
  return first;
}

async function refuse(scene: Scene): Promise<void> {
  scene.transcript.step("The same key with another body is refused");
  scene.checkAnswer(await scene.ask(charge('"order-1"', 999_900)), 409, "key-reused");
  await scene.checkExecutions(1);

  scene.transcript.step("A request without the required key is refused");
  const { key: _, ...keyless } = ORDER_1;
  scene.checkAnswer(await scene.ask(keyless), 428, "key-missing");
  await scene.checkExecutions(1);
}

/** Many clients, one key, one moment; then each of them asks once more. */
async function crowd(scene: Scene): Promise<void> {
  const { transcript } = scene;
  transcript.step(`${CONCURRENT} duplicates at once: one is executed, and all can have its answer`);
  const what = charge('"order-2"', 3100, SLOW);
  const all = () =>
    Promise.all(Array.from({ length: CONCURRENT }, () => send(scene.gatewayUrl, what)));
  transcript.asked(what);
  transcript.note(`… ${CONCURRENT} times, without waiting`);
  const answers = await all();
  const told = new Map<string, number>();
  for (const answer of answers) {
    const status = header(answer, "Idempotency-Status");
    told.set(status, (told.get(status) ?? 0) + 1);
  }
  for (const [status, count] of told) transcript.note(`← ${count} × ${status}`);
  // Whoever comes while the first one runs is told so; whoever comes after it gets its answer.
  const others = (told.get("in-flight") ?? 0) + (told.get("replayed") ?? 0);
  transcript.check(
    { what: "executed", is: told.get("executed") ?? 0, expected: 1 },
    { what: "in flight or replayed", is: others, expected: CONCURRENT - 1 },
  );

  transcript.note(`… and all ${CONCURRENT} once more`);
  const again = await all();
  const replayed = again.filter((answer) => header(answer, "Idempotent-Replayed") === "true");
  const different = new Set(again.map(({ status, body }) => `${status} ${body}`));
  transcript.check(
    { what: "replayed", is: replayed.length, expected: CONCURRENT },
    { what: "different answers", is: different.size, expected: 1 },
  );
  await scene.checkExecutions(2);
}

async function hangUpAndRetry(scene: Scene): Promise<void> {
  scene.transcript.step("A client hangs up while its request runs, then retries");
  const what = charge('"order-3"', 1500, SLOW);
  const client = new AbortController();
  const { ended } = await scene.askAndLeaveRunning(what, client.signal);
  client.abort();
  scene.transcript.check({ what: "the client has", is: await ended, expected: CUT });
  scene.checkAnswer(await scene.persist(what), 201, "replayed");
  await scene.checkExecutions(3);
}

async function killAndRetry(scene: Scene, first: Answer): Promise<void> {
  scene.transcript.step("The gateway is killed and started again: the record is still there");
  await scene.kill("SIGKILL", "SIGKILL");
  await scene.startAgain();
  scene.checkReplay(await scene.ask(ORDER_1), first);
  await scene.checkExecutions(3);

  scene.transcript.step("The gateway is killed while a charge runs: it is not sent a second time");
  const what = charge('"order-4"', 7700, SLOW);
  const { ended } = await scene.askAndLeaveRunning(what);
  await scene.kill("SIGKILL", "SIGKILL");
  scene.transcript.check({ what: "the client has", is: await ended, expected: CUT });
  await scene.startAgain();
  scene.checkAnswer(await scene.ask(what), 409, "in-flight");
  scene.transcript.note(
    "in flight until the lease of the dead gateway is over, then of unknown outcome",
  );
  await scene.checkExecutions(4);
}
