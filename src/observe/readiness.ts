/** Whether `/readyz` would say 200, for who alerts by metrics. Asked at each scrape and not between; why not, `/readyz` says. */
import { Gauge, Registry } from "./prom-client.ts";
import { appended } from "./reloads.ts";
import type { Exposition } from "./snapshots.ts";

/** `exposition` with readiness behind its own. */
export function withReadiness(exposition: Exposition, ready: boolean): Promise<Exposition> {
  const registry = new Registry();
  new Gauge({
    name: "idempotency_gateway_ready",
    help: "1 where /readyz says 200, 0 where it does not.",
    registers: [registry],
  }).set(ready ? 1 : 0);
  return appended(exposition, registry);
}
