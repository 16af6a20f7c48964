/** What the flow tells of itself, counted and logged. Which words and which fields, `metrics.ts` and `log.ts` decide. */
import type { UnknownOutcome } from "../core/outcome.ts";
import type { Observer } from "../core/ports.ts";
import type { Log } from "./log.ts";
import type { Replays } from "./replays.ts";

export function observing(
  metrics: Omit<Observer, "leftBehind">,
  log: Pick<Log, "event" | "exchange">,
  leftBehind: Observer["leftBehind"],
  {
    told,
    replays,
  }: {
    readonly told?: ((outcome: UnknownOutcome) => void) | undefined;
    readonly replays?: Pick<Replays, "replayed"> | undefined;
  },
): Observer {
  return {
    began: () => metrics.began(),
    finished(report) {
      metrics.finished(report);
      log.exchange(report);
      const { outcome, recordId, recorded } = report;
      // Who deletes what is gone already is told so by what is remembered of the resource, and its own record is new.
      if (outcome === "replayed" && recordId !== undefined && recorded !== true) {
        replays?.replayed(recordId);
      }
    },
    lostWrite: (operation) => metrics.lostWrite(operation),
    unknownOutcome(outcome) {
      metrics.unknownOutcome(outcome);
      told?.(outcome);
    },
    leftBehind,
    recordedBytes: (bytes) => metrics.recordedBytes(bytes),
    probed(report) {
      metrics.probed(report);
      const durationMs = Math.round(report.durationMs);
      log.event("info", "unknown outcome probed", { ...report, durationMs });
    },
    probeDropped: (route) => metrics.probeDropped(route),
  };
}
