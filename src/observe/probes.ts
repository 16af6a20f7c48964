/** What is counted of probes. What a probe is and what its results mean, is not decided here. */
import { type ProbeResult, PROBE_RESULTS } from "../core/probe-ports.ts";
import { Counter, type Registry } from "./prom-client.ts";

export interface ProbeMetrics {
  /** `route` is a label that is known. */
  count(route: string, result: ProbeResult | "dropped"): void;
  /** All at 0, so that `increase()` sees the first. */
  initialise(route: string): void;
}

export function probeMetrics(registry: Registry): ProbeMetrics {
  const probes = new Counter({
    name: "idempotency_gateway_probes_total",
    help: "Questions to the upstream about unknown outcomes, by what came of them.",
    labelNames: ["route", "result"],
    registers: [registry],
  });
  return {
    count: (route, result) => probes.inc({ route, result }),
    initialise(route) {
      for (const result of [...PROBE_RESULTS, "dropped"]) probes.inc({ route, result }, 0);
    },
  };
}
