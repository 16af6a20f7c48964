/** What is counted of reading the configuration again, in the process that does it. Who serves by which is `metrics.ts`. */
import { RELOAD_RESULTS } from "./labels.ts";
import { Counter, Gauge, Registry } from "./prom-client.ts";
import type { Exposition } from "./snapshots.ts";

export type ReloadResult = (typeof RELOAD_RESULTS)[number];

/** Of the process that reads the configuration; its exposition goes behind that of the processes that serve. */
export interface ReloadMetrics {
  finished(result: ReloadResult): void;
  /** `exposition` with these metrics behind its own. */
  behind(exposition: Exposition): Promise<Exposition>;
}

/** The configuration that was read at the start counts as the first successful one. */
export function createReloadMetrics(): ReloadMetrics {
  const registry = new Registry();
  const registers = [registry];
  const reloads = new Counter({
    name: "idempotency_gateway_config_reloads_total",
    help: "Times that the configuration was read again, by what came of it.",
    labelNames: ["result"],
    registers,
  });
  const successful = new Gauge({
    name: "idempotency_gateway_config_last_reload_successful",
    help: "1 where the last reading of the configuration was good, 0 where it was refused and an older one serves.",
    registers,
  });
  const successSeconds = new Gauge({
    name: "idempotency_gateway_config_last_reload_success_timestamp_seconds",
    help: "When a configuration was read last that was good.",
    registers,
  });
  const good = (): void => {
    successful.set(1);
    successSeconds.setToCurrentTime();
  };
  for (const result of RELOAD_RESULTS) reloads.inc({ result }, 0);
  good();
  return {
    finished(result) {
      reloads.inc({ result });
      if (result === "applied" || result === "unchanged") good();
      else successful.set(0);
    },
    behind: (exposition) => appended(exposition, registry),
  };
}

/** What processes that serve have said, and behind it what only one process knows. */
export async function appended(
  { contentType, body }: Exposition,
  registry: Registry,
): Promise<Exposition> {
  return { contentType, body: `${body.trimEnd()}\n\n${await registry.metrics()}` };
}
