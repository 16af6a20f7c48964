/**
 * What the operators' port is told of this gateway for the console: its configuration as it is at the moment, without a
 * secret, and its counters. Decides nothing.
 */
import type { OverviewOptions } from "./admin/overview.ts";
import type { AnswerTerms } from "./admin/resolution.ts";
import { describePolicies, withoutSecrets } from "./config/print.ts";
import type { GatewayConfig } from "./config/schema.ts";
import { PACKAGE_ROOT, packageVersion } from "./config/version.ts";
import { routeFinder } from "./core/route.ts";
import { countersOf } from "./observe/counters.ts";
import type { Log } from "./observe/log.ts";
import type { Metrics } from "./observe/metrics.ts";

/** `config` is asked each time: it says what is in force then. */
export function consoleParts(
  config: () => GatewayConfig,
  parts: { readonly log: Log; readonly snapshot: Metrics["snapshot"] },
): Omit<OverviewOptions, "desk" | "problems"> &
  Pick<AnswerTerms, "policyOf"> & { readonly consoleDir: URL } {
  const version = packageVersion();
  return {
    consoleDir: new URL("dist/console/", PACKAGE_ROOT),
    counters: async () => countersOf(await parts.snapshot()),
    about: () => aboutOf(config(), version),
    routes: () => describePolicies(config()),
    policies: () => [...config().routes.map(({ policy }) => policy), config().defaults],
    policyOf: (method, path) =>
      routeFinder(config().routes, config().defaults)(method, path)?.policy,
    showAnswers: () => config().admin.showAnswers,
    looked: (look) => parts.log.event("info", "recorded answer shown to an operator", { ...look }),
  };
}

/** For operators' eyes. */
function aboutOf(config: GatewayConfig, version: string): object {
  const { store, upstream, quotas, workers } = withoutSecrets(config);
  return {
    version,
    node: process.version,
    workers,
    store: { url: store.url, timeoutMs: store.timeoutMs, leaseMs: store.leaseMs },
    upstream: { url: upstream.url, timeoutMs: upstream.timeoutMs },
    quotas: { newKeys: quotas.newKeys ?? null, liveRecords: quotas.liveRecords ?? null },
  };
}
