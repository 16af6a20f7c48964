/**
 * A store that is measured: how long the transitions take and how often they fail. Answers and errors pass
 * through unchanged, and so does everything else that a store does.
 */
import type { Store, StoreOperation } from "../core/ports.ts";
import type { Metrics } from "./metrics.ts";

/** `store` with its transitions counted in `metrics`. Delegates, so that stores may be classes with private state. */
export function observeStore(store: Store, metrics: Pick<Metrics, "storeCall">): Store {
  async function timed<T>(operation: StoreOperation, call: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    let ok = false;
    try {
      const answer = await call();
      ok = true;
      return answer;
    } finally {
      metrics.storeCall(operation, (performance.now() - startMs) / 1000, ok);
    }
  }
  return {
    claim: (request) => timed("claim", () => store.claim(request)),
    complete: (id, token, response, retentionMs) =>
      timed("complete", () => store.complete(id, token, response, retentionMs)),
    release: (id, token) => timed("release", () => store.release(id, token)),
    markUnknown: (id, token, reason, retentionMs) =>
      timed("mark-unknown", () => store.markUnknown(id, token, reason, retentionMs)),
    inspect: (id) => store.inspect(id),
    list: (query) => store.list(query),
    forget: (id) => store.forget(id),
    resolve: (id, outcome, retentionMs) => store.resolve(id, outcome, retentionMs),
    readCell: (id) => store.readCell(id),
    writeCell: (id, value, revision, retentionMs) =>
      timed("remember", () => store.writeCell(id, value, revision, retentionMs)),
    watch: (id) => store.watch(id),
    problems: () => store.problems(),
    close: () => store.close(),
  };
}
