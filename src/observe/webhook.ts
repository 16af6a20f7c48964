/** What is counted of the webhook, on a registry of its own: it lives where the operators' port is, not where requests are. */
import type { Exposition } from "./snapshots.ts";
import { Counter, Gauge, Registry } from "./prom-client.ts";
import { appended } from "./reloads.ts";

/** All values of the label `result` of the calls. */
const CALL_RESULTS = ["delivered", "failed"] as const;
/** And of the outcomes that were to be told. */
const TOLD_RESULTS = ["delivered", "dropped", "given-up"] as const;

export interface WebhookMetrics {
  called(result: (typeof CALL_RESULTS)[number]): void;
  told(result: (typeof TOLD_RESULTS)[number], outcomes: number): void;
  waiting(outcomes: number): void;
  /** `exposition` with these metrics behind its own. */
  behind(exposition: Exposition): Promise<Exposition>;
}

export function createWebhookMetrics(): WebhookMetrics {
  const registry = new Registry();
  const registers = [registry];
  const deliveries = new Counter({
    name: "idempotency_gateway_webhook_deliveries_total",
    help: "Calls to the webhook, repeats included, by whether the receiver took them.",
    labelNames: ["result"],
    registers,
  });
  const outcomes = new Counter({
    name: "idempotency_gateway_webhook_outcomes_total",
    help: "Unknown outcomes that the webhook was to be told of, by what became of that.",
    labelNames: ["result"],
    registers,
  });
  const waiting = new Gauge({
    name: "idempotency_gateway_webhook_waiting",
    help: "Unknown outcomes that the webhook has not been told of yet.",
    registers,
  });
  // A counter that appears with its first event has no `increase()` for it.
  for (const result of CALL_RESULTS) deliveries.inc({ result }, 0);
  for (const result of TOLD_RESULTS) outcomes.inc({ result }, 0);
  return {
    called: (result) => deliveries.inc({ result }),
    told: (result, count) => outcomes.inc({ result }, count),
    waiting: (count) => waiting.set(count),
    behind: (exposition) => appended(exposition, registry),
  };
}
