/** What operators decide about unknown outcomes, counted in the process that has their port. The log tells which records. */
import type { Resolution } from "../core/desk.ts";
import { Counter, Registry } from "./prom-client.ts";
import { appended } from "./reloads.ts";
import type { Exposition } from "./snapshots.ts";

const OUTCOMES: readonly Resolution[] = ["executed", "not-executed"];

export interface HandMetrics {
  resolved(outcome: Resolution): void;
  /** `exposition` with these metrics behind its own. */
  behind(exposition: Exposition): Promise<Exposition>;
}

export function createHandMetrics(): HandMetrics {
  const registry = new Registry();
  const resolutions = new Counter({
    name: "idempotency_gateway_resolutions_total",
    help: "Unknown outcomes that operators have resolved, by what they said.",
    labelNames: ["outcome"],
    registers: [registry],
  });
  for (const outcome of OUTCOMES) resolutions.inc({ outcome }, 0);
  return {
    resolved: (outcome) => resolutions.inc({ outcome }),
    behind: (exposition) => appended(exposition, registry),
  };
}
