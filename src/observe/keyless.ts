/** What is counted of requests without a key whose duplicates are looked for. What a duplicate is, is not decided here. */
import type { ExchangeReport } from "../core/ports.ts";
import { Counter, type Registry } from "./prom-client.ts";

export interface KeylessMetrics {
  /** `route` is a label that is known. */
  count(route: string, report: ExchangeReport): void;
  /** Both at 0, so that `increase()` sees the first. */
  initialise(route: string): void;
}

export function keylessMetrics(registry: Registry): KeylessMetrics {
  const registers = [registry];
  const requests = new Counter({
    name: "idempotency_gateway_keyless_requests_total",
    help: "Executed requests without a key that were looked at for being duplicates.",
    labelNames: ["route"],
    registers,
  });
  const duplicates = new Counter({
    name: "idempotency_gateway_keyless_duplicates_total",
    help: "Those of them that came again within the window: same caller, same route, same fingerprint.",
    labelNames: ["route"],
    registers,
  });
  return {
    count(route, { repeats }) {
      if (repeats === undefined) return;
      requests.inc({ route });
      if (repeats > 0) duplicates.inc({ route });
    },
    initialise(route) {
      requests.inc({ route }, 0);
      duplicates.inc({ route }, 0);
    },
  };
}
