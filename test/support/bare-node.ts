/**
 * How programs are started by the hundred: with `env`, which becomes them. The test runner puts a module of its own into
 * the environment of every child, whatever `env` of `spawn` says, and it takes 0.2 s of CPU at each start: half of what
 * the gateway takes.
 */

/** Arguments of `env`; what is to be started comes behind them. */
export const BARE: readonly string[] = ["-u", "NODE_OPTIONS"];

/** Arguments of `env`; Node's come behind them. */
export const BARE_NODE: readonly string[] = [...BARE, process.execPath];

/** The argument with which node runs TypeScript, also from another directory; see `strip-types.js`. */
export const RUNS_TYPESCRIPT = `--import=${new URL("./strip-types.js", import.meta.url).href}`;
