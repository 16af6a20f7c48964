/**
 * A bound on how long a call to a store may take. It does not cancel the work: what was sent may still happen, and
 * `StoreUnavailable` says no more than that.
 */
import { StoreUnavailable } from "../core/ports.ts";

/**
 * Settles as `work` does, or rejects after `timeoutMs`.
 * @throws StoreUnavailable when the time is over.
 */
export function within<Answer>(timeoutMs: number, work: Promise<Answer>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new StoreUnavailable(`The store did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    );
    work.then(
      (answer) => {
        clearTimeout(timer);
        resolve(answer);
      },
      () => {
        clearTimeout(timer);
        // Rejects as the work did.
        resolve(work);
      },
    );
  });
}
