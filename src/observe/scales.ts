/** The scales of the histograms, and what is done to the process metrics that prom-client brings. Counts nothing itself. */

/** From a replay out of a local store to an upstream at its deadline. */
export const EXCHANGE_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
/** From LMDB in memory to a Redis that is about to time out (250 ms unless configured). */
export const STORE_BUCKETS_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
];

/**
 * Gauges that prom-client calls `…_total`, which Prometheus keeps for counters. The same numbers stand, by type, in
 * the metrics of the same names without `_total`.
 */
export const MISNAMED_DEFAULTS = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/**
 * How process metrics of several workers become one, where prom-client's own choice says little: an average of
 * percentiles is no percentile, so the worst worker stands for all; and the oldest worker says since when.
 */
export const AGGREGATORS: ReadonlyMap<string, "max" | "min"> = new Map([
  ["process_start_time_seconds", "min"],
  ["nodejs_eventloop_lag_seconds", "max"],
  ["nodejs_eventloop_lag_mean_seconds", "max"],
  ["nodejs_eventloop_lag_stddev_seconds", "max"],
  ["nodejs_eventloop_lag_p50_seconds", "max"],
  ["nodejs_eventloop_lag_p90_seconds", "max"],
  ["nodejs_eventloop_lag_p99_seconds", "max"],
]);
