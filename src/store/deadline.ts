/**
 * A bound on how long a call to a store may take. It does not cancel the work: what was sent may still happen, and
 * `StoreUnavailable` says no more than that.
 */
import { StoreUnavailable } from "../core/ports.ts";

/**
 * Settles as `work` does, or rejects after `timeoutMs`.
 * @throws StoreUnavailable when the time is over.
 */
export async function within<Answer>(timeoutMs: number, work: Promise<Answer>): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new StoreUnavailable(`The store did not answer within ${timeoutMs} ms.`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
