/** What a test's `t.teardown` does, for code that runs without a test. */
export interface Teardown {
  teardown(fn: () => unknown): unknown;
}

/** Runs `work`, then everything it has put off, last first, even where `work` fails. */
export async function withTeardown<T>(work: (t: Teardown) => Promise<T>): Promise<T> {
  const later: (() => unknown)[] = [];
  try {
    return await work({ teardown: (fn) => later.push(fn) });
  } finally {
    for (const fn of later.toReversed()) await fn();
  }
}
