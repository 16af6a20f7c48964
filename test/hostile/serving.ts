/**
 * A whole gateway in this process without its log on paper: what an exchange reports goes to whoever counts. Traffic
 * comes from loopback addresses, which are not trusted here, so that X-Forwarded-For names the connection.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { loadConfig } from "../../src/config/load.ts";
import type { ExchangeReport } from "../../src/core/ports.ts";
import { openStore } from "../../src/drivers.ts";
import { createServing } from "../../src/gateway.ts";
import { createMetrics } from "../../src/observe/metrics.ts";
import { tempDir } from "../support/gateway.ts";
import type { Teardown } from "../support/teardown.ts";

/** As in YAML. `trustedProxies`: an address that no test's client has. */
export function hostileSettings(upstreamPort: number): Readonly<Record<string, unknown>> {
  return {
    listen: { host: "127.0.0.1", port: 0, trustedProxies: ["127.200.0.0/16"] },
    admin: { host: "127.0.0.1", port: 0 },
    upstream: { url: `http://127.0.0.1:${upstreamPort}`, timeout: "5s" },
    store: { url: "memory:" },
    // Nothing is tried twice over minutes, and a long run must not fill the memory with answers.
    defaults: { retention: { completed: "1s", unknown: "1s" } },
  };
}

export interface ServingGateway {
  readonly port: number;
  /** Resolves when everything that it does has ended. */
  readonly stop: () => Promise<void>;
}

export type StartGateway = (
  t: Teardown,
  upstreamPort: number,
  onReport: (report: ExchangeReport) => void,
) => Promise<ServingGateway>;

export const startServing: StartGateway = async (t, upstreamPort, onReport) => {
  const file = join(tempDir(t), "gateway.yaml");
  writeFileSync(file, stringify(hostileSettings(upstreamPort)));
  const loaded = loadConfig(["--config", file], {});
  if (loaded.kind !== "run") throw new Error(JSON.stringify(loaded));
  const { config } = loaded;
  const store = await openStore(config.store);
  const metrics = createMetrics({ version: "test", routes: [] });
  const log = {
    exchange: onReport,
    event: () => undefined,
    failure: (message: string, error: unknown): never => {
      throw new Error(message, { cause: error });
    },
  };
  const serving = await createServing(config, { store, metrics, log });
  const { port } = await serving.start();
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= serving.stop().then(() => store.close());
    return stopped;
  };
  t.teardown(stop);
  return { port, stop };
};
