/**
 * A store that is measured: how long the transitions take, how often they fail, and how often what is read cannot be
 * trusted. Answers and errors pass through unchanged, and so does everything else that a store does.
 */
import type { StoreOperation } from "../core/outcome.ts";
import { RecordCorrupt, type Store } from "../core/ports.ts";
import type { Metrics } from "./metrics.ts";

/** `store` with its transitions counted in `metrics`. Delegates, so that stores may be classes with private state. */
export function observeStore(
  store: Store,
  metrics: Pick<Metrics, "storeCall" | "damagedRecord">,
): Store {
  async function timed<T>(operation: StoreOperation, call: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    let ok = false;
    try {
      const answer = await trusted(call);
      ok = true;
      return answer;
    } finally {
      metrics.storeCall(operation, (performance.now() - startMs) / 1000, ok);
    }
  }
  async function trusted<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof RecordCorrupt) metrics.damagedRecord(error.reason);
      throw error;
    }
  }
  return {
    claim: (request) => timed("claim", () => store.claim(request)),
    complete: (id, token, response, retentionMs) =>
      timed("complete", () => store.complete(id, token, response, retentionMs)),
    release: (id, token) => timed("release", () => store.release(id, token)),
    markUnknown: (id, token, reason, retentionMs) =>
      timed("mark-unknown", () => store.markUnknown(id, token, reason, retentionMs)),
    inspect: (id) => trusted(() => store.inspect(id)),
    look: (id) => trusted(() => store.look(id)),
    settleUnknown: (id, attempt, finding) =>
      trusted(() => store.settleUnknown(id, attempt, finding)),
    list: (query) => store.list(query),
    forget: (id) => store.forget(id),
    resolve: (id, outcome, retentionMs) => store.resolve(id, outcome, retentionMs),
    readCell: (id) => trusted(() => store.readCell(id)),
    writeCell: (id, value, revision, retentionMs) =>
      timed("remember", () => store.writeCell(id, value, revision, retentionMs)),
    enterRoll: (entry) => timed("roll", () => store.enterRoll(entry)),
    strikeRoll: (scope, id, mark) => timed("roll", () => store.strikeRoll(scope, id, mark)),
    watch: (id) => store.watch(id),
    problems: () => store.problems(),
    close: () => store.close(),
  };
}
