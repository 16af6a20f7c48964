/**
 * The gate of `gate.ts` in a process of its own, so that its memory can be measured. Started with the upstream's URL;
 * sends `{port}` once, then answers every message with `{rssBytes}`. Ends with its parent.
 */
import { startGate } from "./gate.ts";

const teardowns: (() => unknown)[] = [];
const gate = await startGate({ teardown: (fn) => teardowns.push(fn) }, process.argv[2] ?? "", {
  listener: { idleTimeoutMs: 60_000 },
  tunnel: { timeoutMs: 60_000 },
});
process.send?.({ port: gate.port });
process.on("message", () => process.send?.({ rssBytes: process.memoryUsage.rss() }));
process.on("disconnect", () => {
  for (const teardown of teardowns) teardown();
});
