/** Another process on the same directory, told by its arguments what to do there. */
import { writeSync } from "node:fs";
import { open } from "lmdb";
import { createEmbeddedStore } from "../../src/store/embedded.ts";
import { answerOf, claimOf } from "./contract-values.ts";

const [dir = "", mode = "", ...ids] = process.argv.slice(2);
const say = (line: string): number => writeSync(1, `${line}\n`);

if (mode === "hold") {
  open({ path: dir, encoding: "binary", maxDbs: 4, overlappingSync: false }).transactionSync(() => {
    say("holding");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
} else {
  const store = createEmbeddedStore({ dir, timeoutMs: 5000 });
  if (mode === "claim") {
    const answers = await Promise.all(ids.map((id) => store.claim(claimOf({ id }))));
    say(JSON.stringify(answers.map(({ kind }) => kind)));
    await store.close();
  } else if (mode === "settle-and-hang") {
    for (const id of ids) {
      const claim = claimOf({ id });
      await store.claim(claim);
      await store.complete(id, claim.token, answerOf(), 86_400_000);
    }
    say("acknowledged");
    setInterval(() => undefined, 1000);
  } else if (mode === "fill") {
    const stored: string[] = [];
    for (const id of ids) {
      const claim = claimOf({ id });
      try {
        await store.claim(claim);
        const body = Buffer.alloc(1 << 20);
        await store.complete(id, claim.token, answerOf({ body }), 86_400_000);
        stored.push("body");
      } catch (error) {
        stored.push(error instanceof Error ? error.name : "?");
        const bare = await store
          .complete(id, claim.token, answerOf({ body: undefined }), 86_400_000)
          .catch((failure: unknown) => ({ kind: String(failure) }));
        stored.push(bare.kind);
      }
    }
    say(JSON.stringify(stored));
    process.exit(0);
  }
}
