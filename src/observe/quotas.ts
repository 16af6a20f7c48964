/** What is counted of requests that a quota has refused. What is too much is not decided here. */
import { QUOTA_NAMES } from "../core/outcome.ts";
import type { ExchangeReport } from "../core/ports.ts";
import { Counter, type Registry } from "./prom-client.ts";

const NAMES: ReadonlySet<string> = new Set(QUOTA_NAMES);

export function quotaMetrics(registry: Registry): { count(report: ExchangeReport): void } {
  const refusals = new Counter({
    name: "idempotency_gateway_quota_refusals_total",
    help: "Requests that were refused because their caller had used up a quota.",
    labelNames: ["quota"],
    registers: [registry],
  });
  // At 0, so that `increase()` sees the first.
  for (const quota of QUOTA_NAMES) refusals.inc({ quota }, 0);
  return {
    count({ outcome, cause = "" }) {
      if (outcome === "quota-exceeded" && NAMES.has(cause)) refusals.inc({ quota: cause });
    },
  };
}
