/** Another process that locks on the same directory: it holds and hangs, or it contends with the parent. */
import { writeSync } from "node:fs";
import { createEmbeddedLocks } from "../../src/lock/embedded.ts";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { CLOCK, contend, newToken } from "./contending.ts";

const [mode = "", dir = "", ...args] = process.argv.slice(2);
const store = createEmbeddedStore({ dir, timeoutMs: 5000 });
const locks = createEmbeddedLocks({
  cells: store,
  newToken,
  clock: CLOCK,
});
const say = (line: string): number => writeSync(1, `${line}\n`);

if (mode === "hold") {
  const [id = "", leaseMs = ""] = args;
  const beforeMs = Date.now();
  const answer = await locks.tryLock(id, Number(leaseMs));
  say(JSON.stringify({ kind: answer.kind, beforeMs, afterMs: Date.now() }));
  setInterval(() => undefined, 1000);
} else {
  const [place = "", rounds = "", contenders = ""] = args;
  say(JSON.stringify(await contend(locks, place, Number(rounds), Number(contenders))));
  await locks.close();
  await store.close();
}
